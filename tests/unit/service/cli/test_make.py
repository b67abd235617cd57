"""`thumbnails make` writes whole files or none, and says what it found."""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from processors.types import PictureFormat
from service.cli.make import report as reports
from service.cli.make.command import _named, make
from service.cli.make.decoding import decoding_by
from service.cli.make.run import Output, _replace, make_files
from service.cli.make.sheet import Sheet
from service.settings import DecodeSettings
from tests.doubles.clips import clip
from tests.doubles.damaged_clips import with_damage
from tests.servers.disks import small_disk
from tests.unit.processors.selection.test_choice import busy


def test_a_full_disk_leaves_what_was_there_before_and_nothing_beside_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        thumbnail = disk / "clip-small.webp"
        _replace(thumbnail, b"an old one")
        with pytest.raises(OSError, match="No space left"):
            _replace(thumbnail, bytes(1024 * 1024))
        assert [path.name for path in disk.iterdir()] == ["clip-small.webp"]
        assert thumbnail.read_bytes() == b"an old one"
        _replace(thumbnail, b"a new one")
        assert thumbnail.read_bytes() == b"a new one"


def reports_of(paths: list[Path], out: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    make_files(list(map(str, paths)), Output(out, as_json=True), decoding_by(DecodeSettings(decode_slots=1)))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_says_what_was_found_and_what_is_wrong_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = clip([busy(number * 8) for number in range(25)])
    contents = {
        "sound.mp4": film,
        "damaged.mp4": with_damage(film, lambda _number, _is_keyframe: True),
        "text.mp4": b"dear diary",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    sound, damaged, text = reports_of([tmp_path / name for name in contents], tmp_path / "out", capsys)

    assert sound["media"] == {
        "codec": "h264",
        "format": "mov",
        "width": 320,
        "height": 180,
        "duration_s": 1.0,
        "rotation": 0,
    }
    assert sound["frame"]["score"] > 0.7
    assert (sound["frame"]["candidates"], sound["degraded"], sound["degraded_reason"]) == (1, False, None)
    assert (damaged["status"], damaged["degraded"], damaged["degraded_reason"]) == ("ready", True, "damaged")
    assert (text["status"], text["media"], text["degraded"]) == ("failed", None, False)


def test_the_line_of_a_degraded_thumbnail_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "damaged.mp4"
    film.write_bytes(with_damage(clip([busy(0)] * 5), lambda _number, _is_keyframe: True))
    make_files([str(film)], Output(tmp_path / "out"), decoding_by(DecodeSettings(decode_slots=1)))
    assert capsys.readouterr().out.rstrip().endswith("(degraded: damaged)")


def test_one_failure_stops_no_other_and_the_end_counts_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name, content in {"a.mp4": clip([busy(0)] * 2), "b.mp4": b"dear diary", "c.mp4": clip([busy(8)] * 2)}.items():
        (tmp_path / "in" / name).write_bytes(content)
    out = tmp_path / "out"
    decoding = decoding_by(DecodeSettings(decode_slots=1))
    sheet = tmp_path / "sheet.html"
    arguments = [str(tmp_path / "in")]
    assert make_files([*arguments, "nowhere.png"], Output(out, sheet), decoding) == 1
    first = capsys.readouterr()
    assert [line.split()[0] for line in first.out.splitlines()] == ["ready", "failed", "ready", "failed"]
    assert first.err.startswith("2 made; 2 failed (1 media.unsupported, 1 source.unreadable); in ")
    page = sheet.read_text()
    assert page.count("<figure") == 4
    assert page.count('src="data:image/webp;base64,') == 2
    assert page.count("media.unsupported") == 2, "in its place, and in the last line"

    made = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert make_files(arguments, Output(out, sheet, resume=True), decoding) == 1
    assert capsys.readouterr().err.startswith("0 made; 2 there already; 1 failed (1 media.unsupported); in ")
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == made
    assert sheet.read_text().count('src="data:image/webp;base64,') == 2, "what was made before is shown, too"

    (out / "a-large.webp").unlink()
    (tmp_path / "in" / "c.mp4").write_bytes(clip([busy(16)] * 2))
    make_files(arguments, Output(out, resume=True), decoding)
    assert capsys.readouterr().err.startswith("2 made; 1 failed")
    assert (out / "a-large.webp").exists()


def test_a_sheet_is_whole_or_what_it_was(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.html"
    sheet.write_text("an old one")
    with pytest.raises(SystemExit):
        make_files(["nowhere.png"], Output(sheet, sheet), decoding_by(DecodeSettings(decode_slots=1)))
    with Sheet(sheet) as page:  # and no finish()
        page.add(reports.there_already("x"), b"picture", PictureFormat.WEBP)
    assert sheet.read_text() == "an old one"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.html"]


def test_names_in_a_sheet_are_text(tmp_path: Path) -> None:
    with Sheet(tmp_path / "sheet.html") as page:
        page.add(reports.there_already("<script>alert(1)</script>\udcff\x1b"), b"picture", PictureFormat.WEBP)
        page.finish("1 <b>made</b>")
    text = (tmp_path / "sheet.html").read_text()
    assert "<script>" not in text
    assert "<b>" not in text
    assert "\x1b" not in text


def test_sizes_need_no_names() -> None:
    assert [_named(size) for size in ("320x240", "64x64:fill", "big:640x480", " 9x9 ")] == [
        "320x240:320x240",
        "64x64:64x64:fill",
        "big:640x480",
        "9x9:9x9",
    ]
    assert get_args(get_args(get_type_hints(make)["format_name"])[0]) == tuple(PictureFormat)
