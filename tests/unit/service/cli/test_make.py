"""`thumbnails make` writes whole files or none."""

from pathlib import Path

import pytest

from service.cli.make import _replace
from tests.servers.disks import small_disk


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
