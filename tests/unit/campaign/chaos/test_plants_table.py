"""The table of planted bugs: results are kept one by one, and a second start goes on with what is left."""

from pathlib import Path

import pytest

from tests.campaign.chaos import plants_table
from tests.campaign.chaos.plants_table import NAMES, NONE, Run, as_markdown, main, read_runs, tree_digest

CAUGHT = {"lost": 3, "orphan": 1}


def a_run(name: str, exit_code: int = 1, findings: dict[str, int] | None = None, tree: str = "t") -> Run:
    return Run(name, 1, tree, "p", exit_code, CAUGHT if findings is None else findings, ("lost: a|b",), 1.0)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names in the order in which they were run; `drop-replays` is never caught, `early` is stopped."""
    names: list[str] = []

    def run(name: str, _seed: int, tree: str) -> Run:
        names.append(name)
        if name == "hand-on-early" and names.count(name) == 1:
            raise KeyboardInterrupt
        return a_run(name, findings={"orphan": 1} if name == "drop-replays" else None, tree=tree)

    monkeypatch.setattr(plants_table, "_run", run)
    return names


def test_a_second_start_goes_on_where_the_first_was_stopped(tmp_path: Path, ran: list[str]) -> None:
    arguments = ["--json", f"{tmp_path}/kept.json", "--report", f"{tmp_path}/plants.md"]
    arguments += ["--plants", "acknowledge-early,drop-replays,hand-on-early"]
    with pytest.raises(KeyboardInterrupt):
        main(arguments)
    assert main(arguments) == 1
    # What was caught is not run again; what was not caught is.
    assert ran == ["acknowledge-early", "drop-replays", "hand-on-early", "drop-replays", "hand-on-early"]
    assert sorted(read_runs(tmp_path / "kept.json", 1)) == ["acknowledge-early", "drop-replays", "hand-on-early"]
    assert read_runs(tmp_path / "kept.json", 2) == {}
    assert "| `acknowledge-early` |" in (tmp_path / "plants.md").read_text()


def test_results_of_another_state_of_the_code_are_repeated_when_asked(tmp_path: Path, ran: list[str]) -> None:
    arguments = ["--json", f"{tmp_path}/kept.json", "--plants", "acknowledge-early"]
    plants_table.write_runs(tmp_path / "kept.json", {"acknowledge-early": a_run("acknowledge-early", tree="before")})
    assert main(arguments) == 0
    assert ran == []
    assert main([*arguments, "--same-tree"]) == main([*arguments, "--same-tree"]) == 0
    assert main([*arguments, "--again"]) == 0
    assert ran == ["acknowledge-early"] * 2
    assert read_runs(tmp_path / "kept.json", 1)["acknowledge-early"].tree == tree_digest()


def test_the_page_says_what_was_not_run_and_not_caught() -> None:
    runs = {run.name: run for run in (a_run(NONE, 0, {}), a_run("acknowledge-early"), a_run("drop-replays", 2))}
    runs["hand-on-late"] = a_run("hand-on-late")
    page = as_markdown(runs, 1)
    assert f"1 of {len(NAMES) - 1} bugs were caught. Without a bug, findings: none." in page
    assert "Not right: `hand-on-late`." in page
    assert "`drop-replays`" in page.partition("Not run: ")[2].partition(".")[0]
    assert "| lost | lost 3, orphan 1 | lost: a\\|b |" in page
    assert page.count("| `") == len(NAMES)


def test_the_digest_is_of_product_and_campaign(tmp_path: Path) -> None:
    digests = {tree_digest(tmp_path)}
    for name in ("schemas/x.py", "tests/campaign/chaos/y.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x = 1\n")
        digests.add(tree_digest(tmp_path))
    (tmp_path / "README.md").write_text("no code")
    assert len({*digests, tree_digest(tmp_path)}) == 3
