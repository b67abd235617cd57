"""`thumbnails schemas`: what it writes it finds up to date, and it fails for what is stale or breaks a release."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.contracts import files
from service.cli.schemas import schemas_app

READY = "thumbnail.ready.v1.schema.json"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the exported files and one release."""
    monkeypatch.setattr(files, "EXPORTED", tmp_path / "exported")
    monkeypatch.setattr(files.released, "__defaults__", (tmp_path / "released",))
    for folder in ("exported", "released/1.2.0"):
        assert CliRunner().invoke(schemas_app, ["export", "--out", str(tmp_path / folder)]).exit_code == 0
    return tmp_path


def test_what_was_exported_is_up_to_date_and_compatible(checkout: Path) -> None:
    assert checkout.is_dir()
    done = CliRunner().invoke(schemas_app, ["check"])
    assert (done.exit_code, done.stdout) == (0, "The contract is up to date and compatible.\n")


def test_a_stale_file_is_named_with_the_way_out(checkout: Path) -> None:
    (checkout / "exported" / READY).write_text("{}")
    done = CliRunner().invoke(schemas_app, ["check"])
    assert (done.exit_code, done.stdout) == (
        1,
        f"{READY} is not what the code says: run `thumbnails schemas export`.\n",
    )


def test_what_breaks_a_release_is_named_with_its_version(checkout: Path) -> None:
    released = checkout / "released" / "1.2.0" / READY
    schema = json.loads(released.read_text())
    schema["properties"]["palette"] = {"type": "string"}
    released.write_text(json.dumps(schema))
    done = CliRunner().invoke(schemas_app, ["check"])
    assert (done.exit_code, done.stdout) == (1, f"Since 1.2.0: {READY}: palette was removed.\n")


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "EXPORTED", tmp_path / "nowhere")
    done = CliRunner().invoke(schemas_app, ["check"])
    assert done.exit_code == 1
    assert "run it in a checkout" in done.stderr
