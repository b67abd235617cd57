"""Runs pytest; what failed beside other tests is run once more, alone, and named after it: `python -m tests.second_try pytest ...`.

A test on real brokers, databases and browsers may fail because three of its kind had the machine at the same time. Apache
Kafka's own build tries failed tests again, too (`maxTestRetries`, `maxTestRetryFailures`). A test that fails alone is a
failure, and a run in which many fail gets no second try. Both tries are printed whole. What runs alone anyway gets none.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MOST: Final = 5
"""More failures than this are a fault and no crowd."""
_SOME_FAILED: Final = 1
"""pytest's exit code; the others are not about tests."""


def main(arguments: list[str]) -> int:
    """Run `pytest` with these arguments; return its exit code, or 0 when all that failed passed alone."""
    with tempfile.TemporaryDirectory(prefix="thumbnails-tries-") as folder:
        code = _pytest(*arguments, "-o", f"cache_dir={folder}")
        failed = _failed(Path(folder))
    if code != _SOME_FAILED or not 0 < len(failed) <= MOST:
        return code
    print(f"\n{len(failed)} failed beside others. Once more, alone: {', '.join(failed)}", flush=True)  # noqa: T201 - for a person
    code = _pytest(*failed, "-p", "no:cacheprovider")
    if code == 0:
        print(f"Passed alone after a failure beside others: {', '.join(failed)}", flush=True)  # noqa: T201 - see above
    return code


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


def _failed(cache: Path) -> list[str]:
    try:
        return sorted(json.loads((cache / "v/cache/lastfailed").read_text()))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
