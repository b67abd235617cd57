"""A Java consumer that knows thumbnail.state alone, while media are uploaded, fail and are deleted, and persist roles are killed.

UPLOADS=500 KILLS=10 and pytest's --timeout=0 make the whole program; without them it is a small one.
"""

import json
import os
import random
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.demo.broker import NoKafkaError
from tests.conftest import missing
from tests.servers.kafka.apache import fetch_jars
from tests.system.snippets import snippets_of
from tests.system.stack import Stack, a_stack

pytestmark = [pytest.mark.slow, pytest.mark.timed]

UPLOADS = int(os.environ.get("UPLOADS", "24"))
KILLS = int(os.environ.get("KILLS", "2"))
MEDIA = max(4, UPLOADS // 6)
SETTLES_WITHIN_S = 120.0 + UPLOADS
Json = dict[str, Any]


@dataclass
class Gallery:
    """The program of docs/consumers.md, and what it has printed: one line for each record that it saw."""

    process: subprocess.Popen[bytes]
    output: Path
    seen: int = 0

    def has_more(self) -> bool:
        """Whether it has seen another record since `seen`."""
        return len(self.lines()) > self.seen

    def lines(self) -> list[tuple[str, Json | None]]:
        whole = self.output.read_text().rpartition("\n")[0].splitlines()
        found = [line.split("\t") for line in whole if "\t" in line]
        return [(key, json.loads(value)) for key, value, _ in found]

    def states(self) -> dict[str, Json]:
        return {key: value for key, value in dict(self.lines()).items() if value is not None}


@contextmanager
def a_gallery(stack: Stack, folder: Path) -> Iterator[Gallery]:
    try:
        jars = fetch_jars()
    except NoKafkaError as exc:
        missing(str(exc))
    if shutil.which("javac") is None:
        missing("javac is missing: install a JDK")
    (program,) = snippets_of("docs/consumers.md", "java")
    assert program.count('"localhost:9092"') == program.count('"thumbnail.state"') == 1
    program = program.replace("localhost:9092", stack.platform.bootstrap_servers)
    program = program.replace("thumbnail.state", f"{stack.platform.topic_prefix}thumbnail.state")
    source, output = folder / "Gallery.java", folder / "gallery.txt"
    source.write_text(program)
    command = ["java", "-Xmx128m", "-cp", f"{jars}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", str(source)]
    with output.open("wb") as out, (folder / "gallery.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=out, stderr=log)
    try:
        yield Gallery(process, output)
        assert process.poll() is None, (folder / "gallery.log").read_text()
    finally:
        process.kill()
        process.wait()


@dataclass
class Story:
    """What happens to the media, and what their rows must say at the end: an upload's id, or None once deleted."""

    stack: Stack
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    ends: dict[str, str | None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def step(self) -> None:
        """Upload or delete something."""
        platform, number = self.stack.platform, self.chance.randint(1, MEDIA)
        kind = self.chance.choice(["video", "image"])
        key = f"{'video' if kind == 'video' else 'ar_content'}:{number}"
        what = self.chance.random()
        if key in self.removed:
            return
        if what < 0.08:
            self.delete(kind, number, key)
        elif what < 0.14:
            platform.publish_raw(None, key)
            self.ends[key] = None
        else:
            upload = platform.upload(number, kind, sound=what < 0.75)
            platform.publish([upload])
            self.ends[key] = upload.event["event_id"]

    def delete(self, kind: str, number: int, key: str) -> None:
        """Delete by an event; of every other media the platform removes the row first."""
        if kind == "video" and number % 2:
            with self.stack.platform.engine.begin() as connection:
                connection.execute(sa.text("DELETE FROM videos WHERE id = :id"), {"id": number})
            self.removed.add(key)
        event = {
            "event_id": str(uuid.uuid4()),
            "occurred_at": datetime.now(UTC).isoformat(),
            "company_id": 1,
            "media": {"kind": kind, "id": number, "ar_content_id": number},
        }
        envelope = {"specversion": "1.0", "id": event["event_id"], "source": "/test", "data": event}
        envelope |= {"type": "vertexar.media.deleted.v1", "datacontenttype": "application/json"}
        self.stack.platform.publish_raw(json.dumps(envelope).encode(), key)
        self.ends[key] = None

    def is_told(self) -> bool:
        """Whether each row says what it must."""
        for key, event_id in self.ends.items():
            row = self.stack.platform.row(key)
            if key in self.removed:
                continue
            assert row is not None
            if row["thumbnail_event_id"] != (event_id or "tombstone"):
                return False
        return True


def states_of_rows(stack: Stack) -> dict[str, Json]:
    """What the database says, by its columns alone."""
    found: dict[str, Json] = {}
    for table, kind in (("videos", "video"), ("ar_contents", "ar_content")):
        with stack.platform.engine.connect() as connection:
            rows = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().all()  # noqa: S608 - one of two names
        for row in rows:
            if row["thumbnail_event_id"] not in (None, "tombstone"):
                error = row["thumbnail_error"]
                found[f"{kind}:{row['id']}"] = {
                    "status": row["thumbnail_status"],
                    "upload_event_id": row["thumbnail_event_id"],
                    "occurred_at": row["thumbnail_occurred_at"],
                    "thumbnail_url": row["thumbnail_url"],
                    "renditions": row["thumbnails"] or [],
                    "placeholder": row["thumbnail_placeholder"],
                    "error": error and error.partition(":")[0],
                }
    return found


def shown(states: dict[str, Json]) -> dict[str, Json]:
    """The same of what the consumer holds."""
    names = ("status", "upload_event_id", "thumbnail_url", "renditions", "placeholder")
    return {
        key: {name: state[name] for name in names}
        | {"occurred_at": datetime.fromisoformat(state["occurred_at"])}
        | {"error": state["error"] and state["error"]["code"]}
        for key, state in states.items()
    }


def older_after_newer(records: Iterable[tuple[str, Json | None]]) -> list[str]:
    found, newest, last = [], dict[str, int](), dict[str, Json | None]()
    for key, state in records:
        if state is not None:
            least = newest.get(key, 0) + (key in last and last[key] is None)
            if state["revision"] < least:
                found.append(f"{key}: {state['revision']} after {newest[key]}")
            newest[key] = max(newest.get(key, 0), state["revision"])
        last[key] = state
    return found


def test_whoever_reads_one_topic_ends_with_what_the_database_says(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    url = postgres_url
    with a_stack(kafka, url, topic_prefix, tmp_path) as stack:
        platform, supervisor = stack.platform, stack.supervisor
        platform.add_rows(range(1, MEDIA + 1))
        supervisor.start("persist")
        supervisor.wait_until_ready()
        with a_gallery(stack, tmp_path) as gallery:
            story = Story(stack)
            kills = set(range(UPLOADS // (KILLS + 1), UPLOADS, UPLOADS // (KILLS + 1)))
            for number in range(UPLOADS):
                story.step()
                if number in kills:
                    gallery.seen = len(gallery.lines())
                    stack.wait_for(gallery.has_more, restart=True)
                    story.chance.choice(supervisor.of("persist")).process.kill()
                supervisor.restart_ended()
            stack.wait_for(story.is_told, SETTLES_WITHIN_S, restart=True)
            supervisor.wait_until_ready()
            stack.wait_for(lambda: shown(gallery.states()) == states_of_rows(stack), SETTLES_WITHIN_S)
        assert older_after_newer(gallery.lines()) == []
        assert sum(role.exit_codes.count(-9) for role in supervisor.of("persist")) >= KILLS
        statuses = {state and state["status"] for _, state in gallery.lines()}
        assert statuses == {"ready", "failed", None}

        stack.wait_for(lambda: not dead_urls(stack, gallery.states()), SETTLES_WITHIN_S)
        stack.wait_for(lambda: not leftovers(stack, story), SETTLES_WITHIN_S)
    last = [(record.key().decode(), record.value()) for record in platform.read_topic("thumbnail.state")]
    assert shown({key: json.loads(value) for key, value in dict(last).items() if value}) == states_of_rows(stack)


def dead_urls(stack: Stack, states: dict[str, Json]) -> list[str]:
    """The renditions that a consumer holds and that are not there."""
    vault = stack.platform.storage_root / "vault"
    return [
        one["key"] for state in states.values() for one in state["renditions"] if not (vault / one["key"]).is_file()
    ]


def leftovers(stack: Stack, story: Story) -> list[str]:
    """Pictures of media that are deleted."""
    gone = {key for key, event_id in story.ends.items() if event_id is None}
    names = {re.sub("^ar_content", "image", key).replace(":", "/") for key in gone}
    return [key for key in stack.platform.objects() if any(f"thumbnails/{name}/" in key for name in names)]
