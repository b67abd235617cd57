"""Consumers in three languages that know thumbnail.state alone, while media are uploaded, fail and are deleted, and persist
roles are killed.

UPLOADS=500 KILLS=10 and pytest's --timeout=0 make the whole program; without them it is a small one.
"""

import json
import os
import random
import re
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.conftest import missing
from tests.servers.clients import NoClientError, command_for
from tests.system.snippets import snippets_of
from tests.system.stack import Stack, a_stack

pytestmark = [pytest.mark.slow, pytest.mark.timed]

UPLOADS = int(os.environ.get("UPLOADS", "24"))
KILLS = int(os.environ.get("KILLS", "2"))
MEDIA = max(4, UPLOADS // 6)
SETTLES_WITHIN_S = 120.0 + UPLOADS
LANGUAGES = ("java", "go", "javascript")
Json = dict[str, Any]


@dataclass
class Gallery:
    """A program of docs/clients.md, and what it has printed: one line for each record that it saw."""

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
def a_gallery(stack: Stack, language: str, folder: Path) -> Iterator[Gallery]:
    """The language's consumer of docs/clients.md. Raises NoClientError."""
    (program,) = [found for found in snippets_of("docs/clients.md", language) if "thumbnail.state" in found]
    assert program.count('"localhost:9092"') == program.count('"thumbnail.state"') == 1
    program = program.replace("localhost:9092", stack.platform.bootstrap_servers)
    program = program.replace("thumbnail.state", f"{stack.platform.topic_prefix}thumbnail.state")
    command, changes = command_for(language, program, folder)
    output, said = folder / f"{language}.txt", folder / f"{language}.log"
    with output.open("wb") as out, said.open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | changes, stdout=out, stderr=log)
    try:
        yield Gallery(process, output)
        assert process.poll() is None, said.read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def galleries(stack: Stack, folder: Path) -> Iterator[dict[str, Gallery]]:
    """One in each language whose tools are here; Java's are those of the broker."""
    with ExitStack() as open_ones:
        found = {}
        for language in LANGUAGES:
            try:
                found[language] = open_ones.enter_context(a_gallery(stack, language, folder))
            except NoClientError as exc:
                if language == "java":
                    missing(str(exc))
                print(f"no consumer in {language}: {exc}")  # noqa: T201 - which were there is a result
        yield found


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
        with galleries(stack, tmp_path) as found:
            story, gallery = Story(stack), found["java"]
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
            for language, one in found.items():
                is_there = partial(holds_what_rows_say, stack, one)
                assert stack.wait_for(is_there, SETTLES_WITHIN_S), f"the consumer in {language}"
        for one in found.values():
            assert older_after_newer(one.lines()) == []
            assert {state and state["status"] for _, state in one.lines()} == {"ready", "failed", None}
        assert sum(role.exit_codes.count(-9) for role in supervisor.of("persist")) >= KILLS

        for one in found.values():
            stack.wait_for(partial(has_no_dead_url, stack, one), SETTLES_WITHIN_S)
        stack.wait_for(lambda: not leftovers(stack, story), SETTLES_WITHIN_S)
    last = [(record.key().decode(), record.value()) for record in platform.read_topic("thumbnail.state")]
    assert shown({key: json.loads(value) for key, value in dict(last).items() if value}) == states_of_rows(stack)


def holds_what_rows_say(stack: Stack, gallery: Gallery) -> bool:
    return shown(gallery.states()) == states_of_rows(stack)


def has_no_dead_url(stack: Stack, gallery: Gallery) -> bool:
    """Whether all renditions that a consumer holds are there."""
    vault = stack.platform.storage_root / "vault"
    return all((vault / one["key"]).is_file() for state in gallery.states().values() for one in state["renditions"])


def leftovers(stack: Stack, story: Story) -> list[str]:
    """Pictures of media that are deleted."""
    gone = {key for key, event_id in story.ends.items() if event_id is None}
    names = {re.sub("^ar_content", "image", key).replace(":", "/") for key in gone}
    return [key for key in stack.platform.objects() if any(f"thumbnails/{name}/" in key for name in names)]
