"""What aiokafka reads of batches that its own reader raises for."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher  # type: ignore[import-untyped] # it has no stubs
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped] # it has no stubs

from streams.kafka.client import explain_fault
from streams.kafka.messages import UnreadableBatchError
from streams.worker.faust.any_batch import AnyRecords, FetchedRecords
from streams.worker.faust.consumer_thread import CommittedReadsThread, PromptThread
from tests.doubles.raw_batches import GZIP, RawRecord, a_batch, damaged, not_compressed

PARTITION = TopicPartition("media.uploaded", 3)
ODD: RawRecord = (b"k\xff", b"\xff\x00", ((b"bad\xff", b"\xfe"), (b"null", None), (b"", b""), ("é".encode(), b"x")))
READ_ODD = (b"k\xff", b"\xff\x00", (("bad\ufffd", b"\xfe"), ("null", None), ("", b""), ("é", b"x")))
GOOD: RawRecord = (b"k", b"good", ((b"own", b"\xff"),))
READ_GOOD = (b"k", b"good", (("own", b"\xff"),))


def records_of(data: bytes, fetch_offset: int = 0, aborted: Any = None) -> Iterator[Any]:
    return AnyRecords(PARTITION, FetchedRecords(data), aborted, fetch_offset, None, None, True, fetcher.READ_COMMITTED)


def at(offset: int, batch: bytes) -> bytes:
    """The batch as the broker keeps it at `offset`; the checksum does not cover that."""
    return offset.to_bytes(8, "big") + batch[8:]


def plain(records: Iterator[Any]) -> list[tuple[Any, ...]]:
    return [(record.offset, (record.key, record.value, record.headers)) for record in records]


@pytest.mark.parametrize("codec", [0, GZIP])
def test_a_header_name_that_is_no_utf_8_is_replaced_and_all_others_stay(codec: int) -> None:
    data = at(5, a_batch(GOOD, ODD, GOOD, codec=codec)) + at(8, a_batch(ODD, codec=codec)) + at(9, a_batch(GOOD))
    read = [READ_GOOD, READ_ODD, READ_GOOD, READ_ODD, READ_GOOD]
    assert plain(records_of(data, 5)) == list(enumerate(read, start=5))
    assert plain(records_of(data, 7)) == list(enumerate(read, start=5))[2:]


@pytest.mark.parametrize("codec", [0, GZIP])
def test_no_record_comes_twice_when_batches_before_an_odd_one_are_read_again(codec: int) -> None:
    """Each batch that is over sets aiokafka's next offset, also one that is read for the second time."""
    good = [at(5 * number, a_batch(*[GOOD] * 5, codec=codec)) for number in range(3)]
    data = b"".join([*good, at(15, a_batch(ODD, codec=codec)), at(16, a_batch(GOOD, codec=codec))])
    for first in (0, 3, 12):
        records = records_of(data, first)
        assert [record.offset for record in records] == list(range(first, 17))
        assert records.next_fetch_offset == 17  # type: ignore[attr-defined] # of aiokafka's class


def test_ten_thousand_headers_and_huge_ones_are_read() -> None:
    headers = (*((b"h%d" % number, b"x") for number in range(10_000)), (b"huge\xff", b"x" * 900_000))
    (record,) = records_of(a_batch((None, None, headers)))
    assert len(record.headers) == 10_001
    assert record.headers[-1] == ("huge\ufffd", b"x" * 900_000)


@pytest.mark.parametrize("spoil", [damaged, not_compressed])
def test_what_comes_before_a_batch_that_cannot_be_read_is_handed_out_and_its_place_is_named(spoil: Any) -> None:
    bad = at(7, spoil((b"k", b"x" * 100, ()), GOOD))
    data = at(5, a_batch(GOOD, ODD)) + bad + at(9, a_batch(GOOD))
    assert [offset for offset, _ in plain(records_of(data, 5))] == [5, 6]
    for offset in (7, 8):  # the broker sends the whole batch
        with pytest.raises(UnreadableBatchError) as raised:
            plain(records_of(bad + at(9, a_batch(GOOD)), offset))
        last = " to 8" if offset == 7 else ""
        assert explain_fault(raised.value).startswith(
            f"A batch of media.uploaded cannot be read: partition 3, offset {offset}{last} ("
        )
        assert "docs/runbooks.md" in explain_fault(raised.value)


def test_a_transaction_that_was_aborted_stays_out_when_its_batch_is_read_again() -> None:
    aborted = a_batch(ODD, ODD, producer_id=77)
    data = at(0, a_batch(ODD)) + at(1, aborted) + at(3, a_batch(GOOD))
    assert plain(records_of(data, 0, [(77, 1)])) == [(0, READ_ODD), (3, READ_GOOD)]
    assert [offset for offset, _ in plain(records_of(data, 0, []))] == [0, 1, 2, 3]


def test_the_workers_consumer_reads_so(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SimpleNamespace(_request_timeout_ms=90_000, send=None)
    consumer = SimpleNamespace(_client=client, _session_timeout_ms=30_000)
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    monkeypatch.setattr(fetcher, "PartitionRecords", None)
    monkeypatch.setattr(PromptThread, "_create_worker_consumer", lambda *_: consumer)
    made = CommittedReadsThread._create_worker_consumer(object.__new__(CommittedReadsThread), None)
    assert (made, consumer._isolation_level) == (consumer, "read_committed")
    assert client._request_timeout_ms < 90_000
    assert (fetcher.MemoryRecords, fetcher.PartitionRecords) == (FetchedRecords, AnyRecords)
