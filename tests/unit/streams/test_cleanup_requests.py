"""Which results ask for a cleanup: one that cannot be done would be one more dead letter."""

import pytest

from schemas.errors import ErrorCode
from streams.rows.last_write_wins import RowOutcome
from streams.thumbnails.cleanup_requests import needs_cleanup
from tests.doubles.results import failed


@pytest.mark.parametrize(
    ("code", "attempts", "outcome", "expected"),
    [
        (ErrorCode.TENANT_LIMITED, 1, RowOutcome.ROW_GONE, False),  # a company that somebody made up
        (ErrorCode.TENANT_LIMITED, 1, RowOutcome.OTHER_COMPANY, False),
        (ErrorCode.TENANT_LIMITED, 1, RowOutcome.APPLIED, True),  # of the media's older pictures
        (ErrorCode.TENANT_LIMITED, 2, RowOutcome.ROW_GONE, True),  # an attempt may have stored something
        (ErrorCode.TENANT_UNKNOWN, 3, RowOutcome.ROW_GONE, False),
        (ErrorCode.TENANT_INACTIVE, 1, RowOutcome.ROW_GONE, False),
        (ErrorCode.TENANT_INACTIVE, 2, RowOutcome.ROW_GONE, True),
        (ErrorCode.EVENT_IN_FUTURE, 1, RowOutcome.OTHER_COMPANY, False),
        (ErrorCode.EVENT_IN_FUTURE, 1, RowOutcome.APPLIED, True),
        (ErrorCode.MEDIA_CORRUPT, 1, RowOutcome.ROW_GONE, True),
        (ErrorCode.MEDIA_CORRUPT, 1, RowOutcome.REFUSED, False),
    ],
)
def test_a_failure_that_can_have_stored_nothing_asks_for_none(
    code: ErrorCode, attempts: int, outcome: RowOutcome, expected: bool
) -> None:
    result = failed(1)
    error = result.error.model_copy(update={"code": code})
    assert needs_cleanup(result.model_copy(update={"error": error, "attempts": attempts}), outcome) is expected
