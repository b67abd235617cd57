"""The web page."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from service.settings.component import Component


class WebSettings(Component):
    """The web page of `thumbnails web`."""

    web_host: str = Field("127.0.0.1", description="Address to listen on; any but this machine's own needs WEB_TOKEN.")
    web_port: int = Field(8090, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    web_token: SecretStr | None = Field(None, description="What a visitor must give, at least 16 characters.")
    web_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names under which the page is reached, besides addresses: thumbs.example,thumbs."
    )
    web_image_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Storages whose pictures browsers may load, besides LOCAL_STORAGE_URL: https://s3.example,…"
    )
    web_tiles: int = Field(200, ge=10, le=1000, description="Uploads that the page remembers, the newest ones.")

    @field_validator("web_allowed_hosts", "web_image_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
