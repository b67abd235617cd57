"""docs/licences.md: the licence of each package that the image holds: `python -m tests.servers.licences [--check]`.

From the installed packages' own metadata, for exactly the packages of requirements.lock that a Linux machine installs. No
versions: some differ by machine, and requirements.lock has them.
"""

import re
import sys
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "licences.md"
_LOCKED: Final = re.compile(r"^[A-Za-z0-9._-]+==[^\\\n]+", re.MULTILINE)
_LINUX: Final = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": "3.12",
    "python_full_version": "3.12.0",
}
_SAID_LOOSELY: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD-derived (Repoze)": "BSD-derived (Repoze)",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""What packages without a licence expression say, as SPDX names it. BSD-3-Clause: both that say no more are of three clauses."""
_SAID_IN_A_FILE: Final = {"python-dateutil": "Apache-2.0 AND BSD-3-Clause", "resvg-py": "MIT"}
"""By their LICENSE files: the metadata of the first say «Dual License», for older and newer parts; those of the second say nothing."""
_HEAD: Final = """# Licences
<!-- Made by `python -m tests.servers.licences`: change the code, not this page. -->

The licence of each package in the image, by its own metadata. Versions are in `requirements.lock`.

This table leaves out what is bundled inside wheels. PyAV's has an FFmpeg that says «LGPL version 3 or later», and beside it libx264 and
libx265, which are under the GPL, version 2 or later; OpenCV's has an FFmpeg under the LGPL, version 2.1 or later; Pillow's has the
libraries of its formats. Whoever passes the image on must meet these licences, too: each wheel carries its notices. The extras
`heic` and `jxl` are not in the image: [formats.md](formats.md#heic). LGPL packages are used unchanged, and can be replaced in the image.

| package | licence |
|---|---|
"""


def locked(lock: str) -> list[str]:
    """Names of the packages that a Linux machine installs from a lock file's text, each once, in its order."""
    requirements = [Requirement(line) for line in _LOCKED.findall(lock)]
    wanted = [item.name for item in requirements if item.marker is None or item.marker.evaluate(_LINUX)]
    return list(dict.fromkeys(wanted))


def licence_of(name: str) -> str:
    """As an SPDX expression where that is known. Raises ValueError for a package that says nothing that we know."""
    if name in _SAID_IN_A_FILE:
        return _SAID_IN_A_FILE[name]
    said = metadata(name)
    for candidate in _candidates(said):
        if re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR) [A-Za-z0-9.+-]+)*", candidate):
            return candidate
        if candidate in _SAID_LOOSELY:
            return _SAID_LOOSELY[candidate]
    raise ValueError(f"{name} says nothing of its licence that is known here: {_candidates(said)}")


def _candidates(said: PackageMetadata) -> list[str]:
    fields = [*(said.get_all("License-Expression") or []), *(said.get_all("License") or [])]
    classifiers = said.get_all("Classifier") or []
    fields += [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    return [field for field in fields if field and "\n" not in field]


def page() -> str:
    """The whole page."""
    names = locked((ROOT / "requirements.lock").read_text())
    return _HEAD + "".join(f"| {name} | {licence_of(name)} |\n" for name in names)


def main(arguments: list[str]) -> int:
    """Write the page; with --check, exit code 1 when it is stale."""
    made = page()
    if "--check" not in arguments:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        sys.stderr.write("docs/licences.md is stale: run `python -m tests.servers.licences`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
