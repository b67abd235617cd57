"""The operator's settings for objects in all S3 connections."""

from pydantic import BaseModel, Field


class S3Options(BaseModel):
    """The headers that thumbnails are stored with; the server gives them to everybody who reads the object."""

    storage_s3_cache_control: str = Field(
        "public, max-age=31536000, immutable",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="Cache-Control of thumbnails in S3. Their URLs never get other bytes. Empty: none.",
    )
    storage_s3_content_disposition: str = Field(
        "",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="Content-Disposition of thumbnails in S3: `inline`, for example. Empty: none.",
    )
