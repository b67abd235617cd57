"""Sound files to be damaged: one of each format, and one for each reader that a format has, all generated."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from processors.still.heic import is_heic_installed
from processors.still.libjxl import is_libjxl_installed
from tests.doubles import corpus_damaged as damaged
from tests.doubles.clips import clip
from tests.doubles.corpus_kinds import OPAQUE, WITH_ALPHA, cut_out, photograph, saved
from tests.doubles.corpus_openexr import by_openexr, luminance_and_chroma, scene
from tests.doubles.corpus_rare import RARE, RARE_WITH_ALPHA, xbm, xpm
from tests.doubles.corpus_shapes import THEORA, song_with_cover
from tests.doubles.iso_pictures import in_tiles
from tests.unit.processors.sandbox.test_cage import FRAMES, PICTURES, VIDEOS
from tests.unit.processors.still.test_pictures import encoded
from tests.unit.processors.still.test_raw_preview import RAWS
from tests.unit.processors.still.test_svg import INSIDE, svg

_JPEG_XL_KINDS: Final = ("lossless", "lossy", "lossy grey", "lossy alpha", "floats", "moving", "from a jpeg")
_BARE: Final = {"bare h264": ("libx264", "h264"), "mpeg program stream": ("mpeg2video", "mpeg")}


def sound_files() -> dict[str, bytes]:
    """Return the files by name. All are small, so that many can be tried."""
    stills = [Image.fromarray(frame) for frame in FRAMES]
    pictures = {name: encoded(stills[4], form, **options) for name, (form, options) in PICTURES.items()}
    moving = {
        f"moving {name}": encoded(stills[0], name.upper(), save_all=True, append_images=stills[1:])
        for name in ("gif", "png", "webp", "avif")
    }
    videos = {name: clip(FRAMES, *arguments) for name, arguments in VIDEOS.items()}
    videos |= {name: clip(FRAMES, "libvpx", name) for name in ("ivf", "ogg")}
    videos |= {name: clip(FRAMES, *arguments) for name, arguments in _BARE.items()}
    videos |= {
        "mxf": clip(FRAMES, "mpeg2video", "mxf"),
        "fragments": clip(FRAMES, muxer={"movflags": "frag_keyframe+empty_moov"}),
        "theora": THEORA.read_bytes(),
        "cover": song_with_cover("mp3", "libmp3lame"),
    }
    named: dict[str, Callable[[], bytes]] = {
        **{f"opaque {name}": content for name, content in OPAQUE.items()},
        **{f"cut out {name}": content for name, content in WITH_ALPHA.items()},
        **{f"rare {name}": content for name, content in RARE.items()},
        **{f"rare cut out {name}": content for name, content in RARE_WITH_ALPHA.items()},
        **{f"raw {name}": content for name, content in RAWS.items()},
        # Small, because Pillow decodes them in Python: as large as the others they would take a tenth of a run.
        "opaque dds": lambda: saved(photograph().resize((80, 60)), "DDS"),
        "cut out dds": lambda: saved(cut_out().resize((80, 60)), "DDS"),
        "bitmap": xbm,
        "pixmap": xpm,
        "drawing": lambda: svg(inside=f"{INSIDE}<g id='a'><use xlink:href='#b'/></g>"),
        "large jpeg": partial(_large, "JPEG"),
        "large png": partial(_large, "PNG"),
        "large webp": partial(_large, "WEBP"),
        "progressive jpeg": partial(saved, photograph(), "JPEG", progressive=True),
        "cmyk jpeg": partial(saved, photograph().convert("CMYK"), "JPEG"),
        "palette png": partial(saved, photograph().quantize(16), "PNG"),
        "interlaced png": damaged.interlaced_png,
        "tiff of strips": partial(damaged.tiff_of_strips, "tiff_lzw"),
        "openexr of chroma": lambda: luminance_and_chroma(scene().astype(np.float64)),
        **{f"openexr {name.lower()}": partial(by_openexr, name) for name in ("PIZ", "B44A", "ZIP", "DEEP")},
        "avif of tiles": lambda: in_tiles(photograph(), "AVIF", tile=80, speed=10),
        "bigtiff of 16 bits": partial(saved, photograph().convert("L").convert("I;16"), "TIFF", big_tiff=True),
    }
    if is_heic_installed():
        named["heic"] = partial(_as_heif, stills[4])
    if is_libjxl_installed():
        named |= {f"jpeg xl {kind}": partial(_as_jpeg_xl, kind) for kind in _JPEG_XL_KINDS}
    return pictures | moving | videos | {name: content() for name, content in named.items()}


def kept_files(folder: Path) -> dict[str, bytes]:
    """Return the sound files in `folder`, which are made where there are none: encoders write other numbers into some each time."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        for name, content in sound_files().items():
            (unfinished / name).write_bytes(content)
        unfinished.rename(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _large(form: str) -> bytes:
    """A picture that is decoded at a part of its size, by the faster readers."""
    return saved(photograph().resize((1600, 1200)), form)


def _as_jpeg_xl(kind: str) -> bytes:
    from tests.unit.processors.still.test_jpeg_xl import jxl  # needs an extra

    return jxl(kind)


def _as_heif(picture: Image.Image) -> bytes:
    import pillow_heif  # an extra

    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out)
    return out.getvalue()
