"""Formats and efforts of the encoders on photographs of your own: time of the three sizes, bytes, and likeness to the pixels.

Run: python -m benchmarks.encoders FOLDER [--most N] [--json FILE]. Every way encodes the same renditions, in turns; times are
processor time of this process alone. SSIM (Wang et al. 2004) is that of the luma of the largest rendition to the pixels that the
encoder had.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from processors.output.geometry import fit, scale
from processors.output.render import encode
from processors.planes import YuvPicture
from processors.types import STANDARD_RENDITIONS, Effort, PictureFormat

WAYS: Final[tuple[tuple[PictureFormat, Effort, int], ...]] = (
    (PictureFormat.WEBP, "low", 80),
    (PictureFormat.WEBP, "high", 80),
    (PictureFormat.JPEG, "low", 84),
    (PictureFormat.JPEG, "high", 84),
    (PictureFormat.AVIF, "low", 60),
    (PictureFormat.AVIF, "high", 60),
)
_SIGMA: Final = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Likeness of two greys of one size (height x width), at most 1."""

    def smooth(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), _SIGMA))

    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    likeness = (
        (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2) / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    )
    return float(likeness.mean())


def sizes_of(path: Path) -> list[Image.Image] | None:
    """The renditions' pixels of a photograph; None for what is none, or smaller than the largest."""
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    sizes = [fit(*upright.size, wanted.width, wanted.height) for wanted in STANDARD_RENDITIONS]
    return None if sizes[-1] == upright.size else [scale(upright, size) for size in sizes]


def main() -> None:
    """Measure, print, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=50, help="Photographs.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    times, sizes, likeness = defaultdict(list), defaultdict(list), defaultdict(list)
    measured = 0
    for path in sorted(options.folder.rglob("*.[jJ][pP]*[gG]")):
        pictures = sizes_of(path)
        if pictures is None:
            continue
        measured += 1
        for way in WAYS:
            planes = [YuvPicture.from_rgb(one, one.size) if way[0] is PictureFormat.WEBP else one for one in pictures]
            started = time.process_time()
            made = [encode(one, way[0], way[2], way[1]) for one in planes]
            times[way].append(1000 * (time.process_time() - started))
            sizes[way].append(sum(map(len, made)) / 1024)
            with Image.open(BytesIO(made[-1])) as opened:
                likeness[way].append(ssim(np.asarray(opened.convert("L")), np.asarray(pictures[-1].convert("L"))))
        if measured == options.most:
            break
    rows = [
        {
            "format": way[0].value,
            "effort": way[1],
            "quality": way[2],
            "cpu_ms": round(statistics.median(times[way]), 1),
            "kib": round(statistics.mean(sizes[way]), 1),
            "ssim": round(statistics.mean(likeness[way]), 4),
        }
        for way in WAYS
    ]
    table = Table("format", "effort", "quality", "CPU ms, three sizes", "KiB, three sizes", "SSIM of the largest")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console = Console()
    console.print(f"{measured} photographs")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"photographs": measured, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
