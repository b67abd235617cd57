"""The credentials of an S3 connection."""

from typing import Literal

from pydantic import AliasChoices, Field

from storage.credentials import ONE_WORD, Credentials, Secret


class MinioCredentials(Credentials):
    """A bucket of any S3 server, and the keys to it. Without an endpoint it is Amazon's own."""

    endpoint: str | None = Field(None, validation_alias=AliasChoices("endpoint", "endpoint_url"))
    bucket: str = Field(
        validation_alias=AliasChoices("bucket", "bucket_name"),
        pattern=r"^[A-Za-z0-9._-]{3,63}$",
        description="3 to 63 letters, digits, dots, hyphens or underscores",
    )
    access_key: Secret = Field(validation_alias=AliasChoices("access_key", "access_key_id"), description=ONE_WORD)
    secret_key: Secret = Field(validation_alias=AliasChoices("secret_key", "secret_access_key"), description=ONE_WORD)
    session_token: Secret | None = Field(None, description=ONE_WORD)
    region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]{1,64}$", description="letters, digits or hyphens")
    secure: bool = Field(True, description="true or false: whether an endpoint without a scheme means https")
    addressing: Literal["auto", "path", "virtual"] = Field("auto", description="auto, path or virtual")
    ca_pem: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = Field(None, description="AES256 or aws:kms")
    sse_kms_key_id: str | None = None
    storage_class: str | None = Field(
        None, pattern=r"^[A-Z][A-Z0-9_-]{0,63}$", description="a storage class of the server, such as STANDARD_IA"
    )
    acl: (
        Literal["private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"] | None
    ) = Field(
        None, description="private, public-read, authenticated-read, bucket-owner-read or bucket-owner-full-control"
    )
    public_base_url: str | None = None

    @property
    def endpoint_url(self) -> str | None:
        """Return the endpoint with its scheme."""
        if not self.endpoint or "://" in self.endpoint:
            return self.endpoint or None
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"
