"""Listings that are sorted as UTF-16 come in the order of UTF-8, and others are refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import PermanentError
from storage import ordering
from storage.base import ListedObject

NOW = datetime.now(UTC)
KEYS = st.sets(st.text(st.sampled_from("ab/\u00e9\uffee\ue000\U0001f600\U00010000"), min_size=1, max_size=5))


def in_order(keys: list[str]) -> list[str]:
    return [found.key for found in ordering.in_byte_order((ListedObject(key, 1, NOW) for key in keys), "The store")]


@given(KEYS)
def test_both_orders_become_that_of_the_bytes(keys: set[str]) -> None:
    wanted = sorted(keys, key=str.encode)
    assert in_order(wanted) == wanted
    assert in_order(sorted(keys, key=lambda key: key.encode("utf-16-be"))) == wanted


def test_another_order_is_refused() -> None:
    with pytest.raises(PermanentError, match="in no order"):
        in_order(["a", "c", "b"])


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "HELD_OBJECTS", 3)
    with pytest.raises(PermanentError, match="in no order"):
        in_order([f"\U0001f600{number}" for number in range(4)])
