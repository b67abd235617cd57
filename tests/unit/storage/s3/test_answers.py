"""What the S3 provider makes of every answer that a server, or what stands in for one, may give."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage import outbound
from storage.outbound import ExchangeWatch
from storage.ranges import MAX_SKIPPED_BYTES
from storage.s3.provider import MinioStorageProvider
from storage.s3.reader import FIRST_READ_BYTES
from tests.doubles.s3_connection import CONTENT, SECRET, ranged, scripted, upload
from tests.doubles.scripted_s3 import ETAG, Asked, Reply, error

PAGE = Reply(200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})


CALLS: dict[str, Callable[[MinioStorageProvider], object]] = {
    "upload": upload,
    "open": lambda provider: provider.open_source("acme/a"),
    "exists": lambda provider: provider.file_exists("acme/a"),
    "delete": lambda provider: provider.delete_file("acme/a"),
    "list": lambda provider: list(provider.list_files("acme")),
}

ANSWERS = [
    (error(403, "AccessDenied"), ErrorCode.STORAGE_DENIED, "access is denied"),
    (error(403, "InvalidAccessKeyId"), ErrorCode.STORAGE_DENIED, "access key is unknown"),
    (error(403, "SignatureDoesNotMatch"), ErrorCode.STORAGE_DENIED, "secret key is wrong"),
    (error(400, "ExpiredToken"), ErrorCode.STORAGE_DENIED, "token has expired"),
    (error(404, "NoSuchBucket"), ErrorCode.STORAGE_DENIED, "bucket does not exist"),
    (error(301, "PermanentRedirect"), ErrorCode.STORAGE_DENIED, "another region or"),
    (error(400, "AuthorizationHeaderMalformed"), ErrorCode.STORAGE_DENIED, "region is wrong"),
    (error(405, "MethodNotAllowed"), ErrorCode.STORAGE_DENIED, "does not allow"),
    (error(403, "RequestTimeTooSkewed"), ErrorCode.STORAGE_UNAVAILABLE, "clock"),
    (error(400, "KeyTooLongError"), ErrorCode.STORAGE_BAD_KEY, "cannot have the key"),
    (error(503, "SlowDown"), ErrorCode.STORAGE_RATE_LIMITED, "limits requests"),
    (error(429, "TooManyRequests"), ErrorCode.STORAGE_RATE_LIMITED, "limits requests"),
    (error(507, "XMinioStorageFull"), ErrorCode.STORAGE_FULL, "is full"),
    (error(400, "XMinioAdminBucketQuotaExceeded"), ErrorCode.STORAGE_FULL, "is full"),
    (error(500, "InternalError"), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    (error(503, "ServiceUnavailable"), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    (error(400, "RequestTimeout"), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    (Reply(502, b"<html>nginx</html>", {"Content-Type": "text/html"}), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    (Reply(418, b"", {}), ErrorCode.STORAGE_DENIED, "status 418"),
]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("answer", "code", "words"), ANSWERS, ids=[str(n) for n in range(len(ANSWERS))])
def test_every_refusal_has_its_code_and_is_asked_for_once(
    answer: Reply, code: ErrorCode, words: str, call: Callable[[MinioStorageProvider], object]
) -> None:
    with scripted(answer) as (provider, server), pytest.raises(ThumbnailError, match=words) as caught:
        call(provider)
    assert caught.value.code is code
    assert caught.value.__cause__ is not None
    assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)
    # A refused put is tried again where MinIO is known to refuse by mistake; nothing else is tried twice.
    tries = 3 if call is upload and "AccessDenied" in str(answer.body) else 1
    assert len({id(asked) for asked in server.asked if asked.method != "HEAD"}) == tries


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("999999", 3600.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0.0),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), 3600.0),
    ],
    # Names that each process finds alike, whatever the time.
    ids=["seconds", "zero", "negative", "too many", "a word", "no number", "nothing", "an hour ago", "in nine days"],
)
def test_the_server_s_wish_when_to_come_back_is_taken_along(value: str, wait_s: float | None) -> None:
    with scripted(error(503, "SlowDown", Retry_After=value)) as (provider, _), pytest.raises(TransientError) as caught:
        upload(provider)
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_web_page_is_no_answer(call: Callable[[MinioStorageProvider], object]) -> None:
    with scripted(PAGE) as (provider, _), pytest.raises(TransientError) as caught:
        call(provider)
    assert caught.value.code in (ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.UPLOAD_UNVERIFIED)


def test_absence_and_replacement_while_reading_are_told_apart() -> None:
    replies = iter([error(404, "NoSuchKey"), error(412, "PreconditionFailed"), error(416, "InvalidRange")])
    # Without the condition, the answer after a 412 shows the new version.
    unconditional = iter([ranged(), ranged(ETag='"other"')])
    with scripted(lambda asked: next(unconditional)(asked) if "If-Match" not in asked.headers else next(replies)) as (
        provider,
        server,
    ):
        source = provider.open_source("acme/a")
        with pytest.raises(ObjectNotFoundError):
            source.read_at(500_000, 10)
        for _ in range(2):
            with pytest.raises(TransientError, match="was replaced") as caught:
                source.read_at(500_000, 10)
            assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
    assert server.asked[-1].headers["If-Match"] == ETAG


def test_opening_brings_the_beginning_and_later_reads_ask_for_exactly_what_they_need() -> None:
    with scripted(ranged()) as (provider, server), provider.open_source("acme/a") as source:
        assert (source.size, source.version) == (len(CONTENT), ETAG.strip('"'))
        assert source.read_at(10, 20) == CONTENT[10:30]
        assert source.read_at(600_000, 7) == CONTENT[600_000:600_007]
        assert source.read_at(len(CONTENT), 5) == b""
    assert [asked.headers["Range"] for asked in server.asked] == [
        f"bytes=0-{FIRST_READ_BYTES - 1}",
        "bytes=600000-600006",
    ]


MANGLED = {
    "another version": ranged(ETag='"other"'),
    "no version": ranged(ETag=""),
    "another range": ranged(Content_Range="bytes 0-9/1048576"),
    "another length of the whole": ranged(Content_Range="bytes 500000-500009/77"),
    "no length of the whole": ranged(Content_Range="bytes 500000-500009/*"),
    "a body that breaks off": lambda asked: replace(ranged()(asked), body=b"12345", length=10),
    "a body that is too short": lambda asked: replace(ranged()(asked), body=b"12345"),
}


@pytest.mark.parametrize("answer", MANGLED.values(), ids=MANGLED)
def test_an_answer_that_is_not_what_was_asked_for_gives_no_bytes(answer: Callable[[Asked], Reply]) -> None:
    sound = ranged()
    with scripted(lambda asked: (answer if "If-Match" in asked.headers else sound)(asked)) as (provider, _):
        source = provider.open_source("acme/a")
        with pytest.raises(TransientError) as caught:
            source.read_at(500_000, 10)
        assert caught.value.code in (ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.SOURCE_UNREADABLE)
        assert source.read_at(0, 4) == CONTENT[:4], "the connection is not confused by it"


def test_of_a_body_without_an_end_only_what_was_asked_for_is_read() -> None:
    sound = ranged()

    def endless(asked: Asked) -> Reply:
        return replace(sound(asked), endless=True, length=None) if "If-Match" in asked.headers else sound(asked)

    with scripted(endless) as (provider, _), provider.open_source("acme/a") as source:
        assert source.read_at(500_000, 10) == CONTENT[500_000:500_010]
        assert source.read_at(700_000, 10) == CONTENT[700_000:700_010]


def test_a_server_that_ignores_ranges_is_read_along_but_not_for_ever() -> None:
    far = MAX_SKIPPED_BYTES + 1
    whole = Reply(200, CONTENT, {"ETag": ETAG})
    with scripted(whole) as (provider, _), provider.open_source("acme/a") as source:
        assert source.size == len(CONTENT)
        assert source.read_at(700_000, 10) == CONTENT[700_000:700_010]
    huge = Reply(200, bytes(FIRST_READ_BYTES), {"ETag": ETAG}, length=far + 10)
    with (
        scripted(huge) as (provider, server),
        provider.open_source("acme/a") as source,
        pytest.raises(PermanentError, match="ignores ranges") as caught,
    ):
        source.read_at(far, 10)
    assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
    assert len(server.asked) == 2


def confirming(**headers: str) -> Reply:
    return Reply(200, b"", {"ETag": ETAG} | {name.replace("_", "-"): value for name, value in headers.items()})


def test_an_upload_is_confirmed_by_the_first_proof_that_the_server_gives() -> None:
    sha256 = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    md5 = hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    for reply, requests in ((confirming(x_amz_checksum_sha256=sha256), 1), (confirming(ETag=f'"{md5}"'), 1)):
        with scripted(reply) as (provider, server):
            upload(provider)
        assert len(server.asked) == requests
        assert server.asked[0].headers["x-amz-checksum-sha256"] == sha256
    read_back = ranged(b"content")
    with scripted(lambda asked: confirming() if asked.method == "PUT" else read_back(asked)) as (provider, server):
        upload(provider)
    assert [asked.method for asked in server.asked] == ["PUT", "GET"]


@pytest.mark.parametrize("kept", [b"conten", b"CONTENT", b""], ids=["shorter", "other", "nothing"])
def test_what_the_server_did_not_keep_is_an_error_and_is_deleted(kept: bytes) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "GET" and not kept:
            return error(416, "InvalidRange")
        if asked.method == "HEAD":
            return Reply(200, b"", {"ETag": ETAG}, length=0)
        return ranged(kept)(asked) if asked.method == "GET" else confirming(x_amz_checksum_sha256="b3RoZXI=")

    with scripted(answer) as (provider, server), pytest.raises(TransientError) as caught:
        upload(provider)
    assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED
    assert server.asked[-1].method == "DELETE"


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with scripted(Reply(200, b"", {"ETag": ETAG}, length=10)) as (provider, _), pytest.raises(TransientError):
        provider.open_source("acme/a")


def test_a_server_that_trickles_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "WATCH", ExchangeWatch(max_s=0.5, scan_s=0.05))
    trickling = Reply(206, b"", {"ETag": ETAG, "Content-Range": "bytes 0-99999/100000"}, length=100_000, trickle_s=0.1)
    with scripted(trickling) as (provider, _), pytest.raises(TransientError) as caught:
        provider.open_source("acme/a")
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_listing_takes_what_is_a_key_and_leaves_the_rest() -> None:
    names = ("acme/b", "acme/../c", "acme//d", "acme/.x.0123456789abcdef.part", "acme/\u00e9")
    entries = "".join(f"<Contents><Key>{name}</Key><Size>1</Size></Contents>" for name in names)
    body = f"<?xml version='1.0'?><ListBucketResult><Name>bucket</Name>{entries}<IsTruncated>false</IsTruncated></ListBucketResult>"
    with scripted(Reply(200, body.encode(), {"Content-Type": "application/xml"})) as (provider, _):
        listed = list(provider.list_objects("acme"))
        assert [found.key for found in listed] == ["acme/b", "acme/\u00e9"]
        assert all(datetime.now(UTC) - found.modified_at < timedelta(minutes=5) for found in listed), "no time: new"
