"""Write the exported files, with the same bytes for the same code, and find stale ones."""

import json
from pathlib import Path
from typing import Any, Final

from schemas.contracts.asyncapi import asyncapi
from schemas.contracts.events import EVENTS, EventContract
from schemas.contracts.json_schema import json_schema

EXPORTED: Final = Path(__file__).parent.parent / "exported"
RELEASED: Final = Path(__file__).parent.parent / "released"
ASYNCAPI_FILE: Final = "asyncapi.json"


def schema_file(contract: EventContract) -> str:
    """Return the file of one event's schema."""
    return f"{contract.name}.schema.json"


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by its file name."""
    return {schema_file(contract): json_schema(contract) for contract in EVENTS} | {ASYNCAPI_FILE: asyncapi()}


def file_text(document: dict[str, Any]) -> str:
    """Return the document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_files(folder: Path) -> list[str]:
    """Write every document into `folder`, which is created, and return the names of those that changed. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = stale_files(folder)
    for name, document in documents().items():
        if name in changed:
            (folder / name).write_text(file_text(document), encoding="utf-8")
    return changed


def stale_files(folder: Path) -> list[str]:
    """Return the names of missing, stale and unexpected files."""
    wanted = {name: file_text(document) for name, document in documents().items()}
    stale = [name for name, text in wanted.items() if _text(folder / name) != text]
    return stale + sorted(path.name for path in folder.glob("*.json") if path.name not in wanted)


def released(folder: Path = RELEASED) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the documents of every release, by version and file name, the oldest first."""
    found = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: _numbers(path.name))
    return {path.name: _documents(path) for path in found}


def _documents(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
