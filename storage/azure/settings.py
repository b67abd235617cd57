"""The operator's settings for objects in all Azure connections."""

from pydantic import BaseModel, Field


class AzureOptions(BaseModel):
    """The headers that thumbnails are stored with; Azure gives them to everybody who reads the blob."""

    storage_azure_cache_control: str = Field(
        "public, max-age=31536000, immutable",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="Cache-Control of thumbnails in Azure. Their URLs never get other bytes. Empty: none.",
    )
