"""Other teams' side of the contract: the documents' examples as they stand, and clients written from the exported files alone."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.producing import partition_of
from schemas.topics import MEDIA_UPLOADED
from tests.conftest import missing
from tests.servers.clients import NoClientError, command_for
from tests.system.contract_clients import EXPORTED, ContractConsumer, ContractProducer
from tests.system.snippets import run_shell, snippets_of
from tests.system.stack import Stack, a_stack

PRODUCERS, CONSUMERS, CLIENTS = "docs/producers.md", "docs/consumers.md", "docs/clients.md"
LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)
"""Before the deletion of the page's example."""
HOLIDAY, PHOTO = "acme/uploads/holiday.mp4", "acme/uploads/photo.jpg"


@pytest.fixture(scope="module")
def stack(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation on the shared broker; kcat of Debian 12 does not understand the embedded one."""
    if shutil.which("kcat") is None:
        missing("kcat is missing: apt-get install kcat")
    folder = tmp_path_factory.mktemp("contract")
    with a_stack(kafka, f"sqlite:///{folder / 'platform.db'}", f"t-{uuid.uuid4().hex[:8]}.", folder) as made:
        made.platform.add_rows(range(1, 50))
        made.platform.store(HOLIDAY, made.platform.sample("video"))
        made.platform.store(PHOTO, made.platform.sample("image"))
        yield made


@pytest.fixture
def consumer(stack: Stack) -> Iterator[ContractConsumer]:
    made = ContractConsumer(stack.platform.bootstrap_servers, stack.platform.topic_prefix)
    yield made
    made.close()


def example(stack: Stack, page: str, language: str, text: str) -> str:
    """The one example of a page that contains `text`, for the test's broker and topics."""
    (found,) = [snippet for snippet in snippets_of(page, language) if text in snippet]
    assert "localhost:9092" in found
    found = found.replace("localhost:9092", stack.platform.bootstrap_servers)
    return re.sub(
        r"\b(media\.uploaded|thumbnail\.(ready|failed|state))\b(?!\.v1)", rf"{stack.platform.topic_prefix}\1", found
    )


def producer_of(stack: Stack) -> ContractProducer:
    return ContractProducer(stack.platform.bootstrap_servers, stack.platform.topic_prefix)


def row_is_ready(stack: Stack, key: str, upload: str) -> bool:
    row = stack.platform.row(key)
    return row is not None and (row["thumbnail_status"], row["thumbnail_event_id"]) == ("ready", upload)


def test_every_example_of_both_pages_is_run_by_a_test() -> None:
    counts = {page: (len(snippets_of(page, "python")), len(snippets_of(page, "sh"))) for page in (PRODUCERS, CONSUMERS)}
    assert counts == {PRODUCERS: (1, 3), CONSUMERS: (2, 1)}


def test_an_upload_announced_as_the_page_says_becomes_thumbnails(stack: Stack, tmp_path: Path) -> None:
    script = example(stack, PRODUCERS, "python", "media.uploaded")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stack.wait_for(lambda: row_is_ready(stack, "video:42", done.stdout.strip()))


def test_an_upload_announced_by_kcat_becomes_thumbnails(stack: Stack, tmp_path: Path) -> None:
    done = run_shell(example(stack, PRODUCERS, "sh", "photo-9-1"), tmp_path)
    assert done.returncode == 0, done.stderr
    stack.wait_for(lambda: row_is_ready(stack, "ar_content:9", "photo-9-1"))


@pytest.mark.parametrize("language", ["java", "go", "javascript"])
def test_an_upload_announced_by_a_program_in(language: str, stack: Stack, tmp_path: Path) -> None:
    """And it goes where all others of its media go."""
    try:
        command, changes = command_for(language, example(stack, CLIENTS, language, "media.uploaded"), tmp_path)
    except NoClientError as exc:
        pytest.skip(str(exc))
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | changes, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    sent = [record for record in stack.platform.read_topic("media.uploaded") if record.key() == b"video:42"]
    newest = max(sent, key=lambda record: record.timestamp())
    stack.wait_for(lambda: row_is_ready(stack, "video:42", json.loads(newest.value())["event_id"]))
    ours = producer_of(stack).send({"kind": "video", "id": 42, "ar_content_id": 42, "key": HOLIDAY})
    of_ours = [record for record in stack.platform.read_topic("media.uploaded") if ours.encode() in record.value()]
    by_java = partition_of(b"video:42", MEDIA_UPLOADED.partitions)
    assert [record.partition() for record in of_ours] == [newest.partition()] == [int(done.stdout)] == [by_java]


def test_a_deletion_by_kcat_is_a_null_value_that_the_worker_sees(stack: Stack, tmp_path: Path) -> None:
    done = run_shell(example(stack, PRODUCERS, "sh", "ar_content:7"), tmp_path)
    assert done.returncode == 0, done.stderr
    stack.wait_for(lambda: (stack.platform.row("ar_content:7") or {})["thumbnail_occurred_at"])
    assert [
        record.value() for record in stack.platform.read_topic("media.uploaded") if record.key() == b"ar_content:7"
    ] == [None]


def test_the_consumer_of_the_page_keeps_the_newest_state_of_each_media(stack: Stack, tmp_path: Path) -> None:
    producer = producer_of(stack)
    now = datetime.now(UTC)
    media = {"kind": "video", "id": 11, "ar_content_id": 11, "key": HOLIDAY}
    newer = producer.send(media, occurred_at=now)
    producer.send(media, occurred_at=now - timedelta(hours=1))
    stack.platform.store("acme/uploads/broken.mp4", b"\0\0\0\x18ftypisom" + bytes(300))
    producer.send({"kind": "video", "id": 12, "ar_content_id": 12, "key": "acme/uploads/broken.mp4"})

    script = example(stack, CONSUMERS, "python", "NEWEST_WINS")
    log = tmp_path / "consumer.log"
    gallery = start_gallery(script, tmp_path, log)
    try:

        def shown() -> dict[str, tuple[str, str]]:
            assert gallery.poll() is None, log.read_text()
            if not (tmp_path / "gallery.db").exists():
                return {}
            with closing(sqlite3.connect(tmp_path / "gallery.db", timeout=10)) as database:
                exists = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'thumbnails'").fetchone()
                rows = database.execute("SELECT media, upload, shown FROM thumbnails") if exists else []
                return {media: (upload, what) for media, upload, what in rows}

        stack.wait_for(lambda: {"video:11", "video:12"} <= set(shown()) and shown()["video:11"][0] == newer)
        stack.wait_for(
            lambda: len([r for r in stack.platform.read_topic("thumbnail.ready") if r.key() == b"video:11"]) == 2
        )
        assert shown()["video:11"][0] == newer
        assert shown()["video:11"][1].endswith("medium.webp")
        assert shown()["video:12"][1] == "media.corrupt"
    finally:
        gallery.send_signal(signal.SIGINT)
        code = gallery.wait(30)
    assert code == 0, log.read_text()


def start_gallery(script: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the page's consumer, which ends by Ctrl-C, also where a shell has the tests in the background."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=folder,
            env=os.environ | {"SCHEMAS": str(EXPORTED)},
            stdout=out,
            stderr=out,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def test_a_deletion_by_kcat_as_the_page_says_takes_the_pictures_and_the_consumer_of_the_page_learns_of_it(
    stack: Stack, tmp_path: Path
) -> None:
    """The consumer reads thumbnail.state alone."""
    upload = producer_of(stack).send(
        {"kind": "video", "id": 15, "ar_content_id": 15, "key": HOLIDAY}, occurred_at=LONG_AGO
    )
    stack.wait_for(lambda: row_is_ready(stack, "video:15", upload))
    script = example(stack, CONSUMERS, "python", "INSERT OR REPLACE")
    log = tmp_path / "consumer.log"
    gallery = start_gallery(script, tmp_path, log)
    try:

        def shown() -> dict[str, str]:
            assert gallery.poll() is None, log.read_text()
            with closing(sqlite3.connect(tmp_path / "gallery.db", timeout=10)) as database:
                exists = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'pictures'").fetchone()
                return dict(database.execute("SELECT media, url FROM pictures") if exists else [])

        stack.wait_for(lambda: "video:15" in shown())
        assert shown()["video:15"].endswith("medium.webp")
        done = run_shell(example(stack, PRODUCERS, "sh", "media.deleted"), tmp_path)
        assert done.returncode == 0, done.stderr
        stack.wait_for(lambda: "video:15" not in shown())
        row = stack.platform.row("video:15")
        assert row is not None
        assert (row["thumbnail_url"], row["thumbnail_status"]) == (None, None)
        stack.wait_for(lambda: not [key for key in stack.platform.objects() if "/thumbnails/video/15/" in key])
    finally:
        gallery.send_signal(signal.SIGINT)
        gallery.wait(30)


def test_kcat_shows_results_as_the_page_says(stack: Stack, tmp_path: Path) -> None:
    producer = producer_of(stack)
    stack.platform.store("acme/uploads/broken.jpg", b"no picture")
    producer.send({"kind": "image", "id": 13, "ar_content_id": 13, "key": "acme/uploads/broken.jpg"})
    upload = producer.send({"kind": "image", "id": 14, "ar_content_id": 14, "key": PHOTO})
    stack.wait_for(lambda: row_is_ready(stack, "ar_content:14", upload))
    stack.wait_for(lambda: (stack.platform.row("ar_content:13") or {})["thumbnail_status"] == "failed")

    done = run_shell(example(stack, CONSUMERS, "sh", "kcat"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nar_content:14\n" in f"\n{done.stdout}"
    assert f"causationid={upload}" in done.stdout
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"topic"')]
    failed = [json.loads(record["payload"]) for record in records if record["key"] == "ar_content:13"]
    assert [event["error"]["code"] for event in failed] == ["media.unsupported"]


def test_clients_written_from_the_exported_files_follow_an_upload_to_both_ends(
    stack: Stack, consumer: ContractConsumer
) -> None:
    producer = producer_of(stack)
    stack.platform.store("acme/uploads/none.mp4", b"dear diary")
    good = producer.send(
        {"kind": "video", "id": 21, "ar_content_id": 21, "key": HOLIDAY}, a_field_of_theirs="is ignored"
    )
    bad = producer.send({"kind": "video", "id": 22, "ar_content_id": 22, "key": "acme/uploads/none.mp4"})

    def both() -> bool:
        consumer.poll()
        return {"video:21", "video:22"} <= set(consumer.newest)

    stack.wait_for(both)
    ready, failed = consumer.newest["video:21"][1], consumer.newest["video:22"][1]
    assert (ready["upload_event_id"], [item["name"] for item in ready["renditions"]]) == (
        good,
        ["small", "medium", "large"],
    )
    assert (failed["upload_event_id"], failed["error"]["code"]) == (bad, "media.unsupported")


def test_an_upload_that_is_sent_twice_is_one_event_to_its_consumer(stack: Stack, consumer: ContractConsumer) -> None:
    producer = producer_of(stack)
    media, moment = {"kind": "video", "id": 31, "ar_content_id": 31, "key": HOLIDAY}, datetime.now(UTC)
    upload = producer.send(media, occurred_at=moment)
    producer.send(media, event_id=upload, occurred_at=moment)

    def repeated() -> list[str]:
        consumer.poll()
        found = consumer.event_ids
        return [event_id for event_id in set(found) if found.count(event_id) > 1]

    stack.wait_for(repeated)
    _, event = consumer.newest["video:31"]
    assert repeated() == [event["event_id"]]
    assert event["upload_event_id"] == upload


def test_a_consumer_takes_the_fields_of_a_later_release(consumer: ContractConsumer) -> None:
    message = json.loads((EXPORTED / "asyncapi.json").read_text())["components"]["messages"]["ThumbnailReady"][
        "examples"
    ][0]
    later = message["payload"] | {"palette": ["#fff"], "media": message["payload"]["media"] | {"album": 3}}
    consumer.take("video:42", later, message["headers"] | {"ce_dataschema": "urn:x"})
    assert consumer.newest["video:42"][1] == later
