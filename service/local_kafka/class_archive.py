"""Kafka's classes in an archive that the JVM maps into memory, as Kafka's own image has one: a broker starts in half the time."""

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path


def archive_of(java: Path, jars: Path, record: Callable[[Path], None]) -> Path | None:
    """The archive for this JVM and these jars, beside them; None when this JVM makes none.

    Where there is none yet, `record` makes it: it runs a broker whose JVM writes the classes that it loaded to the path
    it is given (-XX:ArchiveClassesAtExit). That is done once: an empty file remembers that nothing came of it. The JVM
    itself checks that an archive fits, and goes on without one that does not.
    """
    made_by = java.resolve()
    made_from = hashlib.sha256(f"{made_by} {made_by.stat().st_mtime_ns}".encode()).hexdigest()[:8]
    archive = jars.with_name(f"{jars.name}-{made_from}.jsa")
    if not archive.exists():
        if not os.access(archive.parent, os.W_OK):
            return None
        partial = archive.with_suffix(f".{uuid.uuid4().hex[:8]}")
        try:
            record(partial)
            partial.touch()
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)
    return archive if archive.stat().st_size else None
