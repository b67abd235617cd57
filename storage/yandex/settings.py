"""Settings of Yandex Disk: the operator's for all connections, and those of one connection."""

from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from storage.connections import HttpLimits

YANDEX_API_URL = "https://cloud-api.yandex.net"


class YandexDiskOptions(BaseModel):
    """The operator's settings for all Yandex Disk connections."""

    yandex_disk_api_url: str = Field(YANDEX_API_URL, description="The Yandex Disk REST API.")


@dataclass(frozen=True)
class YandexDiskSettings:
    """One account's disk. `root` is disk:/ or app:/; times in seconds: to connect, and between two bytes."""

    token: str = field(repr=False)
    api_url: str = YANDEX_API_URL
    root: str = "disk:/"
    public_base_url: str | None = None
    timeout_s: tuple[float, float] = (HttpLimits.connect_timeout_s, HttpLimits.read_timeout_s)
