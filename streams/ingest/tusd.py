"""Read the hooks that tusd 2 sends by HTTP.

Source: https://tus.github.io/tusd/advanced-topics/hooks/ and pkg/hooks/hooks.go of github.com/tus/tusd/v2.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ErrorCode
from schemas.faults import RefusedEventError, faults_in, of_the_whole
from schemas.foreign_forms import foreign_form

PRE_CREATE: Final = "pre-create"
FINISHED: Final = frozenset({"pre-finish", "post-finish"})
_NAMESPACE: Final = uuid.UUID("8d2a3d55-6a0d-5f0c-9a0e-2b7d6c1e4f83")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Upload(_Part):
    id: Annotated[str, Field(max_length=4096)] = Field("", alias="ID")
    size: int | None = Field(None, alias="Size")
    size_is_deferred: bool = Field(False, alias="SizeIsDeferred")
    metadata: dict[str, str] | None = Field(None, alias="MetaData")
    is_partial: bool = Field(False, alias="IsPartial")
    storage: dict[str, str] | None = Field(None, alias="Storage")


class _Event(_Part):
    upload: _Upload = Field(alias="Upload")


class _Hook(_Part):
    type: Annotated[str, Field(max_length=64)] = Field(alias="Type")
    event: _Event = Field(alias="Event")


@dataclass(frozen=True)
class TusdHook:
    """One hook. `key` is the object's in `bucket`; of a file, its path as tusd names it, and `bucket` is empty.

    `metadata` is what the uploading client said: nobody has checked it.
    """

    type: str
    upload_id: str
    bucket: str = ""
    key: str = ""
    size_bytes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_partial: bool = False

    @property
    def content_type(self) -> str | None:
        """Return what clients of tus write as `filetype`, by custom."""
        return self.metadata.get("filetype") or None

    @property
    def event_id(self) -> str:
        """Return the id of the upload's event: the same however often tusd repeats its hook."""
        return f"tusd-{uuid.uuid5(_NAMESPACE, chr(10).join((self.bucket, self.key, self.upload_id)))}"


def read_hook(body: bytes) -> TusdHook:
    """Return the hook. Raises RefusedEventError notification.malformed with all that is wrong."""
    try:
        hook = _Hook.model_validate_json(body)
    except ValidationError as exc:
        faults = faults_in(exc)
        if exc.errors(include_url=False)[0]["type"] == "json_invalid":
            said = foreign_form(body) or "The value is not JSON that can be read."
            raise of_the_whole(ErrorCode.NOTIFICATION_MALFORMED, said) from exc
        raise RefusedEventError(ErrorCode.NOTIFICATION_MALFORMED, faults) from exc
    upload, storage = hook.event.upload, hook.event.upload.storage or {}
    return TusdHook(
        hook.type,
        upload.id,
        storage.get("Bucket") or storage.get("Container") or "",
        storage.get("Key") or storage.get("Path") or upload.id,
        None if upload.size_is_deferred or upload.size is None or upload.size < 0 else upload.size,
        upload.metadata or {},
        upload.is_partial,
    )
