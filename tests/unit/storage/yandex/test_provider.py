"""What the Yandex Disk provider makes of every fault of the double, and what it leaves behind: nothing."""

import hashlib
import ipaddress
import random
from collections.abc import Callable, Iterator

import pytest
import requests

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.outbound import EndpointPolicy, guarded_session
from storage.yandex.provider import YandexDiskProvider
from storage.yandex.settings import YandexDiskSettings
from tests.contracts.objects import put, read_all
from tests.servers.yandex.faults import (
    Action,
    Hold,
    answer_with_status,
    before_it,
    change_json,
    cut_body,
    drop_after,
    drop_before,
    endless_body,
    page,
    status,
)
from tests.servers.yandex.routes import DOWNLOAD_LINK_S
from tests.servers.yandex.server import YandexDouble

TOKEN = "s3cr3t-t0ken"  # noqa: S105 - the tests look for it in messages
LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
CONTENT = random.Random(8).randbytes(700_000)


class Clock:
    """A clock that the test moves."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def double(clock: Clock) -> Iterator[YandexDouble]:
    with YandexDouble([TOKEN, "another"], clock=clock) as made:
        yield made


@pytest.fixture
def provider(double: YandexDouble) -> Iterator[YandexDiskProvider]:
    made = a_provider(double)
    yield made
    made.close()


def a_provider(double: YandexDouble, token: str = TOKEN, public_base_url: str | None = None) -> YandexDiskProvider:
    settings = YandexDiskSettings(token, double.url, public_base_url=public_base_url, timeout_s=(2.0, 1.0))
    return YandexDiskProvider(settings, session=guarded_session(LOOPBACK, max_connections=4), sleep=lambda _: None)


def files(double: YandexDouble) -> dict[str, bytes]:
    return double.disks[TOKEN].files()


CALLS: dict[str, Callable[[YandexDiskProvider], object]] = {
    "upload": lambda provider: put(provider, "acme/b"),
    "open": lambda provider: provider.open_source("acme/a"),
    "exists": lambda provider: provider.file_exists("acme/a"),
    "delete": lambda provider: provider.delete_file("acme/a"),
    "list": lambda provider: list(provider.list_files("acme")),
    "url": lambda provider: provider.get_file_url("acme/a"),
}
ANSWERS: dict[str, tuple[Action, ErrorCode, str]] = {
    "400": (status(400, "FieldValidationError"), ErrorCode.STORAGE_DENIED, "refuses"),
    "401": (status(401, "UnauthorizedError"), ErrorCode.STORAGE_DENIED, "token is wrong or has expired"),
    "403": (status(403, "DiskForbidden"), ErrorCode.STORAGE_DENIED, "access is denied"),
    "404 page": (page(404), ErrorCode.STORAGE_UNAVAILABLE, "not Yandex Disk's API"),
    "413": (status(413, "DiskUploadFileSizeLimitExceeded"), ErrorCode.STORAGE_DENIED, "this large"),
    "423": (status(423, "DiskResourceLockedError"), ErrorCode.STORAGE_LOCKED, "locked"),
    "429": (status(429, "TooManyRequestsError"), ErrorCode.STORAGE_RATE_LIMITED, "limits requests"),
    "500": (status(500, "InternalServerError"), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    "502 page": (page(502), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    "503": (status(503, "ServiceUnavailable"), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    "504": (page(504), ErrorCode.STORAGE_UNAVAILABLE, "failed"),
    "507": (status(507, "DiskStorageQuotaExhaustedError"), ErrorCode.STORAGE_FULL, "is full"),
    "a page": (page(200), ErrorCode.STORAGE_UNAVAILABLE, "Yandex Disk"),
    "a drop": (drop_before, ErrorCode.STORAGE_UNAVAILABLE, "connection to Yandex Disk broke"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_every_refusal_of_the_api_has_its_code(
    double: YandexDouble,
    provider: YandexDiskProvider,
    answer: tuple[Action, ErrorCode, str],
    call: Callable[[YandexDiskProvider], object],
) -> None:
    put(provider, "acme/a")
    action, code, words = answer
    for method in ("GET", "PUT", "POST", "DELETE"):
        double.faults.add(method, "/v1/disk", action, times=100)
    with pytest.raises(ThumbnailError, match=words) as caught:
        call(provider)
    assert caught.value.code is code
    assert TOKEN not in repr((caught.value, caught.value.__cause__)) + str(caught.value)
    assert "?" not in caught.value.message
    double.faults.clear()
    assert files(double) == {"/acme/a": b"content"}


@pytest.mark.parametrize(
    ("code", "asked_s", "wait_s"),
    [(429, 17, 17.0), (429, None, 5.0), (423, 3, 3.0), (423, None, 10.0), (503, 9, 9.0), (503, None, None)],
)
def test_the_waits_of_limits_and_locks(
    double: YandexDouble, provider: YandexDiskProvider, code: int, asked_s: int | None, wait_s: float | None
) -> None:
    double.faults.add("GET", "/v1/disk", status(code, retry_after_s=asked_s))
    with pytest.raises(TransientError) as caught:
        provider.file_exists("acme/a")
    assert caught.value.retry_after_s == wait_s


UPLOAD_FAULTS: dict[str, tuple[str, str, Action]] = {
    "the put is dropped": ("PUT", "upload-target", drop_before),
    "the put's answer is lost": ("PUT", "upload-target", drop_after),
    "the put is only accepted": ("PUT", "upload-target", answer_with_status(202)),
    "the put fails": ("PUT", "upload-target", page(500)),
    "the put finds no space": ("PUT", "upload-target", status(507)),
    "the link has expired": ("PUT", "upload-target", page(410)),
    "the checksum differs": ("GET", r"\.part.*md5", change_json(md5="0" * 32, sha256="0" * 64)),
    "the size differs": ("GET", r"\.part.*md5", change_json(size=1)),
    "the move is locked": ("POST", "move", status(423)),
    "the move is dropped": ("POST", "move", drop_before),
    "the folder cannot be made": ("PUT", "/resources", status(503)),
}


@pytest.mark.parametrize("fault", UPLOAD_FAULTS.values(), ids=UPLOAD_FAULTS)
@pytest.mark.parametrize("is_replacing", [False, True], ids=["new", "replacing"])
def test_an_upload_that_fails_leaves_the_old_object_and_nothing_beside_it(
    double: YandexDouble, provider: YandexDiskProvider, fault: tuple[str, str, Action], is_replacing: bool
) -> None:
    if is_replacing:
        put(provider, "acme/x/a", b"old")
    else:
        put(provider, "elsewhere/a", b"old")
    before = files(double)
    other = a_provider(double)  # one that remembers no folder
    double.faults.add(*fault)
    with pytest.raises(TransientError):
        put(other, "acme/x/a", CONTENT)
    assert files(double) == before
    put(other, "acme/x/a", CONTENT)
    assert files(double) == before | {"/acme/x/a": CONTENT}


def test_a_move_whose_answer_is_lost_is_repeated_by_the_caller_and_leaves_one_object(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    double.faults.add("POST", "move", drop_after)
    with pytest.raises(TransientError):
        put(provider, "acme/a", CONTENT)
    put(provider, "acme/a", CONTENT)
    assert files(double) == {"/acme/a": CONTENT}


@pytest.mark.parametrize("step", ["GET .part.*md5", "POST move"])
def test_a_twin_of_an_upload_may_be_faster_at_any_step(
    double: YandexDouble, provider: YandexDiskProvider, step: str
) -> None:
    method, path = step.split(" ")
    double.faults.add(method, path, before_it(lambda: put(a_provider(double), "acme/a", CONTENT)))
    put(provider, "acme/a", CONTENT)
    assert files(double) == {"/acme/a": CONTENT}


def test_what_is_replaced_may_be_deleted_meanwhile(double: YandexDouble, provider: YandexDiskProvider) -> None:
    put(provider, "acme/a", b"old")
    double.faults.add("GET", r"fields=type", before_it(lambda: a_provider(double).delete_file("acme/a")))
    put(provider, "acme/a", CONTENT)
    assert files(double) == {"/acme/a": CONTENT}


@pytest.mark.parametrize("times", [1, 3])
def test_checksums_that_are_late_are_waited_for(double: YandexDouble, provider: YandexDiskProvider, times: int) -> None:
    double.faults.add("GET", r"\.part.*md5", change_json(md5=None, sha256=None), times=times)
    put(provider, "acme/a", CONTENT)
    assert files(double) == {"/acme/a": CONTENT}


def test_checksums_that_never_come_are_an_upload_that_is_not_proven(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    double.faults.add("GET", r"\.part.*md5", change_json(md5=None, sha256=None), times=100)
    with pytest.raises(TransientError) as caught:
        put(provider, "acme/a", CONTENT)
    assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED
    assert files(double) == {}


def test_moves_that_become_operations_are_waited_for(double: YandexDouble, provider: YandexDiskProvider) -> None:
    double.api.moves_become_operations = True
    put(provider, "acme/a", b"old")
    put(provider, "acme/a", CONTENT)
    assert files(double) == {"/acme/a": CONTENT}
    double.faults.add("GET", "/operations/", change_json(status="failed"))
    with pytest.raises(TransientError):
        put(provider, "acme/b")


def test_a_folder_that_somebody_removed_is_made_again(double: YandexDouble, provider: YandexDiskProvider) -> None:
    put(provider, "acme/x/a")
    double.disks[TOKEN].delete("/acme")
    put(provider, "acme/x/b")
    assert list(files(double)) == ["/acme/x/b"]


def test_a_folder_is_never_replaced_by_an_object(double: YandexDouble, provider: YandexDiskProvider) -> None:
    put(provider, "acme/folder/theirs", b"theirs")
    with pytest.raises(PermanentError) as caught:
        put(provider, "acme/folder", b"mine")
    assert caught.value.code is ErrorCode.STORAGE_BAD_KEY
    provider.delete_file("acme/folder")
    assert files(double) == {"/acme/folder/theirs": b"theirs"}


def test_two_accounts_do_not_see_each_other(double: YandexDouble, provider: YandexDiskProvider) -> None:
    put(provider, "acme/a")
    other = a_provider(double, "another")
    assert not other.file_exists("acme/a")
    with pytest.raises(PermanentError, match="token is wrong"):
        a_provider(double, "stolen").file_exists("acme/a")


READ_FAULTS: dict[str, Action] = {
    "a cut body": cut_body(5),
    "a drop": drop_before,
    "a page": page(200),
    "server errors": page(500),
}


@pytest.mark.parametrize("name", list(READ_FAULTS))
def test_a_read_that_fails_is_an_error_and_the_next_one_works(
    double: YandexDouble, provider: YandexDiskProvider, name: str
) -> None:
    put(provider, "acme/a", CONTENT)
    with provider.open_source("acme/a") as source:
        double.faults.add("GET", "^/disk/", READ_FAULTS[name], times=2)
        with pytest.raises(TransientError) as caught:
            source.read_at(10, 100)
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
        double.faults.clear()
        assert source.read_at(10, 100) == CONTENT[10:110]


def test_of_a_body_without_an_end_only_what_was_asked_for_is_read(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    put(provider, "acme/a", CONTENT)
    double.faults.add("GET", "^/disk/", endless_body, times=5)
    with provider.open_source("acme/a") as source:
        for _ in range(5):
            assert source.read_at(10, 100) == CONTENT[10:110]


@pytest.mark.parametrize("switch", ["honours_ranges", "redirects_downloads"])
def test_servers_that_ignore_ranges_or_redirect_are_read_all_the_same(
    double: YandexDouble, provider: YandexDiskProvider, switch: str
) -> None:
    put(provider, "acme/a", CONTENT)
    setattr(double.api, switch, not getattr(double.api, switch))
    with provider.open_source("acme/a") as source:
        assert source.read_at(600_000, 50) == CONTENT[600_000:600_050]
    assert read_all(provider, "acme/a") == CONTENT


def test_a_link_that_has_expired_is_renewed(provider: YandexDiskProvider, clock: Clock) -> None:
    put(provider, "acme/a", CONTENT)
    with provider.open_source("acme/a") as source:
        assert source.read_at(0, 10) == CONTENT[:10]
        clock.now_s += DOWNLOAD_LINK_S + 60
        assert source.read_at(10, 10) == CONTENT[10:20]


@pytest.mark.parametrize("sends_etag", [False, True])
def test_a_file_that_is_replaced_or_deleted_while_it_is_read_is_never_a_mixture(
    double: YandexDouble, provider: YandexDiskProvider, sends_etag: bool
) -> None:
    double.api.sends_etag = sends_etag
    put(provider, "acme/a", CONTENT)
    with provider.open_source("acme/a") as source:
        assert source.read_at(0, 10) == CONTENT[:10]
        double.disks[TOKEN].put("/acme/a", CONTENT[::-1])
        with pytest.raises(TransientError, match="was replaced") as caught:
            source.read_at(10, 10)
        assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
        provider.delete_file("acme/a")
        with pytest.raises(ObjectNotFoundError):
            source.read_at(10, 10)


def test_a_file_that_is_replaced_in_the_very_moment_of_a_read_is_noticed(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    put(provider, "acme/a", CONTENT)
    replacement = before_it(lambda: double.disks[TOKEN].put("/acme/a", CONTENT[::-1]))
    double.faults.add("GET", "^/disk/", replacement)
    with provider.open_source("acme/a") as source, pytest.raises(TransientError, match="was replaced"):
        source.read_at(10, 10)


def test_the_token_goes_to_the_api_alone(double: YandexDouble, provider: YandexDiskProvider) -> None:
    double.api.redirects_downloads = True
    put(provider, "acme/a", CONTENT)
    assert read_all(provider, "acme/a") == CONTENT
    reported = {asked.path.split("/")[1] for asked in double.requests if asked.authorization}
    assert reported == {"v1"}
    assert {"upload-target", "disk"} <= {asked.path.split("/")[1] for asked in double.requests}


def test_a_redirect_to_another_host_is_judged_and_gets_no_token(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    put(provider, "acme/a", CONTENT)
    double.api.redirects_downloads = True
    double.api.redirect_target = "http://169.254.169.254/latest/meta-data"
    with provider.open_source("acme/a") as source, pytest.raises(PermanentError, match="not public") as caught:
        source.read_at(0, 10)
    assert caught.value.code is ErrorCode.STORAGE_DENIED
    with YandexDouble(["other"]) as elsewhere:
        double.api.redirect_target = f"{elsewhere.url}/v1/disk"
        with provider.open_source("acme/a") as source, pytest.raises(TransientError):
            source.read_at(0, 10)
        assert [asked.authorization for asked in elsewhere.requests] == [None] * len(elsewhere.requests)
        assert elsewhere.requests


def test_the_address_of_a_file_is_its_public_page_once_and_for_all(
    double: YandexDouble, provider: YandexDiskProvider
) -> None:
    put(provider, "acme/a", CONTENT)
    url = provider.get_file_url("acme/a")
    assert requests.get(url, timeout=5).content == CONTENT
    published = [asked for asked in double.requests if "publish" in asked.path]
    assert provider.get_file_url("acme/a") == a_provider(double).get_file_url("acme/a") == url
    assert len(published) == 1
    with pytest.raises(ObjectNotFoundError):
        provider.get_file_url("acme/none")


def test_a_configured_address_needs_no_question(double: YandexDouble) -> None:
    asked_before = len(double.requests)
    url = a_provider(double, public_base_url="https://cdn.example/d/").get_file_url("acme/small picture#1.webp")
    assert url == "https://cdn.example/d/acme/small%20picture%231.webp"
    assert len(double.requests) == asked_before


def test_versions_are_the_content_s_own_checksum(provider: YandexDiskProvider) -> None:
    stored = provider.upload_file("acme/a", CONTENT, content_type="image/webp")
    with provider.open_source("acme/a") as source:
        assert source.version == stored.version == hashlib.sha256(CONTENT).hexdigest()


def test_a_server_that_is_silent_is_not_waited_for_for_ever(double: YandexDouble, provider: YandexDiskProvider) -> None:
    hold = Hold()
    double.faults.add("GET", "/v1/disk", hold)
    with pytest.raises(TransientError, match="in time"):
        provider.file_exists("acme/a")
    hold.release.set()
