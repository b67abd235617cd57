"""Say what is wrong with a value, field by field and all at once: what stands there, and what may."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from schemas.errors import ErrorCode, PermanentError
from schemas.events import Event, ShortText

MAX_FAULTS: Final = 20
MAX_VALUE_CHARS: Final = 80
_MAX_SENTENCE_BYTES: Final = 960
"""The header error-message has 1,024 bytes."""
_TIME: Final = "a time as in RFC 3339, as text and with an offset: 2026-11-23T19:31:24Z"
_ALLOWED: Final[Mapping[str, str]] = {
    "int_type": "an integer, written as 42",
    "int_from_float": "an integer, written as 42",
    "int_parsing": "an integer, written as 42",
    "int_parsing_size": "an integer, written as 42",
    "float_type": "a number",
    "string_type": "text",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
    "finite_number": "a finite number",
}
_OF_LIMITS: Final[Mapping[str, str]] = {
    "enum": "{expected}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}


class Fault(Event):
    """One thing that is wrong with a record."""

    field: Annotated[str, Field(max_length=128)] | None = Field(
        description="The field, with dots: media.id. Null where the record as a whole is wrong."
    )
    value: Annotated[str, Field(max_length=MAX_VALUE_CHARS + 1)] | None = Field(
        description="The value that stands there, as JSON, shortened. Null where none is there, or none can be shown."
    )
    message: ShortText = Field(description="What is wrong with it, and what is allowed: one sentence.")


class RefusedEventError(PermanentError):
    """A record holds no event that can be taken; `faults` are all that were found, at least one."""

    def __init__(self, code: ErrorCode, faults: Sequence[Fault]) -> None:
        super().__init__(code, _sentence(faults))
        self.faults: Final = tuple(faults)


def of_the_whole(code: ErrorCode, message: str) -> RefusedEventError:
    """Return the error for a record that is wrong as a whole."""
    return RefusedEventError(code, (Fault(field=None, value=None, message=message),))


def faults_in(exc: ValidationError) -> tuple[Fault, ...]:
    """Return what is wrong with a value, at most MAX_FAULTS things, in the order of the schema."""
    found = exc.errors(include_url=False)
    faults = [_fault(problem) for problem in found[:MAX_FAULTS]]
    left_out = len(found) - len(faults)
    if left_out:
        faults[-1] = Fault(field=None, value=None, message=f"{left_out + 1} more fields are wrong.")
    return tuple(faults)


def _fault(problem: Mapping[str, Any]) -> Fault:
    name = ".".join(str(part) for part in problem["loc"])[:100] or None
    kind, given = problem["type"], problem["input"]
    if kind == "missing":
        return Fault(
            field=name, value=None, message=f"{name} is required{_look_alike(str(problem['loc'][-1]), given)}."
        )
    if kind == "json_invalid":
        return Fault(field=None, value=None, message=f"The value is not JSON: {problem['ctx']['error']}.")
    shown, allowed = _shown(given), _allowed(kind, problem)
    return Fault(field=name, value=shown, message=f"{name or 'The value'} is {shown}, but must be {allowed}.")


def _allowed(kind: str, problem: Mapping[str, Any]) -> str:
    if kind in _ALLOWED:
        return _ALLOWED[kind]
    if kind in _OF_LIMITS:
        return _OF_LIMITS[kind].format_map(problem["ctx"])
    return f"otherwise: {problem['msg'][:200]}"  # a kind that no field of ours has so far


def _look_alike(name: str, given: object) -> str:
    """Return the field that was meant, perhaps: eventId or EVENT_ID for event_id."""
    plain = _plain(name)
    for other in list(given)[:100] if isinstance(given, Mapping) else ():
        if isinstance(other, str) and other != name and _plain(other) == plain:
            return f", and is not there; {_shown(other)} is"
    return ", and is not there"


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _shown(given: object) -> str:
    """Return a value as JSON in one short line: an object by its names only, a URL without its query, which may be signed."""
    if isinstance(given, Mapping):
        names = ", ".join(json.dumps(str(name)[:20]) for name in list(given)[:5])
        return f"an object with {names}"[:MAX_VALUE_CHARS] if names else "{}"
    if isinstance(given, list | tuple):
        return f"a list of {len(given)}"
    if isinstance(given, str):
        given = given[:200].partition("?")[0] if "://" in given[:200] else given[:200]
    text = json.dumps(given, ensure_ascii=True, default=str)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"


def _sentence(faults: Sequence[Fault]) -> str:
    """Return all faults as one line that a header holds; what does not fit is counted."""
    text = ""
    for number, fault in enumerate(faults):
        longer = f"{text} {fault.message}" if text else fault.message
        if len(longer.encode("utf-8", "replace")) > _MAX_SENTENCE_BYTES:
            return f"{text or longer[:900]} And {len(faults) - number} more."
        text = longer
    return text
