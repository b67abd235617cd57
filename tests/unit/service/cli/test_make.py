"""`thumbnails make` writes whole files or none, and says what it found."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.cli.make import _replace, make_files
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
    make_files(paths, out, DecodeSettings(decode_slots=1), as_json=True)
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
    make_files([film], tmp_path / "out", DecodeSettings(decode_slots=1), as_json=False)
    assert capsys.readouterr().out.rstrip().endswith("(degraded: damaged)")
