"""Every Markdown page: its links lead somewhere, and its code is what it says it is.

Blocks are marked by what may be expected of them: `sh` runs as it stands (test_command_line.py runs the README's), `bash` needs an
installation, so that its syntax and our commands in it are checked; `python` compiles, and runs where the map shows it; `json`, `yaml` and
`toml` are read; `text`, `console` and `mermaid` show something.
"""

import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from service.docs.pages import FIRST_SETTINGS
from service.setting_names import NAMES
from tests.documents.commands import command_lines, problem_of
from tests.documents.pages import ROOT, Block, all_pages, anchors, blocks, broken_links, code_spans
from tests.servers.licences import PAGE, licence_of, locked, page
from tests.system.platform import a_photo

MAP = ROOT / "THUMBNAIL_SYSTEM_DOCUMENTATION.md"
PAGES = all_pages()
PAGE_NAMES = [str(found.relative_to(ROOT)) for found in PAGES]


def problem_with(block: Block) -> str | None:
    """Why a block is not what it is marked as; None when it is."""
    if block.language in ("sh", "bash"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        problems = [done.stderr] if done.returncode else []
        problems += [problem for line in command_lines(block.text) if (problem := problem_of(line))]
        return "; ".join(problems) or None
    readers: dict[str, Callable[[str], object]] = {
        "python": lambda text: compile(text, "snippet", "exec"),
        "json": json.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
        "toml": tomllib.loads,
        "text": str,
        "console": str,
        "sql": str,  # tests/integration/test_outbox.py runs it
        "java": str,  # these are run by tests/system/test_state_topic.py and test_contract.py
        "go": str,
        "javascript": str,
        "mermaid": str,
        "": str,
    }
    try:
        readers[block.language](block.text)
    except (SyntaxError, ValueError, yaml.YAMLError) as exc:
        return str(exc)
    except KeyError:
        return f"no rule says what ```{block.language} is"
    return None


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_link_leads_to_a_page_and_a_heading(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_block_is_what_it_is_marked_as(name: str) -> None:
    found = {block.text: problem for block in blocks(ROOT / name) if (problem := problem_with(block))}
    assert found == {}


def test_the_first_six_settings_are_settings() -> None:
    assert len(FIRST_SETTINGS) == 6
    assert FIRST_SETTINGS.keys() <= NAMES


@pytest.mark.parametrize("name", ["README.md", "docs/install.md", "docs/troubleshooting.md"])
def test_every_command_within_a_sentence_is_one(name: str) -> None:
    commands = [line for span in code_spans(ROOT / name) for line in command_lines(span)]
    assert {shlex.join(line): problem for line in commands if (problem := problem_of(line))} == {}


@pytest.mark.parametrize("number", range(2))
def test_the_examples_of_the_map_run(number: int, tmp_path: Path) -> None:
    examples = [block.text for block in blocks(MAP) if block.language == "python"]
    assert len(examples) == 2
    (tmp_path / "photo.jpg").write_bytes(a_photo(1))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{examples[number]}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in tmp_path.glob("*.webp"))
    assert made == (["large.webp", "medium.webp", "small.webp"] if number == 0 else [])


def test_every_page_can_be_reached_from_the_map() -> None:
    reached, new = set(), {MAP}
    while new:
        reached |= new
        new = {ROOT / name for found in new for name in PAGE_NAMES if _links_to(found, ROOT / name)} - reached
    assert {path for path in PAGES if path.parent == ROOT / "docs"} - reached == set()


def _links_to(source: Path, target: Path) -> bool:
    text = source.read_text(encoding="utf-8")
    written = target.relative_to(ROOT).as_posix() if source.parent == ROOT else target.name
    return f"]({written}" in text


def test_a_broken_link_and_a_missing_heading_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One\n\n## Two words: `x`\n\n## One\n")
    written = tmp_path / "page.md"
    written.write_text("[a](other.md#two-words-x) [b](other.md#one-1) [c](nowhere.md) [d](other.md#three) [e](#none)\n")
    assert anchors(tmp_path / "other.md") == {"one", "two-words-x", "one-1"}
    assert [line.split(": ")[1] for line in broken_links(written, root=tmp_path)] == [
        "nowhere.md is not there",
        "other.md#three has no such heading",
        "#none has no such heading",
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("bash", "if true; then"),
        ("bash", "thumbnails dlq reply --yes"),
        ("bash", "export X=$(thumbnails credentials keys)"),
        ("sh", "thumbnails dlq replay --sure"),
        ("python", "def f(:"),
        ("json", "{'a': 1}"),
        ("yaml", "a: [1"),
        ("toml", "a = "),
        ("perl", "1"),
    ],
)
def test_a_block_that_is_not_what_it_says_is_found(language: str, text: str) -> None:
    assert problem_with(Block(MAP, language, text))


def test_the_licences_are_those_of_the_packages_that_are_locked() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_packages_of_other_systems_are_left_out_and_none_comes_twice() -> None:
    pins = ["a==1 ; sys_platform == 'win32'", "b==1 ; python_full_version < '3.12'", "b==2", "c==3"]
    lock = "".join(f"{pin} \\\n    --hash=sha256:0\n" for pin in pins)
    assert locked(lock) == ["b", "c"]


def test_a_package_that_says_nothing_of_its_licence_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.licences._SAID_LOOSELY", {})
    with pytest.raises(ValueError, match="confluent-kafka says nothing"):
        licence_of("confluent-kafka")
