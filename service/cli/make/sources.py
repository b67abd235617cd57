"""Which files are meant: files, folders, patterns and standard input, each with the name of its thumbnails."""

import glob
import mimetypes
import os
import re
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processors.sniff import HEAD_BYTES, sniff_kind
from schemas.errors import ErrorCode, PermanentError

STDIN: Final = "-"
COPY_BYTES: Final = 1024**2


@dataclass(frozen=True)
class MediaFile:
    """One file to make thumbnails of, or a problem in its place.

    `name` is the thumbnails' path below the folder for them, without rendition and ending. `is_lasting`: it depends on
    nothing but the file itself, so that thumbnails of this name are this file's.
    """

    path: str
    name: str
    is_lasting: bool = True
    problem: PermanentError | None = None


@dataclass(frozen=True)
class Found:
    """The files that the arguments name; `passed_over` files in folders are no media."""

    items: list[MediaFile]
    passed_over: int


class FileSource:
    """A local file as a source of bytes."""

    def __init__(self, path: Path) -> None:
        """Raises PermanentError source.unreadable when the file cannot be opened or is not a regular file."""
        try:
            # A FIFO would be waited for; what it is, is known before a reader comes.
            if not stat.S_ISREG(path.stat().st_mode):
                raise _unreadable(f"{path} is not a file.")
            self._fd: Final = os.open(path, os.O_RDONLY)
        except OSError as exc:
            raise _unreadable(f"{path}: {exc.strerror}.") from exc
        self.size = os.fstat(self._fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """See processors.types.Source."""
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


class StandardInput:
    """Standard input as a source of bytes: a pipe is copied to the disk first, since decoders read here and there."""

    def __init__(self, max_bytes: int) -> None:
        """Reads `max_bytes` and one more at most. Raises OSError where the disk for the copy is full."""
        self._file: Final = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.size = 0
        try:
            while self.size <= max_bytes and (part := os.read(0, COPY_BYTES)):
                self.size += self._file.write(part)
            self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def read_at(self, offset: int, length: int) -> bytes:
        """See processors.types.Source."""
        return os.pread(self._file.fileno(), length, offset)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def find_items(arguments: Sequence[str], out: Path) -> Found:
    """Return what is to be made, in order of the arguments and by name within folders. `out` is never looked into."""
    found: list[tuple[str, str, PermanentError | None]] = []
    passed_over = 0
    for argument in arguments:
        if argument == STDIN:
            problem = _unreadable("Standard input is a terminal: give it a file, as in `make - < clip.mp4`.")
            found.append((STDIN, "stdin", problem if sys.stdin is not None and sys.stdin.isatty() else None))
        elif Path(argument).is_dir():
            below, others = _in_folder(Path(argument), out)
            passed_over += others
            found += below or [(argument, argument, _unreadable(f"No video or picture is in {argument}."))]
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            # Not Path.glob: it takes no pattern that begins with a root.
            paths = sorted(glob.iglob(argument, recursive=True))  # noqa: PTH207
            fitting = [path for path in paths if not Path(path).is_dir()]
            found += [(path, Path(path).name, None) for path in fitting] or [
                (argument, argument, _unreadable(f"Nothing fits {argument}."))
            ]
        else:
            found.append((argument, Path(argument).name, None))
    return Found(list(_named(found)), passed_over)


def _in_folder(folder: Path, out: Path) -> tuple[list[tuple[str, str, PermanentError | None]], int]:
    """Return the media below `folder`, and how many other files are. Hidden ones, and links to folders, are left alone."""
    found: list[tuple[str, str, PermanentError | None]] = []
    passed_over, left_out = 0, out.resolve()

    def tell(exc: OSError) -> None:
        found.append((str(exc.filename), str(exc.filename), _unreadable(f"{exc.filename}: {exc.strerror}.")))

    for place, folders, names in os.walk(folder, onerror=tell):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != left_out
        )
        for name in sorted(name for name in names if not name.startswith(".")):
            path = str(Path(place, name))
            if _is_media(path):
                found.append((path, os.path.relpath(path, folder), None))
            else:
                passed_over += 1
    return found, passed_over


def _is_media(path: str) -> bool:
    """Return whether the bytes or the name say so: what has the name and no such bytes is to be reported."""
    if (mimetypes.guess_type(path)[0] or "").startswith(("video/", "image/")):
        return True
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            return sniff_kind(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _named(found: Sequence[tuple[str, str, PermanentError | None]]) -> Iterator[MediaFile]:
    """Give each its name: its own stem; with the ending where two share a stem; with a number where that is shared, too."""
    plain = [_plain(str(Path(name).with_suffix(""))) for _, name, _ in found]
    whole = [_plain(name).replace(".", "-") for _, name, _ in found]
    stems, wholes = Counter(plain), Counter(whole)
    used: Counter[str] = Counter()
    taken = set(plain) | set(whole)
    for (path, _, problem), stem, longer in zip(found, plain, whole, strict=True):
        name, is_lasting = (stem, True) if stems[stem] == 1 else (longer, wholes[longer] == 1 and longer not in stems)
        if not is_lasting:
            used[name] += 1
            while (numbered := f"{name}-{used[name]}") in taken:
                used[name] += 1
            taken.add(numbered)
            name = numbered
        yield MediaFile(path, name, is_lasting and path != STDIN, problem)


def _plain(name: str) -> str:
    return "/".join(re.sub(r"[^\w.-]", "_", part) for part in name.split("/"))


def _unreadable(sentence: str) -> PermanentError:
    return PermanentError(ErrorCode.SOURCE_UNREADABLE, sentence)
