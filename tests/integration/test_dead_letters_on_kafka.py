"""`thumbnails dlq …` in this process, on a real broker: look, replay, park, keep in a file, delete."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from service.cli.explained import expected_errors
from service.cli.main import app
from streams.dlq import sender as replay_sender
from streams.kafka import reader as topic_reader
from tests.doubles.letter_topics import CODES, FAILED_AT, DeadLetterTopics, Done


@pytest.fixture
def topics(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> DeadLetterTopics:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")

    def command(arguments: list[str]) -> Done:
        result = CliRunner().invoke(app, arguments)
        return Done(result.exit_code, result.stdout, result.stderr)

    return DeadLetterTopics(kafka, topic_prefix, command)


def test_without_a_topic_every_dead_letter_topic_is_counted(topics: DeadLetterTopics) -> None:
    topics.fill(3, replay_count="3")
    topics.run("replay", "--yes")  # they are parked
    producer = Producer({"bootstrap.servers": topics.kafka})
    producer.produce(f"{topics.prefix}thumbnail.ready.dlq", b"{}", headers=[("error-code", b"result.refused")])
    assert producer.flush(10) == 0

    groups = topics.run("stats")
    assert {(group["topic"].removeprefix(topics.prefix), group["code"], group["waiting"]) for group in groups} == {
        ("thumbnail.ready.dlq", "result.refused", 1),
        *(("thumbnail.dlq", code, 0) for code in CODES),
        *(("thumbnail.dlq.parked", code, 1) for code in CODES),
    }
    (refused,) = topics.run("stats", "--topic", "ready")
    assert "dlq replay --topic ready" in refused["next_action"]
    assert (
        f"1 dead letters in {topics.prefix}thumbnail.ready.dlq, 1 of them waiting."
        in topics.command(["dlq", "stats"]).out
    )


def test_a_dry_run_changes_nothing_and_filters_mean_the_same_everywhere(topics: DeadLetterTopics) -> None:
    topics.fill(30)
    wanted = ("--code", "source.*", "--company", "2", "--since", FAILED_AT.format(5), "--until", FAILED_AT.format(28))
    listed = topics.run("list", *wanted)
    assert {dead_letter["media"] for dead_letter in listed} == {f"video:{number}" for number in (7, 13, 19, 25)}
    assert {dead_letter["state"] for dead_letter in listed} == {"waiting"}
    (dry,) = topics.run("replay", *wanted)
    assert (dry["dry_run"], dry["replayed"]) == (True, {f"{topics.prefix}thumbnail.due": 4})
    assert topics.length("thumbnail.due") == 0

    topics.run("replay", *wanted, "--yes")
    assert {message.key() for message in topics.committed("thumbnail.due")} == {
        dead_letter["media"].encode() for dead_letter in listed
    }
    assert {dead_letter["state"] for dead_letter in topics.run("list", *wanted)} == {"replayed"}
    (again,) = topics.run("replay", *wanted, "--yes")
    assert (again["replayed"], again["done_before"]) == ({}, 4)


def test_a_letter_is_shown_with_all_its_bytes_and_what_to_do(topics: DeadLetterTopics) -> None:
    raw = b"\x00\xffnot JSON\x1b[2J"
    producer = Producer({"bootstrap.servers": topics.kafka})
    producer.produce(f"{topics.prefix}thumbnail.dlq", raw, b"k", 2, headers=[("error-code", b"event.malformed")])
    assert producer.flush(10) == 0

    shown = topics.command(["dlq", "show", "2:0"])
    assert "Fix the producer" in shown.out
    assert "00 ff 6e 6f 74 20 4a 53" in shown.out
    assert "\x1b[2J" not in shown.out
    missing = topics.command(["dlq", "show", "2:1"])
    assert (missing.code, len(missing.err.splitlines())) == (1, 1)
    refused = topics.command(["dlq", "replay", "--yes"])
    assert refused.code == 1
    assert "x-original-topic" in refused.out


def test_what_failed_after_every_replay_is_parked_and_can_be_looked_at(topics: DeadLetterTopics) -> None:
    topics.fill(3, replay_count="3")
    (report,) = topics.run("replay", "--yes")
    assert (report["replayed"], report["parked"]) == ({}, 3)
    assert topics.length("thumbnail.due") == 0
    parked = topics.run("list", "--topic", "parked")
    assert [dead_letter["state"] for dead_letter in parked] == ["waiting"] * 3
    assert {group["code"] for group in topics.run("stats", "--topic", "parked")} == set(CODES)
    assert {dead_letter["state"] for dead_letter in topics.run("list")} == {"parked"}

    (sent_on,) = topics.run("replay", "--topic", "parked", "--yes")
    assert sent_on["replayed"] == {f"{topics.prefix}thumbnail.due": 3}


def test_only_what_was_exported_can_be_purged(topics: DeadLetterTopics, tmp_path: Path) -> None:
    topics.fill(20)
    file = tmp_path / "letters.jsonl"
    (reported,) = topics.run("export", str(file))
    assert (reported["letters"], len(file.read_text().splitlines())) == (20, 20)
    topics.fill(5)
    unconfirmed = topics.command(["dlq", "purge", "--exported", str(file)])
    assert (unconfirmed.code, topics.length("thumbnail.dlq")) == (2, 25)

    (purged,) = topics.run("purge", "--exported", str(file), "--yes")
    assert (purged["deleted"], purged["kept"]) == (20, 5)
    assert topics.length("thumbnail.dlq") == 5
    assert len(topics.run("list")) == 5
    nothing = topics.command(["dlq", "purge", "--exported", str(file), "--yes"])
    assert (nothing.code, topics.length("thumbnail.dlq")) == (1, 5)


def test_without_transactions_letters_are_sent_between_two_marks_and_it_is_said(
    topics: DeadLetterTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_sender, "_take_the_id", lambda _options, _probe: None)
    topics.fill(3)
    (report,) = topics.run("replay", "--yes")
    assert (report["replayed"], report["transactional"]) == ({f"{topics.prefix}thumbnail.due": 3}, False)
    states = [json.loads(message.value())["state"] for message in topics.committed("thumbnail.dlq.replays")]
    assert states == ["sending"] * 3 + ["replayed"] * 3
    (again,) = topics.run("replay", "--yes")
    assert (again["replayed"], again["done_before"], topics.length("thumbnail.due")) == ({}, 3, 3)


def test_a_broker_or_topic_that_is_not_there_is_one_sentence(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_reader, "ASK_TIMEOUT_S", 1.0)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "nobody.")
    for servers, sentence in ((kafka, "run `thumbnails topics create`"), ("127.0.0.1:1", "No Kafka broker answers")):
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
        with pytest.raises(expected_errors(), match=sentence):
            CliRunner().invoke(app, ["dlq", "stats"], catch_exceptions=False)


def test_what_is_acknowledged_or_discarded_is_kept_with_name_and_note(topics: DeadLetterTopics) -> None:
    topics.fill(6)
    producer = Producer({"bootstrap.servers": topics.kafka})
    origin = f"{topics.prefix}media.uploaded"
    headers: dict[str, str | bytes | None] = {"error-code": "media.corrupt", "x-original-topic": origin}
    producer.produce(f"{topics.prefix}thumbnail.dlq", b"{}", b"video:77", 0, headers=headers)
    assert producer.flush(10) == 0
    (corrupt,) = topics.run("list", "--code", "media.corrupt")
    place = f"{corrupt['partition']}:{corrupt['offset']}"

    dry = topics.command(["dlq", "replay", "--code", "media.*"]).out
    assert "A replay fails again: it reads the same file again." in dry
    assert f"  {place}  video:77" in dry
    nameless = topics.command(["dlq", "discard", place])
    assert (nameless.code, "say why with --note" in nameless.err) == (2, True)
    (counted,) = topics.run("discard", "--code", "media.corrupt", "--note", "no new file")
    assert (counted["dry_run"], counted["marked"]) == (True, 1)
    assert topics.length("thumbnail.dlq.replays") == 0

    discard = ("discard", "--code", "media.corrupt", "--note", "no new file", "--by", "ada", "--yes")
    (done,) = topics.run(*discard)
    assert (done["marked"], [code["code"] for code in done["codes"]]) == (1, ["media.corrupt"])
    (again,) = topics.run(*discard)
    assert (again["marked"], again["done_before"]) == (0, 1)
    (acknowledged,) = topics.run("ack", "--company", "1", "--yes", "--by", "bob")
    assert acknowledged["marked"] == 3
    assert {one["state"] for one in topics.run("list", "--company", "1")} == {"acknowledged"}
    assert {one["company_id"] for one in topics.run("list", "--waiting")} == {2}
    (shown,) = topics.run("show", place)
    assert (shown["state"], shown["decided_by"], shown["note"]) == ("discarded", "ada", "no new file")
    assert "by ada: no new file" in topics.command(["dlq", "show", place]).out

    (replayed,) = topics.run("replay", "--yes")
    assert (sum(replayed["replayed"].values()), replayed["discarded"]) == (6, 1)
    (nothing,) = topics.run("ack", "--yes")
    assert (nothing["marked"], nothing["left_discarded"], nothing["replayed_before"]) == (0, 1, 6)
    (named,) = topics.run("replay", place, "--yes")
    assert sum(named["replayed"].values()) == 1
    (shown,) = topics.run("show", place)
    assert (shown["state"], [(one["state"], one["by"]) for one in shown["decisions"]]) == (
        "replayed",
        [("discarded", "ada")],
    )
    missing = topics.command(["dlq", "ack", "0:999"])
    assert (missing.code, "Not found: 0:999" in missing.out) == (1, True)
