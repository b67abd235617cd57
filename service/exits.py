"""Exit codes of every command and role, and the one way in which a command ends with a sentence."""

import sys
from typing import Final, NoReturn

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
# What a shell reports for a process that Ctrl-C ended.
EXIT_INTERRUPTED: Final = 130


def fail(sentence: str, code: int = EXIT_FAILED) -> NoReturn:
    """Write `sentence` to standard error and end the process, without a traceback."""
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}{sentence}{plain}\n")
    raise SystemExit(code)
