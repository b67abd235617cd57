"""Standard output and error that a command can write to, whatever the shell gave it: closed, full, or without UTF-8."""

import errno
import os
import sys
from contextlib import suppress

from service.exits import EXIT_FAILED


def prepare_streams() -> None:
    """Open what the shell closed, and let no name of a file be more than the terminal's encoding can show."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The first file or connection that is opened would get the number, and so what is printed.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> str | None:
    """Write what is left, and return why that fails; None also where the reader has just gone, as `head` does."""
    try:
        sys.stdout.flush()
    except OSError as exc:
        _write_nowhere()
        return None if exc.errno == errno.EPIPE else f"The output cannot be written: {exc.strerror}."
    return None


def end_without_a_reader() -> None:
    """End with exit code 1 and no word: who reads the output has gone."""
    _write_nowhere()
    raise SystemExit(EXIT_FAILED)


def _write_nowhere() -> None:
    """Python would try again as it ends, and print a traceback."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
