"""`--keep` needs the page's libraries, and says so before anything is started."""

from pathlib import Path

import pytest

from service.demo.run import DemoOptions, run_demo


def test_without_the_page_a_kept_demo_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("service.demo.keep.importlib.util.find_spec", lambda _: None)
    assert run_demo([], DemoOptions(out=tmp_path, keep=True)) == 1
    said = capsys.readouterr()
    assert said.err == (
        "--keep shows the page, which needs the extra `web`: pip install 'thumbnail-pipeline[demo,web]'.\n"
    )
    assert said.out == "", "no files are made for nothing"
