"""`thumbnails dlq …` as a process of its own, that can be killed. Sees only the command line and topics."""

import collections
import os
import random
import subprocess
import sys
import time

import pytest

from tests.doubles.letter_topics import CODES, DeadLetterTopics, Done
from tests.system.stack import run_cli

DEAD_LETTERS = 3000
KILLS = 3


@pytest.fixture
def environment(kafka: str, topic_prefix: str) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC_PREFIX": topic_prefix, "KAFKA_REPLICATION_FACTOR": "1"}


@pytest.fixture
def topics(kafka: str, topic_prefix: str, environment: dict[str, str]) -> DeadLetterTopics:
    def command(arguments: list[str]) -> Done:
        done = run_cli(environment, *arguments)
        return Done(done.returncode, done.stdout, done.stderr)

    return DeadLetterTopics(kafka, topic_prefix, command)


def _killed_while_it_replays(topics: DeadLetterTopics, environment: dict[str, str], generator: random.Random) -> bool:
    """Start a replay and kill it while it is at work; whether it was."""
    before = topics.length("thumbnail.due")
    command = [sys.executable, "-m", "service", "dlq", "replay", "--yes", "--rate", "2000"]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while topics.length("thumbnail.due") == before and process.poll() is None:
            assert time.monotonic() < deadline, "it does not begin"
        time.sleep(generator.uniform(0, 0.3))  # at any moment of a batch
    finally:
        process.kill()
    return process.wait() != 0


@pytest.mark.slow
def test_a_replay_that_is_killed_again_and_again_sends_each_letter_once(
    topics: DeadLetterTopics, environment: dict[str, str]
) -> None:
    topics.fill(DEAD_LETTERS)
    started = time.monotonic()
    groups = topics.run("stats")
    stats_s = time.monotonic() - started
    assert {group["code"]: group["count"] for group in groups} == dict.fromkeys(CODES, DEAD_LETTERS // len(CODES))
    assert stats_s < 15

    generator = random.Random(7)
    kills = sum(_killed_while_it_replays(topics, environment, generator) for _ in range(KILLS))
    (last,) = topics.run("replay", "--yes", "--rate", "5000")

    found = topics.committed("thumbnail.due")
    times = collections.Counter(message.key() for message in found)
    print(f"\n{DEAD_LETTERS} dead, stats in {stats_s:.1f} s, {kills} kills, the last replay did {last['replayed']}")  # noqa: T201
    assert kills == KILLS
    assert 0 < last["done_before"] < DEAD_LETTERS
    assert times == {f"video:{number}".encode(): 1 for number in range(DEAD_LETTERS)}
    assert last["done_before"] + sum(last["replayed"].values()) == DEAD_LETTERS
    assert sum(group["waiting"] for group in topics.run("stats")) == 0
    headers = dict(found[0].headers())
    assert headers["replay-count"] == b"1"
    assert headers["traceparent"].startswith(b"00-0af7")
    assert not {"error-code", "retry-attempt", "attempts"} & headers.keys()
