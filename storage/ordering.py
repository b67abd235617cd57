"""Gives listings in the order of their keys' UTF-8 bytes, where a store sorts its names as UTF-16 or not at all."""

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.errors import ErrorCode, PermanentError
from storage.base import ListedObject

HELD_OBJECTS: Final = 100_000
"""The most objects of one listing that wait for others: they take about 50 MB."""


def in_byte_order(found: Iterable[ListedObject], store: str) -> Iterator[ListedObject]:
    """Return `found`, sorted as UTF-8 or as UTF-16, in the order of UTF-8; `store` begins the messages.

    The two orders differ only behind a character beyond U+FFFF. An object that has one waits until all that begin as its
    key does before that character have come. Raises PermanentError storage.denied for another order, and for too many
    objects that wait: such a listing cannot be read to its end.
    """
    held: list[ListedObject] = []
    start, last = "", ""
    for one in found:
        if held and not one.key.startswith(start):
            yield from (held := sorted(held, key=lambda item: item.key))
            last, held = held[-1].key, []
        if not held:
            astral = next((index for index, char in enumerate(one.key) if ord(char) > 0xFFFF), None)
            if astral is None:
                last = _checked(last, one.key, store)
                yield one
                continue
            start = one.key[:astral]
        _checked(last, one.key, store)
        held.append(one)
        if len(held) > HELD_OBJECTS:
            raise _unreadable(store)
    yield from sorted(held, key=lambda item: item.key)


def _checked(last: str, key: str, store: str) -> str:
    if key <= last:
        raise _unreadable(store)
    return key


def _unreadable(store: str) -> PermanentError:
    message = (
        f"{store} lists more objects in no order than can be sorted, so that the listing cannot be read to its end."
    )
    return PermanentError(ErrorCode.STORAGE_DENIED, message)
