"""Puts one rendition into a tenant's storage, and proves that it is there.

A store that confirms other bytes than were sent has failed like one that does not answer: both are tried again.
"""

import hashlib

from processors.types import Rendition
from schemas.errors import ErrorCode, ThumbnailError, TransientError
from schemas.events import RenditionInfo
from storage.tenants import TenantStorage
from streams.thumbnails.storage_calls import StorageCalls


def put_confirmed(calls: StorageCalls, tenant: TenantStorage, key: str, rendition: Rendition) -> RenditionInfo:
    """Store the rendition, with retries, and count it; return what the store confirmed, with its URL. Blocks.

    Raises ThumbnailError; upload.unverified where the store confirmed something else.
    """
    provider, content, call = tenant.provider.name, rendition.content, calls.retry.call
    try:
        with calls.metrics.upload_duration_seconds.labels(provider).time():
            stored = call(lambda: tenant.upload_file(key, content, content_type=rendition.format.media_type))
        sha256 = hashlib.sha256(content).hexdigest()
        if (stored.size_bytes, stored.sha256) != (len(content), sha256):
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The store confirmed other content for {key!r}.")
        url = call(lambda: tenant.get_file_url(key))  # some stores must be asked
    except ThumbnailError:
        calls.metrics.upload_total.labels(provider, "failed").inc()
        raise
    calls.metrics.upload_total.labels(provider, "success").inc()
    return RenditionInfo(
        name=rendition.name,
        key=key,
        url=url,
        width=rendition.width,
        height=rendition.height,
        format=rendition.format,
        bytes=len(content),
        sha256=sha256,
    )
