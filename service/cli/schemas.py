"""`thumbnails schemas …`: the contract as files, and whether it still fits those of the releases."""

import sys
from pathlib import Path
from typing import Annotated

import typer

schemas_app = typer.Typer(no_args_is_help=True, help="The contract with producers and consumers, as files.")


@schemas_app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Folder for the files; by default schemas/exported.")] = None,
) -> None:
    """Write JSON Schema of each event, and the AsyncAPI document. Example: thumbnails schemas export --out contract."""
    from schemas.contracts.files import EXPORTED, write_files  # loaded where it is needed, as all of single commands

    try:
        changed = write_files(out or EXPORTED)
    except OSError as exc:
        sys.stderr.write(f"{exc.filename}: {exc.strerror}.\n")
        raise typer.Exit(1) from exc
    sys.stdout.write(f"Wrote {', '.join(changed)}.\n" if changed else "Every file is up to date.\n")


@schemas_app.command()
def check() -> None:
    """Say what is stale, and what breaks producers, consumers or records of a release. Example: thumbnails schemas check."""
    from schemas.contracts.compatibility import breaks
    from schemas.contracts.files import EXPORTED, documents, released, stale_files

    if not EXPORTED.is_dir():
        sys.stderr.write("There is nothing to compare with here: run it in a checkout of the sources.\n")
        raise typer.Exit(1)
    problems = [f"{name} is not what the code says: run `thumbnails schemas export`." for name in stale_files(EXPORTED)]
    for version, old in released().items():
        problems += [f"Since {version}: {problem}." for problem in breaks(old, documents())]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or "The contract is up to date and compatible.\n")
    raise typer.Exit(1 if problems else 0)
