"""Every sample of the tests' corpora as its thumbnail, on one sheet to look at: python -m tests.contact_sheet OUT.png.

Green frames are ready, red ones failed with the code below them; under each its moment and how it was found. A checkered
ground shows where a picture is transparent.
"""

import argparse
import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ThumbnailError
from service.demo.media import scene
from tests.doubles import corpus_damaged
from tests.doubles.clips import clip
from tests.doubles.corpus_colour import colour_corpus
from tests.doubles.corpus_rare import RARE, RARE_WITH_ALPHA
from tests.doubles.corpus_shapes import SHAPES
from tests.doubles.giants import PICTURES, VIDEOS, gif_of
from tests.doubles.sources import BytesSource
from tests.unit.processors.selection.test_choice import CLIPS
from tests.unit.processors.still.test_pictures import encoded
from tests.unit.processors.still.test_raw_preview import RAWS

COLUMNS: Final = 7
CELL: Final = (196, 176)
PICTURE: Final = (184, 124)


def samples() -> Mapping[str, Callable[[], bytes]]:
    """Every sample by its name."""
    moments = {name: lambda frames=frames: clip(frames, g="25") for name, frames in CLIPS.items()}
    colours = {name: lambda content=content: content for name, content in colour_corpus().items()}
    rare = {f"rare {name}": made for name, made in RARE.items()}
    clear = {f"{name}, cut out": made for name, made in RARE_WITH_ALPHA.items()}
    raws = {f"raw {name}": made for name, made in RAWS.items()}
    return {**SHAPES, **moments, **colours, **rare, **clear, **raws, **_damaged(), **_extremes()}


def _damaged() -> dict[str, Callable[[], bytes]]:
    """Two thirds of a picture of each kind."""
    whole = {name: corpus_damaged.sound(name) for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")}
    whole |= {"interlaced PNG": corpus_damaged.interlaced_png()}
    cut = {f"cut {name}": content[: len(content) * 2 // 3] for name, content in whole.items()}
    return {name: partial(bytes, content) for name, content in cut.items()}


def _extremes() -> dict[str, Callable[[], bytes]]:
    """Sizes at their limits, an animation that begins black, and what is refused."""
    still = Image.fromarray(scene(320, 240, 0.5))
    black = Image.new("RGB", still.size)
    return {
        "1 x 1.png": lambda: encoded(Image.new("RGB", (1, 1), (9, 99, 199))),
        "10000 x 10.png": lambda: encoded(still.resize((10_000, 10))),
        "an animation that begins black.gif": lambda: encoded(
            black, "GIF", save_all=True, append_images=[black, still], duration=500
        ),
        "100,000 frames.gif": lambda: gif_of(100_000),
        **{f"giant {name}": made for name, made in (*PICTURES.items(), *VIDEOS.items())},
        "empty": lambda: b"",
        "text.mp4": lambda: b"dear diary, " * 50,
    }


def draw_cell(sheet: Image.Image, place: tuple[int, int], name: str, content: bytes) -> None:
    """One sample: its name, its thumbnail or its error, and what the result says of it."""
    draw, (x, y) = ImageDraw.Draw(sheet), place
    draw.text((x + 4, y + 2), name[:34], fill="black")
    try:
        made = create_thumbnails(BytesSource(content), ThumbnailSpec())
    except ThumbnailError as error:
        draw.rectangle([x + 4, y + 16, x + PICTURE[0], y + 16 + PICTURE[1]], outline="red")
        draw.text((x + 10, y + 70), str(error.code), fill="red")
        return
    picture = picture_of(made)
    sheet.paste(picture, (x + 4, y + 18))
    draw.rectangle([x + 3, y + 17, x + 4 + picture.width, y + 18 + picture.height], outline="green")
    moment = "" if made.frame.time_s is None else f"{made.frame.time_s:.2f} s "
    score = "" if made.frame.score is None else f" {made.frame.score:.2f} of {made.frame.candidates}"
    draw.text((x + 4, y + 146), f"{moment}{made.frame.method}{score}", fill="#333333")
    draw.text((x + 4, y + 158), f"{made.source.codec}, {made.source.width}x{made.source.height}", fill="#777777")


def picture_of(made: ThumbnailSet) -> Image.Image:
    """The medium rendition, fitted into a cell, on a checkered ground."""
    with Image.open(io.BytesIO(made.renditions[1].content)) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail(PICTURE)
    ground = Image.new("RGB", picture.size, "white")
    draw = ImageDraw.Draw(ground)
    for x in range(0, picture.width, 16):
        for y in range((x // 8) % 16, picture.height, 16):
            draw.rectangle([x, y, x + 7, y + 7], fill="#cccccc")
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    found = samples()
    rows = -(-len(found) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "#f4f4f4")
    for number, (name, make) in enumerate(found.items()):
        draw_cell(sheet, (number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]), name, make())
    sheet.save(options.out)


if __name__ == "__main__":
    main()
