"""The demo's own files: each shows something that a plain thumbnailer gets wrong."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from service.demo.landscape import DAY, DESERT, DUSK, NIGHT, SNOW, Colours, Look, paint, sun_of
from service.demo.media import RATE, DemoFile, Pixels, turn_by_matrix, write_video

_SIZE: Final = (640, 360)
_BT2020, _PQ, _LIMITED = 9, 16, 1  # ITU-T H.273
_IN_BT2020: Final = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
_WHITE_NITS, _SUN_NITS = 203, 1000
_PACKET: Final = 188  # bytes, in MPEG-TS


def make_samples(folder: Path) -> list[DemoFile]:
    """Make every file in `folder`, in a few seconds; each second one belongs to the second company."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        DemoFile(_made(folder / name, write), title, expected, number % 2)
        for number, (name, (write, title, expected)) in enumerate(_SAMPLES.items())
    ]


def _made(path: Path, write: Callable[[Path], object]) -> Path:
    write(path)
    return path


def _pan(size: tuple[int, int], look: Look, seed: int, count: int) -> list[Pixels]:
    """Return frames of a camera that turns slowly over a landscape."""
    (width, height), step = size, 2
    wide = _pixels(paint(width + step * count, height, look, seed))
    return [wide[:, step * index : step * index + width] for index in range(count)]


def _pixels(colours: Colours) -> Pixels:
    return np.rint(colours * 255).astype(np.uint8)


def _black_leader(path: Path) -> None:
    black: Pixels = np.zeros((_SIZE[1], _SIZE[0], 3), np.uint8)
    write_video(path, [black] * (3 * RATE) + _pan(_SIZE, DAY, 21, 2 * RATE))


def _slate(path: Path) -> None:
    slate = Image.new("RGB", _SIZE, (24, 24, 26))
    draw = ImageDraw.Draw(slate)
    for number in range(0, 10, 2):  # the clapper's stripes
        draw.polygon([(number * 70, 0), (number * 70 + 70, 0), (number * 70 + 40, 48), (number * 70 - 30, 48)], "white")
    draw.text((40, 90), "HARBOUR FILMS", "white", ImageFont.load_default(44))
    draw.text((40, 180), "SCENE 12     TAKE 3", (200, 200, 200), ImageFont.load_default(34))
    write_video(path, [np.asarray(slate)] * (2 * RATE) + _pan(_SIZE, SNOW, 8, 2 * RATE))


def _phone_clip(path: Path) -> None:
    # The sensor's picture lies on its side; the matrix turns it back by 90 degrees clockwise.
    turn_by_matrix(write_video(path, [np.rot90(frame) for frame in _pan((360, 640), DAY, 5, RATE)]), 90)


def _recording(path: Path) -> None:
    """Write what is left of a broadcast whose recording begins between two keyframes and breaks off within a packet."""
    write_video(path, _pan(_SIZE, NIGHT, 2, 4 * RATE), g=str(RATE))
    whole = path.read_bytes()
    path.write_bytes(whole[len(whole) // 3 // _PACKET * _PACKET : -99])


def _hdr(path: Path) -> None:
    """Write ten bits of BT.2020 and PQ: paper white has 203 nits, the sun 1000."""
    colours = paint(*_SIZE, DUSK, 9)
    light = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    nits = light @ _IN_BT2020.T * _WHITE_NITS
    nits += sun_of(*_SIZE, DUSK, softness=0.7)[..., None] * np.array(DUSK.glow) / 255 * (_SUN_NITS - _WHITE_NITS)
    power = np.clip(nits / 10_000, 0, 1) ** 0.1593017578125
    coded = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375  # SMPTE ST 2084
    frame = av.VideoFrame.from_ndarray(np.rint(coded * 65535).astype(np.uint16), "rgb48le")
    frame = frame.reformat(format="yuv420p10le", dst_colorspace=_BT2020, dst_color_range=_LIMITED)
    frame.color_primaries, frame.color_trc = _BT2020, _PQ
    with av.open(str(path), "w") as container:
        quiet = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}
        stream: Any = container.add_stream("libx265", rate=Fraction(RATE), options=quiet)
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = _BT2020, _LIMITED
        context.color_primaries, context.color_trc = _BT2020, _PQ
        for number in range(3):
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _photograph(path: Path) -> None:
    lying = Image.fromarray(_pixels(paint(900, 1200, DESERT, 7))).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying.save(path, "JPEG", quality=88, exif=exif)


def _cut_photograph(path: Path) -> None:
    Image.fromarray(_pixels(paint(1280, 960, SNOW, 4))).save(path, "JPEG", quality=88)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 5])


def _logo(path: Path) -> None:
    large = Image.new("RGBA", (1200, 1200), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)
    draw.ellipse([80, 80, 1120, 1120], fill=(30, 90, 200, 255))
    draw.polygon([(460, 350), (460, 850), (880, 600)], fill=(255, 255, 255, 255))
    large.resize((600, 600), Image.Resampling.LANCZOS).save(path, "PNG")


def _icon(path: Path) -> None:
    icon = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    mask = Image.new("L", icon.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle([32, 32, 992, 992], 220, fill=255)
    icon.paste(Image.fromarray(_pixels(paint(1024, 1024, DUSK, 6))), mask=mask)
    icon.resize((256, 256), Image.Resampling.LANCZOS).save(
        path, "ICO", sizes=[(16, 16), (32, 32), (64, 64), (256, 256)]
    )


def _half_an_upload(path: Path) -> None:
    """Write the beginning of an upload that broke off before the index at the file's end was sent."""
    write_video(path, _pan((320, 180), DAY, 1, RATE))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 200])


_Expected = Literal["ready", "failed"]
_SAMPLES: Final[dict[str, tuple[Callable[[Path], None], str, _Expected]]] = {
    "black-leader.mp4": (_black_leader, "Three seconds of black come first", "ready"),
    "slate.mp4": (_slate, "A slate comes first", "ready"),
    "hdr-sunset.mp4": (_hdr, "HDR: ten bits, a sun of 1000 nits", "ready"),
    "phone-portrait.mp4": (_phone_clip, "Filmed on a phone, stored on its side", "ready"),
    "recording.ts": (_recording, "A broadcast, recorded from the middle", "ready"),
    "photo-exif6.jpg": (_photograph, "A photograph on its side", "ready"),
    "half-a-photo.jpg": (_cut_photograph, "A photograph whose end is missing", "ready"),
    "app-icon.ico": (_icon, "An icon in four sizes", "ready"),
    "logo.png": (_logo, "A logo with transparency", "ready"),
    "broken.mp4": (_half_an_upload, "Half an upload, without its index", "failed"),
}
