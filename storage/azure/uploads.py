"""Puts one blob with its MD5 and compares the MD5 that Azure has computed of what it keeps."""

import hashlib

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobClient, ContentSettings


def put(blob: BlobClient, content: bytes, content_type: str, cache_control: str) -> str | None:
    """Store the blob with one atomic put and return its ETag, or None where Azure did not keep what was sent.

    Azure refuses the put where the body does not have the MD5 that came with it. Raises the SDK's errors.
    """
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    settings = ContentSettings(
        content_type=content_type, cache_control=cache_control or None, content_md5=bytearray(md5)
    )
    try:
        answer = blob.upload_blob(
            content, length=len(content), overwrite=True, validate_content=True, content_settings=settings
        )
    except AzureError as exc:
        if str(exc).startswith("MD5 mismatch"):  # the SDK has compared them; there is no class for it
            return None
        raise
    kept = answer.get("content_md5")
    return str(answer["etag"]).strip('"') if kept is not None and bytes(kept) == md5 else None
