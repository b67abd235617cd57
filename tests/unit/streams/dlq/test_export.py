"""Exports keep every byte, and only what they hold may be purged."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.dlq.export import ExportFileError, export_dead_letters, fingerprints, purgeable, read_export
from streams.dlq.read import DeadLetter, read_dead_letter
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord
from tests.doubles.letters import a_dead_letter, dead_letter_record

STRANGE = InboundRecord("p.thumbnail.dlq", 0, 3, -1, None, b"\x00\xff\n", (("a", b"\xff"), ("a", None), ("", b"")))


def test_what_was_exported_is_read_back_byte_for_byte(tmp_path: Path) -> None:
    records = [dead_letter_record(1), STRANGE, dead_letter_record(4, value=b"")]
    assert export_dead_letters(tmp_path / "x.jsonl", [read_dead_letter(record) for record in records]) == 3
    assert list(read_export(tmp_path / "x.jsonl")) == records
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert (first["code"], first["media"], first["offset"]) == ("storage.denied", "video:42", 1)


def test_an_export_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    export_dead_letters(path, [a_dead_letter(1)])
    before = path.read_bytes()

    def broken() -> Iterator[DeadLetter]:
        yield a_dead_letter(2)
        raise RuntimeError("the broker is gone")

    with pytest.raises(RuntimeError):
        export_dead_letters(path, broken())
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExportFileError, match=r"x\.jsonl cannot be written: No such file"):
        export_dead_letters(tmp_path / "no" / "x.jsonl", [])
    with pytest.raises(ExportFileError, match="cannot be read: No such file"):
        fingerprints(tmp_path / "x.jsonl")


@pytest.mark.parametrize("line", [b"hello", b"{}", b"[]", b"\xff"])
def test_a_file_that_is_no_export_is_refused_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "x.jsonl"
    export_dead_letters(path, [a_dead_letter(1)])
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ExportFileError, match="line 2"):
        fingerprints(path)


def until(
    tmp_path: Path, exported: list[InboundRecord], there: list[InboundRecord], low: int = 0
) -> tuple[int, int, int]:
    export_dead_letters(tmp_path / "x.jsonl", [read_dead_letter(record) for record in exported])
    state = purgeable({0: Extent(low, 100)}, there, fingerprints(tmp_path / "x.jsonl"))[0]
    return state.until, state.dead_letters, state.kept


def test_a_partition_is_purged_up_to_the_first_letter_that_was_not_exported(tmp_path: Path) -> None:
    dead_letters = [dead_letter_record(offset) for offset in (5, 6, 8, 9)]
    assert until(tmp_path, dead_letters, dead_letters, low=5) == (10, 4, 0)
    assert until(tmp_path, [dead_letters[0], dead_letters[1], dead_letters[3]], dead_letters, low=5) == (7, 2, 2)
    assert until(tmp_path, dead_letters[1:], dead_letters, low=5) == (5, 0, 4)
    assert until(tmp_path, dead_letters[:2], dead_letters, low=5) == (7, 2, 2)


def test_a_letter_with_other_bytes_at_the_same_offset_was_not_exported(tmp_path: Path) -> None:
    old = [dead_letter_record(offset) for offset in (0, 1)]
    new = [old[0], dead_letter_record(1, value=b"another")]
    assert until(tmp_path, old, new) == (1, 1, 1)


def test_an_export_of_another_topic_covers_nothing(tmp_path: Path) -> None:
    assert until(tmp_path, [dead_letter_record(0, topic="p.thumbnail.ready.dlq")], [dead_letter_record(0)]) == (0, 0, 1)
