"""What the page shows of a record: bounded, without secrets, and pictures of known storages only."""

import json
from dataclasses import replace

import pytest

from schemas.cloudevents import write_event
from schemas.events import Media, MediaKind, ThumbnailFailed, ThumbnailReady
from service.web.tiles import MAX_NAME_CHARS, Tile, TileReader, origin_of
from streams.kafka.records import InboundRecord
from tests.doubles.results import a_media, failed, ready

READER = TileReader("thumbnail.failed", {"http://files.example", "https://s3.example:9000"})


def record(event: ThumbnailReady | ThumbnailFailed, at_ms: int = 1_764_000_000_000) -> InboundRecord:
    topic = "thumbnail.ready" if isinstance(event, ThumbnailReady) else "thumbnail.failed"
    return InboundRecord(topic, 0, 1, at_ms, event.media.record_key.encode(), write_event(event), ())


def tile_of(event: ThumbnailReady | ThumbnailFailed) -> Tile:
    tile = READER.read(record(event))
    assert tile is not None
    return tile


def test_every_outcome_of_one_upload_has_the_same_key_and_other_uploads_have_others() -> None:
    assert tile_of(ready(1)).key == tile_of(failed(1)).key
    others = {tile_of(ready(2)).key, tile_of(ready(1, a_media(43))).key, tile_of(ready(1, company_id=2)).key}
    assert len(others | {tile_of(ready(1)).key}) == 4


def test_a_rejection_is_no_result_and_whatever_else_comes_should_be_one() -> None:
    rejected = (("ce_type", b"vertexar.media.rejected.v1"),)
    for event in (ready(1), failed(1)):
        assert READER.is_result(record(event))
    strange = replace(record(failed(1)), value=b"{not json")
    assert READER.is_result(strange)
    assert not READER.is_result(replace(strange, headers=rejected))
    assert READER.is_result(replace(record(ready(1)), headers=rejected))


def test_a_failure_tells_code_reason_stage_and_what_this_version_says_is_to_be_done() -> None:
    tile = tile_of(failed(message="The video is cut short."))
    assert tile.is_failed
    assert tile.data["code"] == "media.corrupt"
    assert tile.data["message"] == "The video is cut short."
    assert "export it again" in tile.data["next_action"]


@pytest.mark.parametrize(
    ("url", "is_loaded"),
    [
        ("http://files.example/a/medium.webp", True),
        ("HTTP://FILES.example:80/a.webp", True),
        ("https://s3.example:9000/b/a.webp", True),
        ("https://s3.example/b/a.webp", False),
        ("https://files.example/a.webp", False),
        ("http://files.example.evil.example/a.webp", False),
        ("http://user:secret@files.example/a.webp", False),
        ("http://files.example/a.webp?X-Amz-Signature=abc", False),
        ("javascript:alert(1)", False),
        ("data:image/svg+xml,<svg onload=alert(1)>", False),
        ("http://files.example:port/a.webp", False),
        ("http://files.example/" + "a" * 3000, False),
        ("memory://local/a.webp", False),
    ],
)
def test_a_picture_is_loaded_from_known_storages_by_addresses_without_secrets_only(url: str, is_loaded: bool) -> None:
    data = tile_of(ready(thumbnail_url=url)).data
    assert data["image"] == (url if is_loaded else None)
    assert (data["note"] is None) is is_loaded
    assert "secret" not in json.dumps(data).replace("may hold a secret", "")
    assert "X-Amz-Signature" not in json.dumps(data)


def test_what_the_page_cannot_read_is_no_tile_and_no_error() -> None:
    for value in (None, b"", b"\x00\xff", b"[]", b'{"event_id": 1}', write_event(failed())):
        assert READER.read(InboundRecord("thumbnail.ready", 0, 0, 0, None, value, ())) is None


def test_a_tile_stays_small_however_long_names_are() -> None:
    media = Media(kind=MediaKind.VIDEO, id=1, ar_content_id=1, key="acme/" + "é" * 4000)
    data = tile_of(ready(1, media)).data
    assert len(data["name"]) == len(data["path"]) == MAX_NAME_CHARS
    assert len(json.dumps(data)) < 16_000


def test_origins_are_compared_as_browsers_do() -> None:
    assert origin_of("https://S3.Example:443/x") == "https://s3.example"
    assert origin_of("http://[FD00::1]:9000") == "http://[fd00::1]:9000"
    assert origin_of("ftp://s3.example") is None
