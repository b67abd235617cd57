"""The operator's settings for objects in all Google Cloud Storage connections."""

from pydantic import BaseModel, Field


class GcsOptions(BaseModel):
    """The headers that thumbnails are stored with; Google gives them to everybody who reads the object."""

    storage_gcs_cache_control: str = Field(
        "public, max-age=31536000, immutable",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="Cache-Control of thumbnails in Google Cloud Storage. Their URLs never get other bytes. Empty: none.",
    )
