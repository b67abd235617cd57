"""The credentials of a Yandex Disk connection."""

from typing import Literal

from pydantic import AliasChoices, Field

from storage.credentials import ONE_WORD, Credentials, Secret


class YandexDiskCredentials(Credentials):
    """A token of one Yandex Disk. `root` app:/ is the application's own folder."""

    token: Secret = Field(validation_alias=AliasChoices("token", "oauth_token"), description=ONE_WORD)
    root: Literal["disk:/", "app:/"] = Field("disk:/", description="disk:/ or app:/")
    public_base_url: str | None = None
