"""Puts one object with its MD5 and compares the MD5 that Google has computed of what it keeps."""

import base64
import hashlib
from collections.abc import Mapping

from storage.gcs.client import GcsClient


def put(client: GcsClient, name: str, content: bytes, properties: Mapping[str, str]) -> str | None:
    """Store the object and return its generation, or None where Google did not keep what was sent.

    `properties` are the SDK's: content_type, cache_control, storage_class. Google refuses the upload where the content
    does not have the MD5 that came with it; nothing is visible before the upload is whole. Raises the SDK's errors.
    """
    blob = client.blob(name)
    for property_name, value in properties.items():
        setattr(blob, property_name, value)
    blob.upload_from_string(content, content_type=properties["content_type"], checksum="md5", **client.once)
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return str(blob.generation) if blob.md5_hash == md5 and blob.generation else None
