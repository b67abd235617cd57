"""The credentials of a Yandex Disk connection."""

from typing import Literal

from pydantic import AliasChoices, Field

from storage.credentials import Credentials, Secret


class YandexDiskCredentials(Credentials):
    """A token of one Yandex Disk. `root` app:/ is the application's own folder."""

    token: Secret = Field(validation_alias=AliasChoices("token", "oauth_token"))
    root: Literal["disk:/", "app:/"] = "disk:/"
    public_base_url: str | None = None
