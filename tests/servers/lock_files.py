"""Checks the lock files against pyproject.toml without a network: `python -m tests.servers.lock_files`."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
_PINNED: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")


def problems(lock: str, wanted: list[str]) -> list[str]:
    """What is wrong with a lock file's text, as sentences, given the requirements that it must fulfil."""
    pinned: dict[str, str] = {}
    found = []
    for block in re.split(r"\n(?=[^\s#])", lock):
        entry = _PINNED.match(block)
        if entry is None:
            continue
        pinned[canonicalize_name(entry["name"])] = entry["version"]
        if "--hash=sha256:" not in block:
            found.append(f"{entry['name']} has no hash.")
    for requirement in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"{requirement.name} is missing.")
        elif not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} is {version}, and pyproject.toml wants {requirement.specifier}.")
    if "://" in lock:
        found.append("It names a host; whoever installs decides where from.")
    return found


def main() -> int:
    """Exit code 0 when all files are as they should be."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = declared["project"]
    runtime = project["dependencies"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    demo = project["optional-dependencies"]["demo"] + declared["build-system"]["requires"]
    files = {"requirements.lock": runtime, "requirements-dev.lock": runtime + extras, "requirements-demo.lock": demo}
    wrong = [
        f"{name}: {problem} (make lock)\n"
        for name, wanted in files.items()
        for problem in problems((ROOT / name).read_text(), wanted)
    ]
    sys.stderr.writelines(wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
