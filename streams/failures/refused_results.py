"""The error of a result that the database refuses: its message begins so that the code in it can be read back."""

import re
from typing import Final

from schemas.errors import ErrorCode, PermanentError

_START: Final = "The database refuses the result"
_WITH_CODE: Final = re.compile(rf"{_START} with ([0-9A-Z_]+): ")


def refused_result(reason: str, code: str | None = None) -> PermanentError:
    """Return the error; `code` is the database's own (SQLSTATE), None for what this service knows beforehand."""
    start = f"{_START} with {code}" if code else _START
    return PermanentError(ErrorCode.RESULT_REFUSED, f"{start}: {reason}")


def refusal_code(message: str | None) -> str | None:
    """Return the database's code in the message of such an error, or of its dead letter; None where it has none."""
    found = _WITH_CODE.match(message or "")
    return found[1] if found else None
