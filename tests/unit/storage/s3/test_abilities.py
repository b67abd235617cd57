"""What the S3 provider does with servers that lack something: it finds that out once, remembers it, and says so."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage.breaker import BreakerPolicy, BreakerProvider, BreakerState, CircuitBreaker
from storage.s3 import listing
from storage.s3.settings import S3Options
from tests.doubles.s3_connection import CONTENT, ranged, scripted, upload
from tests.doubles.scripted_s3 import ETAG, Asked, Reply, error

MD5 = hashlib.md5(b"content", usedforsecurity=False)
KEPT = Reply(200, b"", {"ETag": f'"{MD5.hexdigest()}"'})
LONG_AGO = "Mon, 30 Nov 2020 12:00:00 GMT"
JUST_NOW = "just now"


@pytest.mark.parametrize("refusal", [error(400, "InvalidArgument"), error(501, "NotImplemented"), Reply(400)])
def test_a_checksum_that_is_refused_is_not_sent_again(refusal: Reply) -> None:
    with scripted(lambda asked: refusal if "x-amz-checksum-sha256" in asked.headers else KEPT) as (provider, server):
        upload(provider)
        upload(provider)
    assert ["x-amz-checksum-sha256" in asked.headers for asked in server.asked] == [True, False, False]
    assert {asked.headers["Content-MD5"] for asked in server.asked[1:]} == {base64.b64encode(MD5.digest()).decode()}
    assert "refuses SHA-256" in provider.remarks()[0]


def test_a_server_that_takes_no_checksum_has_each_upload_read_back() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return ranged(b"content")(asked)
        is_checked = {"x-amz-checksum-sha256", "Content-MD5"} & asked.headers.keys()
        return error(400, "InvalidRequest") if is_checked else Reply(200, b"", {"ETag": ETAG})

    with scripted(answer) as (provider, server):
        upload(provider)
        upload(provider)
    assert [asked.method for asked in server.asked] == ["PUT", "PUT", "PUT", "GET", "PUT", "GET"]
    assert "refuses checksums" in provider.remarks()[0]


def test_what_is_refused_with_every_checksum_is_nothing_against_checksums() -> None:
    with scripted(error(400, "InvalidArgument")) as (provider, _), pytest.raises(PermanentError):
        upload(provider)
    assert provider.remarks() == ()


def test_a_server_that_ignores_checksums_is_told_of_and_goes_on_getting_them() -> None:
    with scripted(KEPT) as (provider, server):
        upload(provider)
        upload(provider)
    assert all("x-amz-checksum-sha256" in asked.headers for asked in server.asked)
    assert "does not confirm the SHA-256" in provider.remarks()[0]


def test_an_answer_that_never_changes_opens_no_breaker() -> None:
    with scripted(error(501, "NotImplemented")) as (provider, _):
        breaker = CircuitBreaker("Storage connection 1", BreakerPolicy(failures=1))
        for _ in range(3):
            with pytest.raises(PermanentError, match="does not have this") as caught:
                upload(BreakerProvider(provider, breaker))  # type: ignore[arg-type]  # it has the same method
            assert caught.value.code is ErrorCode.STORAGE_DENIED
        assert breaker.state is BreakerState.CLOSED


def refusing(later: Callable[[Asked], Reply], first: Callable[[Asked], Reply], refusal: Reply) -> Any:
    """A server that refuses If-Match, and gives `first` for the opening and `later` for the reads after it."""
    opened: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        if "If-Match" in asked.headers:
            return refusal
        opened.append(asked)
        return (first if len(opened) == 1 else later)(asked)

    return answer


REFUSALS = [error(412, "PreconditionFailed"), error(501, "NotImplemented"), error(400, "InvalidArgument")]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("etag", [ETAG, f"W/{ETAG}", ETAG.strip('"'), '"another"'])
def test_a_refused_condition_is_settled_by_one_look_and_not_sent_again(refusal: Reply, etag: str) -> None:
    first = ranged(ETag=ETAG, Last_Modified=LONG_AGO)
    later = ranged(ETag=etag, Last_Modified=LONG_AGO)
    with scripted(refusing(later, first, refusal)) as (provider, server), provider.open_source("acme/a") as source:
        assert source.read_at(600_000, 9) == CONTENT[600_000:600_009]
        assert source.read_at(700_000, 9) == CONTENT[700_000:700_009]
    assert ["If-Match" in asked.headers for asked in server.asked] == [False, True, False, False]
    assert "refuses If-Match" in provider.remarks()[0]


CHANGED = {
    "another time": ranged(ETag='"another"', Last_Modified="Mon, 30 Nov 2020 12:00:01 GMT"),
    "no time": ranged(ETag='"another"'),
    "another size": ranged(CONTENT + b"more", Last_Modified=LONG_AGO),
}


@pytest.mark.parametrize("later", CHANGED.values(), ids=CHANGED)
def test_only_a_real_change_is_one(later: Callable[[Asked], Reply]) -> None:
    answer = refusing(later, ranged(Last_Modified=LONG_AGO), REFUSALS[0])
    with scripted(answer) as (provider, _), provider.open_source("acme/a") as source:
        with pytest.raises(TransientError, match="was replaced") as caught:
            source.read_at(600_000, 9)
        assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
    assert provider.remarks() == (), "a change says nothing against If-Match"


def test_the_same_time_proves_nothing_of_an_object_that_was_written_in_this_second() -> None:
    now = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    answer = refusing(ranged(ETag='"another"', Last_Modified=now), ranged(Last_Modified=now), REFUSALS[0])
    with (
        scripted(answer) as (provider, _),
        provider.open_source("acme/a") as source,
        pytest.raises(TransientError, match="was replaced"),
    ):
        source.read_at(600_000, 9)


def test_a_server_that_ignores_ranges_is_told_of() -> None:
    with scripted(Reply(200, CONTENT, {"ETag": ETAG})) as (provider, _), provider.open_source("acme/a") as source:
        assert source.read_at(600_000, 9) == CONTENT[600_000:600_009]
    assert "ignores ranges" in provider.remarks()[0]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_and_signed_for_its_place(status: int) -> None:
    def answer(asked: Asked) -> Reply:
        if not asked.path.startswith("/new"):
            return Reply(status, b"", {"Location": f"/new{asked.path}"})
        return KEPT

    with scripted(answer) as (provider, server):
        upload(provider)
    first, second = server.asked
    assert (first.path, second.path) == ("/bucket/acme/a", "/new/bucket/acme/a")
    assert first.headers["Authorization"] != second.headers["Authorization"]


def test_a_redirect_is_not_followed_for_ever_nor_to_where_the_operator_forbids() -> None:
    with scripted(lambda asked: Reply(307, b"", {"Location": f"{asked.path}x"})) as (provider, server):
        with pytest.raises(PermanentError):
            upload(provider)
        assert len(server.asked) == 3
    for forbidden in ("http://192.0.2.1/", "ftp://127.0.0.1/", "http://user@127.0.0.1/"):
        location = Reply(307, b"", {"Location": forbidden})
        with scripted(location) as (provider, server), pytest.raises(ThumbnailError) as caught:
            upload(provider)
        assert caught.value.code is ErrorCode.STORAGE_DENIED
        assert len(server.asked) == 1


def listed(*keys: str, token: str = "", is_cut: bool = False) -> Reply:
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = f"<ListBucketResult><Name>bucket</Name>{entries}{more}<IsTruncated>{str(is_cut).lower()}</IsTruncated></ListBucketResult>"
    return Reply(200, body.encode(), {"Content-Type": "application/xml"})


def test_a_listing_that_is_cut_without_a_token_goes_on_by_version_1() -> None:
    replies = iter([listed("acme/a", "acme/b", is_cut=True), listed("acme/c")])
    with scripted(lambda _: next(replies)) as (provider, server):
        assert list(provider.list_files("acme")) == ["acme/a", "acme/b", "acme/c"]
    assert "marker=acme%2Fb" in server.asked[1].path
    assert "ListObjects is used" in provider.remarks()[0]


def test_a_listing_begins_inside_of_its_folder() -> None:
    with scripted(listed("acme/a")) as (provider, server):
        for after, found in (("a", ["acme/a"]), ("acme", ["acme/a"]), ("acme-2", ["acme/a"]), ("b", []), ("acme0", [])):
            assert [one.key for one in provider.list_objects("acme", after=after)] == found, after
    assert not any("after" in asked.path for asked in server.asked)


@pytest.mark.parametrize("token", ["t", ""])
def test_a_listing_that_repeats_itself_ends_with_an_error(token: str) -> None:
    with scripted(listed("acme/a", token=token, is_cut=True)) as (provider, _), pytest.raises(TransientError) as caught:
        list(provider.list_files("acme"))
    assert "again and again" in caught.value.message


def test_a_listing_in_no_order_is_sorted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(listed("acme/c", "acme/a", "acme/b")) as (provider, _):
        assert [found.key for found in provider.list_objects("acme", after="acme/a")] == ["acme/b", "acme/c"]
        assert "in no order" in provider.remarks()[0]
        monkeypatch.setattr(listing, "SORTED_HERE", 2)
        with pytest.raises(PermanentError, match="more than 2 objects"):
            list(provider.list_files("acme"))
    replies = iter([listed("acme/b", "acme/c", token="t", is_cut=True), listed("acme/a")])  # noqa: S106 - no secret
    with scripted(lambda _: next(replies)) as (provider, _), pytest.raises(PermanentError, match="goes on without"):
        list(provider.list_files("acme"))


def test_a_time_that_nobody_can_parse_takes_nothing_else_along() -> None:
    with scripted(ranged(Last_Modified="30 nov. 2026")) as (provider, _), provider.open_source("acme/a") as source:
        assert source.read_at(600_000, 9) == CONTENT[600_000:600_009]


def test_an_object_gets_what_the_operator_and_the_connection_say() -> None:
    options = S3Options(storage_s3_content_disposition="inline")
    with scripted(KEPT, options=options, acl="public-read", storage_class="STANDARD_IA") as (provider, server):
        upload(provider)
    sent = server.asked[0].headers
    assert sent["Cache-Control"] == "public, max-age=31536000, immutable"
    assert sent["Content-Disposition"] == "inline"
    assert (sent["x-amz-acl"], sent["x-amz-storage-class"]) == ("public-read", "STANDARD_IA")
    with scripted(KEPT, options=S3Options(storage_s3_cache_control="")) as (provider, server):
        upload(provider)
    assert not {"Cache-Control", "Content-Disposition", "x-amz-acl"} & server.asked[0].headers.keys()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessControlListNotSupported", "take `acl` out of the connection"),
        ("SecondLevelDomainForbidden", "set the connection's addressing to virtual"),
        ("InvalidStorageClass", "`storage_class`"),
    ],
)
def test_what_the_connection_s_row_can_change_is_said_so(code: str, words: str) -> None:
    with scripted(error(400, code)) as (provider, _), pytest.raises(PermanentError, match=words):
        upload(provider)


@pytest.mark.parametrize(
    ("opened", "later", "is_same"),
    [
        (LONG_AGO, LONG_AGO, True),
        (LONG_AGO, "Mon, 30 Nov 2020 12:00:01 GMT", False),
        (LONG_AGO, "", False),
        (JUST_NOW, JUST_NOW, False),
    ],
    ids=["the same time", "another time", "no time", "written in this second"],
)
def test_without_etags_a_read_is_pinned_by_the_time_alone(opened: str, later: str, is_same: bool) -> None:
    now = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    times = iter([now if time is JUST_NOW else time for time in (opened, later)])
    with (
        scripted(lambda asked: ranged(ETag="", Last_Modified=next(times))(asked)) as (provider, server),
        provider.open_source("acme/a") as source,
    ):
        assert source.size == len(CONTENT)
        if is_same:
            assert source.read_at(600_000, 9) == CONTENT[600_000:600_009]
        else:
            with pytest.raises(TransientError) as caught:
                source.read_at(600_000, 9)
            assert caught.value.code in (ErrorCode.SOURCE_UNREADABLE, ErrorCode.STORAGE_UNAVAILABLE)
    assert not any("If-Match" in asked.headers for asked in server.asked)


def test_without_etags_the_version_changes_with_the_content() -> None:
    versions = set()
    for content in (b"one", b"two"):
        with (
            scripted(ranged(content, ETag="", Last_Modified=LONG_AGO)) as (provider, _),
            provider.open_source("acme/a") as source,
        ):
            versions.add(source.version)
    assert len(versions) == 2


def test_an_upload_to_a_server_without_etags_is_proved_by_reading_it_back() -> None:
    kept = ranged(b"content", ETag="", Last_Modified=LONG_AGO)
    with scripted(lambda asked: Reply() if asked.method == "PUT" else kept(asked)) as (provider, server):
        stored = provider.upload_file("acme/a", b"content", content_type="image/webp")
    assert (stored.size_bytes, stored.version) == (7, stored.sha256)
    assert [asked.method for asked in server.asked] == ["PUT", "GET"]


@pytest.mark.parametrize("length", [len(CONTENT), None])
def test_a_length_that_an_object_comes_without_is_asked_for_by_head(length: int | None) -> None:
    whole = Reply(200, CONTENT, {"ETag": ETAG}, length=None)
    head = Reply(200, b"", {"ETag": ETAG}, length=length)
    with scripted(lambda asked: head if asked.method == "HEAD" else whole) as (provider, _):
        if length is None:  # that will not change: it is no outage, and opens no breaker
            with pytest.raises(PermanentError, match="how long the object is"):
                provider.open_source("acme/a")
            return
        with provider.open_source("acme/a") as source:
            assert source.size == len(CONTENT)
            assert source.read_at(600_000, 9) == CONTENT[600_000:600_009]
