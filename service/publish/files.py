"""Looks at files before they are uploaded: whether all can be read, and what each is."""

import mimetypes
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from processors.sniff import HEAD_BYTES, sniff_kind
from schemas.events import MediaKind
from service.cli.text_table import printable


class UnreadableFileError(Exception):
    """Some of the files cannot be uploaded; the message names each of them and says why."""


def check_files(paths: Sequence[Path]) -> None:
    """Return when every path is a file that can be read. Raises UnreadableFileError."""
    problems = [f"{shown(path)}: {problem}" for path in paths if (problem := _problem_of(path))]
    if problems:
        raise UnreadableFileError(f"{'; '.join(problems)}. Nothing was published.")


def _problem_of(path: Path) -> str | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "Not a file"  # opening a FIFO would wait for a writer
        with path.open("rb"):
            return None
    except OSError as exc:
        return exc.strerror


def shown(path: Path) -> str:
    """Return the path as text, whatever bytes it has."""
    return printable(os.fsencode(path).decode(errors="replace"))


def kind_of(content: bytes, name: str) -> tuple[MediaKind, str]:
    """Return the kind and the content type of a file; its bytes decide, and the name where they say nothing."""
    guessed = mimetypes.guess_type(name)[0] or ""
    sniffed = sniff_kind(content[:HEAD_BYTES]) or guessed.partition("/")[0]
    kind = MediaKind.VIDEO if sniffed == "video" else MediaKind.IMAGE
    return kind, guessed if guessed.startswith(f"{kind}/") else "application/octet-stream"
