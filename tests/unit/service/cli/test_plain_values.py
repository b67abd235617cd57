"""What is read without Pydantic is what Typer would have read with it, and a wrong value gets the same sentence."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.core import _TyperParameter
from typer.testing import CliRunner

from service.cli.plain_values import read_plain_values

app = typer.Typer()


class Colour(StrEnum):
    RED = "red"


@app.command()
def tell(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    text: str | None = None,
    path: Path = Path("here"),
    folder: Annotated[Path | None, typer.Option(file_okay=False, exists=True)] = None,
    paths: Annotated[list[Path] | None, typer.Option("--one-of")] = None,
    number: Annotated[int | None, typer.Option(min=1)] = None,
    share: Annotated[float, typer.Option(envvar="TOLD_SHARE")] = 0.5,
    numbers: Annotated[list[int] | None, typer.Option("--each")] = None,
    colour: Colour = Colour.RED,
    shape: Annotated[Literal["round", "flat"] | None, typer.Option()] = None,
    is_loud: Annotated[bool, typer.Option("--loud/--soft", envvar="TOLD_LOUD")] = False,
) -> None:
    given = (names, text, path, folder, paths, number, share, numbers, colour, shape, is_loud)
    typer.echo("\n".join(f"{type(value)} {value!r}" for value in given))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "a b --text é --path x/../y --loud --number 3 --share 2 --each 1 --each 2 --colour red --shape flat",
        "--one-of a --one-of b",
        "--folder .",
        "--folder not-there",
        "--folder pyproject.toml",
        "--number 0",
        "--number many",
        "--share much",
        "--each 1 --each two",
        "--colour blue",
        "--shape square",
    ],
)
@pytest.mark.parametrize("environment", [{}, {"TOLD_SHARE": "0.25", "TOLD_LOUD": "yes"}], ids=["bare", "environment"])
def test_a_value_is_what_typer_reads(
    arguments: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_typer = CliRunner().invoke(app, arguments.split(), env=environment)
    monkeypatch.setattr(_TyperParameter, "get_runtime_param", _TyperParameter.get_runtime_param)  # to be put back
    read_plain_values()
    by_us = CliRunner().invoke(app, arguments.split(), env=environment)
    assert (by_us.exit_code, by_us.output) == (by_typer.exit_code, by_typer.output)
    assert by_us.exit_code == 0 or "Error" in by_us.output


def test_texts_and_paths_are_read_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_TyperParameter, "get_runtime_param", _TyperParameter.get_runtime_param)
    read_plain_values()
    monkeypatch.setitem(sys.modules, "typer._adapters", None)  # who imports it now fails
    done = CliRunner().invoke(app, ["a", "b", "--text", "c", "--path", "d", "--one-of", "e"], catch_exceptions=False)
    assert done.output.splitlines()[:3] == [
        "<class 'list'> ['a', 'b']",
        "<class 'str'> 'c'",
        f"{type(Path())} {Path('d')!r}",
    ]
