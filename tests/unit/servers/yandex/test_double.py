"""The double of Yandex Disk against the facts of the real API, asked over plain HTTP as any client would."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.servers.yandex.routes import DOWNLOAD_LINK_S, UPLOAD_LINK_S
from tests.servers.yandex.server import YandexDouble

API = "/v1/disk/resources"


class Clock:
    """A clock that the test moves."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Client:
    """One account's requests."""

    def __init__(self, double: YandexDouble, token: str = "token") -> None:  # noqa: S107 - the double's
        self._url = double.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"OAuth {token}"

    def ask(self, method: str, path: str, /, **query: str) -> requests.Response:
        url = path if path.startswith("http") else f"{self._url}{path}"
        return self._session.request(method, url, params=query, timeout=5)

    def error(self, method: str, path: str, /, **query: str) -> tuple[int, str]:
        answer = self.ask(method, path, **query)
        found: dict[str, Any] = answer.json()
        assert sorted(found) == ["description", "error", "message"]
        return answer.status_code, found["error"]

    def upload(self, path: str, content: bytes) -> requests.Response:
        href = self.ask("GET", f"{API}/upload", path=path, overwrite="true").json()["href"]
        return requests.put(href, data=content, timeout=5)


@pytest.fixture
def double(clock: Clock) -> Iterator[YandexDouble]:
    with YandexDouble(["token", "another"], clock=clock) as made:
        yield made


@pytest.fixture
def client(double: YandexDouble) -> Client:
    return Client(double)


def test_without_a_known_token_nothing_is_told(double: YandexDouble) -> None:
    assert Client(double, "stolen").error("GET", "/v1/disk") == (401, "UnauthorizedError")
    assert requests.get(f"{double.url}{API}?path=/", timeout=5).status_code == 401


def test_a_good_token_is_known_by_an_operation_that_is_not(client: Client) -> None:
    assert client.error("GET", "/v1/disk/operations/0000") == (404, "DiskOperationNotFoundError")


def test_folders_are_made_one_by_one(client: Client) -> None:
    assert client.error("PUT", API, path="/a/b") == (409, "DiskPathDoesntExistsError")
    assert client.ask("PUT", API, path="disk:/a").status_code == 201
    assert client.error("PUT", API, path="/a") == (409, "DiskPathPointsToExistentDirectoryError")
    client.upload("/a/file", b"x")
    assert client.error("PUT", API, path="/a/file") == (409, "DiskResourceAlreadyExistsError")
    assert client.error("PUT", API, path="/a/file/b") == (409, "DiskPathDoesntExistsError")
    assert client.error("PUT", API) == (400, "FieldValidationError")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_needs_its_folder_and_a_fresh_link(client: Client, chunked: bool) -> None:
    assert client.error("GET", f"{API}/upload", path="/none/a") == (409, "DiskPathDoesntExistsError")
    link = client.ask("GET", f"{API}/upload", path="/a").json()
    assert (link["method"], len(link["operation_id"])) == ("PUT", 64)
    body = (part for part in (b"con", b"tent")) if chunked else b"content"
    assert requests.put(link["href"], data=body, timeout=5).status_code == 201
    assert requests.put(link["href"], data=b"again", timeout=5).status_code == 410
    assert client.error("GET", f"{API}/upload", path="/a") == (409, "DiskResourceAlreadyExistsError")
    meta = client.ask("GET", API, path="/a").json()
    assert (meta["type"], meta["size"], meta["path"]) == ("file", 7, "disk:/a")


def test_links_expire(client: Client, clock: Clock) -> None:
    client.upload("/a", b"content")
    upload = client.ask("GET", f"{API}/upload", path="/b").json()["href"]
    download = client.ask("GET", f"{API}/download", path="/a").json()["href"]
    assert requests.get(download, timeout=5).content == b"content"
    clock.now_s += UPLOAD_LINK_S + 1
    assert requests.put(upload, data=b"x", timeout=5).status_code == 410
    clock.now_s += DOWNLOAD_LINK_S
    late = requests.get(download, timeout=5)
    assert (late.status_code, late.headers["Content-Type"]) == (410, "text/html")


def test_only_the_fields_that_are_named_come_back(client: Client) -> None:
    client.ask("PUT", API, path="/d")
    client.upload("/d/a", b"content")
    assert client.ask("GET", API, path="/d/a", fields="type,size,none").json() == {"type": "file", "size": 7}
    listed = client.ask(
        "GET", API, path="/d", fields="type,_embedded.items,_embedded.total,_embedded.items.name"
    ).json()
    assert listed == {"type": "dir", "_embedded": {"total": 1, "items": [{"name": "a"}]}}
    assert client.ask("GET", API, path="/d/a", fields="type,_embedded.items").json() == {"type": "file"}


def test_listings_have_pages_and_folders_first(client: Client) -> None:
    for number in range(25):
        client.upload(f"/{number:02}", b"x")
    client.ask("PUT", API, path="/z-folder")
    first = client.ask("GET", API, path="/").json()["_embedded"]
    assert (first["limit"], first["offset"], first["total"], len(first["items"])) == (20, 0, 26, 20)
    assert [item["name"] for item in first["items"][:2]] == ["z-folder", "00"]
    second = client.ask("GET", API, path="/", offset="20", limit="10").json()["_embedded"]
    assert [item["name"] for item in second["items"]] == ["19", "20", "21", "22", "23", "24"]


def test_a_folder_with_content_is_removed_by_an_operation(client: Client) -> None:
    client.ask("PUT", API, path="/d")
    client.upload("/d/a", b"x")
    answer = client.ask("DELETE", API, path="/d", permanently="true")
    assert answer.status_code == 202
    assert answer.json()["href"].startswith("https://cloud-api.yandex.net/v1/disk/operations/")
    operation = answer.json()["href"].rpartition("/")[2]
    seen = [client.ask("GET", f"/v1/disk/operations/{operation}").json()["status"] for _ in range(3)]
    assert seen == ["in-progress", "success", "success"]
    assert client.error("DELETE", API, path="/d") == (404, "DiskNotFoundError")
    client.upload("/a", b"x")
    assert client.error("DELETE", API, path="/a", md5="0" * 32) == (409, "MD5DifferError")
    assert client.ask("DELETE", API, path="/a").status_code == 204


def test_a_move_overwrites_only_when_it_is_told_to(client: Client) -> None:
    client.upload("/a", b"a")
    client.upload("/b", b"b")
    move = {"from": "/a", "path": "/b"}
    assert client.error("POST", f"{API}/move", **move) == (409, "DiskResourceAlreadyExistsError")
    assert client.error("POST", f"{API}/move", **move | {"path": "/none/b"}) == (409, "DiskPathDoesntExistsError")
    assert client.ask("POST", f"{API}/move", **move, overwrite="true").status_code == 201
    assert client.error("POST", f"{API}/move", **move) == (404, "DiskNotFoundError")


@pytest.mark.parametrize(
    ("wanted", "code", "body"),
    [("bytes=2-4", 206, b"234"), ("bytes=8-100", 206, b"89"), ("bytes=5-", 206, b"56789"), ("bytes=10-", 416, b"")],
)
def test_downloads_have_ranges(client: Client, wanted: str, code: int, body: bytes) -> None:
    client.upload("/a", b"0123456789")
    href = client.ask("GET", f"{API}/download", path="/a").json()["href"]
    answer = requests.get(href, headers={"Range": wanted}, timeout=5)
    assert (answer.status_code, answer.content) == (code, body)


def test_what_is_published_has_an_address_until_it_is_no_more(client: Client) -> None:
    client.upload("/a.webp", b"picture")
    assert "public_url" not in client.ask("GET", API, path="/a.webp").json()
    client.ask("PUT", f"{API}/publish", path="/a.webp")
    url = client.ask("GET", API, path="/a.webp").json()["public_url"]
    answer = requests.get(url, timeout=5)
    assert (answer.content, answer.headers["Content-Type"]) == (b"picture", "image/webp")
    client.ask("PUT", f"{API}/unpublish", path="/a.webp")
    assert requests.get(url, timeout=5).status_code == 404


def test_an_account_has_its_own_limits_and_its_own_files(double: YandexDouble, client: Client) -> None:
    double.disks["token"].quota_bytes = 10
    double.disks["another"].max_file_size_bytes = 3
    assert client.upload("/a", b"0123456789").status_code == 201
    assert client.upload("/b", b"x").status_code == 507
    another = Client(double, "another")
    assert another.error("GET", API, path="/a") == (404, "DiskNotFoundError")
    assert another.upload("/a", b"0123").status_code == 413
    assert client.ask("GET", "/v1/disk").json()["used_space"] == 10
