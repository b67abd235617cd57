"""Uploads objects, and dies of SIGKILL at chosen system calls: python -m tests.doubles.dying_upload.

Each line of standard input, a list of ROOT, FILES, STEP and WHEN in JSON, is one upload by a process of its own; how that
ended is a line of standard output.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from storage.local_disk.provider import LocalStorageProvider
from tests.doubles.old_file_system import open_without_nameless_files

KEY = "acme/a"
NEW = b"new" * 1000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str, when: str) -> None:
    """Let the first call of `step` (create, write, fsync, link, rename) be the last thing of this process."""
    name = "open" if step == "create" else step
    real = getattr(os, name)

    def deadly(*arguments: Any, **named: Any) -> Any:
        if step == "create" and not arguments[1] & os.O_RDWR:
            return real(*arguments, **named)  # a folder is opened
        if when == "before":
            die()
        if when == "half way":
            real(arguments[0], arguments[1][: len(NEW) // 2])
            die()
        real(*arguments, **named)
        die()
        raise AssertionError("unreachable")

    setattr(os, name, deadly)


def upload(root: str, files: str, step: str, when: str) -> None:
    if files == "named":
        os.open = open_without_nameless_files(os.open)
    arm(step, when)
    LocalStorageProvider(Path(root), "http://x").upload_file(KEY, NEW, content_type="image/webp")


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                upload(*json.loads(line))
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
