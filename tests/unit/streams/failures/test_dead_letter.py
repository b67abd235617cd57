"""What stands first in a dead letter is what a person needs, for Kafka UIs show headers in their order and cut the line."""

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, ErrorCode, PermanentError, Stage
from schemas.topics import Topics
from streams.failures.dead_letter import Failure, make_dead_letter
from streams.kafka.records import InboundRecord, read_delivery
from tests.doubles.pipeline import NOW


def test_what_to_do_and_why_come_first_and_the_producers_headers_keep_their_order() -> None:
    theirs = (("traceparent", b"00-1"), (h.NEXT_ACTION, b"of an earlier failure"), ("a", b"1"), ("a", b"2"))
    record = InboundRecord("media.uploaded", 3, 17, int(NOW.timestamp() * 1000), b"video:42", b"{}", theirs)
    error = PermanentError(ErrorCode.MEDIA_CORRUPT, "The file ends early.")
    failure = Failure(error, Stage.DECODE, attempts=2, first_failed_at=NOW, failed_at=NOW)
    headers = make_dead_letter("thumbnail.dlq", read_delivery(record, Topics("")), failure, "thumbnails").headers
    assert headers[:8] == (
        (h.NEXT_ACTION, NEXT_ACTIONS[ErrorCode.MEDIA_CORRUPT].encode()),
        (h.ERROR_CODE, b"media.corrupt"),
        (h.ERROR_MESSAGE, b"The file ends early."),
        (h.ERROR_STAGE, b"decode"),
        (h.ATTEMPTS, b"2"),
        ("traceparent", b"00-1"),
        ("a", b"1"),
        ("a", b"2"),
    )
    assert h.get_header(headers, h.ORIGINAL_OFFSET) == "17"
