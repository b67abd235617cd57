"""Bugs to plant into a copy of the product, so that one can see the oracle find them; here those in its delivery."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.campaign.chaos.plan import FaultKind

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("schemas", "storage", "processors", "streams", "service")


class PlantError(Exception):
    """The product has changed, and the bug cannot be planted as it is written here."""


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must stand exactly once in the file, by `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """A bug, the faults that provoke it, and the kinds of findings that show that it was caught."""

    what: str
    edits: tuple[Edit, ...]
    caught_by: frozenset[str]
    kinds: Sequence[FaultKind] = (FaultKind.KILL_WORKER, FaultKind.KILL_PERSIST)
    uploads: int = 150
    """So many are enough that its case is among them."""
    faults: int = 4


PLANTS: Final = {
    "acknowledge-early": Plant(
        "an upload is acknowledged before its result is announced",
        (
            Edit(
                "streams/worker/ack_gate.py",
                "        entry = Entry(event, self._clock())\n",
                "        entry = Entry(event, self._clock())\n"
                "        import asyncio\n\n"
                "        asyncio.get_running_loop().create_task(self._ack(event))\n",
            ),
        ),
        frozenset({"lost"}),
        (FaultKind.S3_SLOW, FaultKind.KILL_WORKER),
    ),
    "skip-compare-and-set": Plant(
        "whichever result comes last is shown",
        (
            Edit(
                "streams/rows/last_write_wins.py",
                "if offered > self.rank:",
                "if offered[:2] != self.rank[:2] or offered > self.rank:",
            ),
        ),
        frozenset({"stale row"}),
    ),
    "forget-the-flush": Plant(
        "offsets are committed while records still wait in the producer's buffer",
        (
            Edit(
                "streams/kafka/client.py",
                "unsent = producer.flush(timeout_s) if records else 0",
                "unsent = 0",
            ),
            Edit("service/kafka/clients.py", '"linger.ms": 5,', '"linger.ms": 1500,'),
        ),
        frozenset({"lost", "orphan"}),
        (FaultKind.KILL_RETRY, FaultKind.TERM_RETRY, FaultKind.TERM_PERSIST),
        uploads=240,
        faults=8,  # a record must wait in the buffer just when its role ends
    ),
    "drop-on-revoke": Plant(
        "what a worker holds when its partitions are taken away is committed instead of left for the next one",
        (
            Edit(
                "streams/worker/faust/transport.py",
                "        while await self.commit():  # again: what ended while it was under way is forgotten as well\n"
                "            pass\n",
                "        held = {tp: offset for tp, offset in self._read_offset.items() if offset is not None}\n"
                "        await self._commit_offsets(held)\n",
            ),
        ),
        frozenset({"lost"}),
        (FaultKind.S3_SLOW, FaultKind.TERM_WORKER),
        uploads=240,
        faults=6,  # a worker must hold more than it works on
    ),
    "delete-after-announce": Plant(
        "a cleanup does not ask what the row shows",
        (Edit("streams/thumbnails/cleanup.py", "if folder in row.versions or (", "if ("),),
        frozenset({"missing object"}),
    ),
    "hand-on-early": Plant(
        "a retry is handed on a second too early",
        (
            Edit(
                "streams/retry/role.py",
                "while held and held[0].due_s <= now_s:",
                "while held and held[0].due_s - 1 <= now_s:",
            ),
        ),
        frozenset({"early"}),
    ),
    "forget-the-cleanup": Plant(
        "the objects of a deleted row are left where they are",
        (Edit("streams/thumbnails/cleanup.py", "for key in keys:", "for key in keys[:0]:"),),
        frozenset({"orphan"}),
    ),
}


def changed_copy(edits: Iterable[Edit], folder: Path, root: Path = ROOT) -> Path:
    """A copy of the product in `folder`, with these changes; its root. Raises PlantError."""
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        path = folder / edit.path
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise PlantError(f"{edit.path} has {text.count(edit.old)} times what is to be replaced: {edit.old!r}")
        path.write_text(text.replace(edit.old, edit.new))
    return folder
