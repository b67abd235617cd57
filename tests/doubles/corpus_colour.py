"""One small file of every kind of geometry and colour that a source may have, each showing the same scene when it is right.

`colour_corpus()` is for tests and for contact sheets: a wrong matrix, gamut, curve, crop or turn is seen at a glance.
"""

import io
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.demo.media import scene
from tests.doubles import coded_clips as coded
from tests.doubles import profiles
from tests.doubles.clips import clip
from tests.doubles.coded_clips import (
    Coding,
    alpha_clip,
    coded_clip,
    deep_avif,
    hdr_clip,
    light_of,
    mirrored_clip,
    pq_of,
    srgb_of,
)
from tests.doubles.containers import with_chunk, with_clap, with_code_points, with_pixel_crop

Pixels = NDArray[np.uint8]
_WIDTH, _HEIGHT = 320, 240
_INTERLACED: dict[str, Any] = {"x264-params": "tff=1"}
_IN_ADOBE = np.array([[0.71512, 0.28488, 0.0], [0.0, 1.0, 0.0], [0.0, 0.04116, 0.95884]])
_SRGB_AT_D50 = np.array([(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]).T
_IN_PROPHOTO = np.linalg.inv(np.array(profiles.PROPHOTO).T) @ _SRGB_AT_D50


def colour_corpus() -> dict[str, bytes]:
    """Name (with the usual extension) to content."""
    return {
        **_ordinary_videos(),
        **_hdr_videos(),
        **_shapes_of_videos(),
        **_alpha_videos(),
        **_photographs(),
        **_turned_photographs(),
    }


def the_scene(width: int = _WIDTH, height: int = _HEIGHT) -> Pixels:
    """What every file shows."""
    return scene(width, height, 0.5)


def _ordinary_videos() -> dict[str, bytes]:
    small, large = the_scene() / 255, the_scene(1280, 720) / 255
    light = light_of(the_scene())
    p3, wide = srgb_of(light @ coded.IN_P3.T), srgb_of(light @ coded.IN_BT2020.T)
    full, limited = coded.FULL, coded.LIMITED
    return {
        "BT.601 marked.mp4": coded_clip(small, Coding("601", False, 8, coded.BT601, limited)),
        "BT.709 marked.mp4": coded_clip(small, Coding("709", False, 8, coded.BT709, limited)),
        "BT.2020 matrix marked.mp4": coded_clip(small, Coding("2020", False, 8, coded.BT2020, limited)),
        "unmarked SD, BT.601.mp4": coded_clip(small, Coding("601")),
        "unmarked HD, BT.709.mp4": coded_clip(large, Coding("709")),
        "HD marked as BT.601.mp4": coded_clip(large, Coding("601", False, 8, coded.BT601, limited)),
        "full range BT.601.mp4": coded_clip(small, Coding("601", True, 8, coded.BT601, full)),
        "full range BT.709.mp4": coded_clip(small, Coding("709", True, 8, coded.BT709, full)),
        "SDR 10 bit.mp4": coded_clip(small, Coding("709", False, 10, coded.BT709, limited)),
        "SDR Display P3.mp4": coded_clip(
            p3, Coding("709", False, 10, coded.BT709, limited, coded.DISPLAY_P3, coded.BT709)
        ),
        "SDR BT.2020 10 bit.mp4": coded_clip(wide, Coding("2020", False, 10, coded.BT2020, limited, coded.BT2020, 14)),
        "SDR BT.2020 unmarked matrix.mp4": coded_clip(wide, Coding("2020", False, 10, 2, limited, coded.BT2020, 14)),
        "RGB H.264.mp4": clip([the_scene()] * 2, "libx264rgb", pixels="rgb24"),
        "MJPEG full range.avi": clip([the_scene()] * 2, "mjpeg", "avi", "yuvj420p"),
    }


def _hdr_videos() -> dict[str, bytes]:
    light = light_of(the_scene())
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    sun = ((x - _WIDTH * 0.5) ** 2 + (y - _HEIGHT * 0.3) ** 2 < 24**2)[..., None]
    glowing = np.where(sun, light * 5, light)
    return {
        "HDR PQ bt2020 10 bit.mp4": hdr_clip(light, coded.PQ),
        "HDR HLG bt2020 10 bit.mp4": hdr_clip(light, coded.HLG),
        "HDR PQ, sun of 1000 nits.mp4": hdr_clip(glowing, coded.PQ),
        "HDR HLG, sun of 1000 nits.mp4": hdr_clip(glowing, coded.HLG),
        "HDR PQ without a matrix.mp4": hdr_clip(light, coded.PQ, marked_matrix=coded.UNMARKED),
    }


def _shapes_of_videos() -> dict[str, bytes]:
    whole = np.full((240, 320, 3), (220, 30, 220), np.uint8)
    whole[20:228, 40:296] = the_scene(256, 208)
    woven = the_scene(640, 480).copy()
    woven[1::2] = np.roll(woven[1::2], 24, axis=1)
    woven[1::2, :80], woven[1::2, -80:] = the_scene(640, 480)[1::2, :80], the_scene(640, 480)[1::2, -80:]
    turned: dict[str, bytes] = {}
    for degrees in (0, 90, 180, 270):
        for name, across, down in (
            ("", False, False),
            (", flipped across", True, False),
            (", flipped down", False, True),
        ):
            stored = the_scene()[:: -1 if down else 1, :: -1 if across else 1]
            content = mirrored_clip(np.rot90(stored, -degrees // 90), degrees, flips_across=across, flips_down=down)
            turned[f"matrix of {degrees} degrees{name}.mp4"] = content
    return {
        **turned,
        "pixels of 4:3, turned by 90.mp4": mirrored_clip(np.rot90(the_scene(), -1), 90, sample_aspect=Fraction(4, 3)),
        "clean aperture.mp4": with_clap(clip([whole] * 3), 256, 208, right=8, down=4),
        "absurd clean aperture.mp4": with_clap(clip([the_scene()] * 3), 9, 9),
        "PixelCrop.mkv": with_pixel_crop(clip([whole] * 3, container="matroska", muxer={"live": "1"}), 40, 20, 24, 12),
        "interlaced and moving.mp4": clip([woven] * 3, **_INTERLACED),
        "odd size.mp4": clip([the_scene(319, 239)] * 2, pixels="yuv444p"),
    }


def _alpha_videos() -> dict[str, bytes]:
    disc = _on_invisible_green()
    return {
        "alpha VP9.webm": alpha_clip(disc, "libvpx-vp9", "webm", "yuva420p", crf="10", b="0"),
        "alpha VP8.webm": alpha_clip(disc, "libvpx", "webm", "yuva420p", b="3000000", **{"auto-alt-ref": "0"}),
        "alpha ProRes 4444.mov": alpha_clip(disc, "prores_ks", "mov", "yuva444p10le"),
        "alpha QuickTime Animation.mov": alpha_clip(disc, "qtrle", "mov", "argb"),
        "alpha PNG.mov": alpha_clip(disc, "png", "mov", "rgba"),
    }


def _photographs() -> dict[str, bytes]:
    image = Image.fromarray(the_scene())
    light = light_of(the_scene())
    grey = image.convert("L")
    adobe = _coded(light, _IN_ADOBE, 563 / 256)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    pq = np.rint(255 * pq_of(light @ coded.IN_BT2020.T * 203)).astype(np.uint8)
    p3 = Image.fromarray(np.rint(255 * srgb_of(light @ coded.IN_P3.T)).astype(np.uint8))
    alpha = Image.fromarray(_on_invisible_green())
    avif = {
        name: Coding("2020", False, 10, coded.BT2020, coded.LIMITED, coded.BT2020, transfer)
        for name, transfer in (("PQ", coded.PQ), ("HLG", coded.HLG))
    }
    hlg = coded.hlg_of(light @ coded.IN_BT2020.T * 203)
    return {
        "sRGB profile.jpg": _encoded(
            image, "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        "Display P3.jpg": _wide(light, coded.IN_P3, profiles.DISPLAY_P3, 2.2),
        "Adobe RGB.jpg": _wide(light, _IN_ADOBE, profiles.ADOBE_RGB, 563 / 256),
        "ProPhoto.jpg": _wide(light, _IN_PROPHOTO, profiles.PROPHOTO, 1.8),
        "Adobe RGB by EXIF.jpg": _encoded(adobe, "JPEG", exif=exif),
        "broken profile.jpg": _encoded(image, "JPEG", icc_profile=b"not a profile at all"),
        "CMYK without a profile.jpg": _encoded(image.convert("CMYK"), "JPEG"),
        "CMYK.tif": _encoded(image.convert("CMYK"), "TIFF"),
        "Lab.tif": _encoded(lab, "TIFF"),
        "grey with a linear profile.png": _encoded(
            Image.fromarray(np.rint(255 * light_of(np.asarray(grey.convert("RGB"))))[..., 0].astype(np.uint8)),
            icc_profile=profiles.grey_profile(1.0),
        ),
        "grey 16 bit.png": _encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)),
        "float.tif": _encoded(Image.fromarray((np.asarray(grey) / 255).astype(np.float32)), "TIFF"),
        "plain light (gAMA 1).png": with_chunk(_encoded(_coded(light, np.eye(3), 1.0)), b"gAMA", (100000).to_bytes(4)),
        "cICP P3.png": with_chunk(_encoded(p3), b"cICP", bytes((12, 13, 0, 1))),
        "cICP PQ.png": with_chunk(_encoded(Image.fromarray(pq)), b"cICP", bytes((9, 16, 0, 1))),
        "HDR PQ 10 bit.avif": deep_avif(pq_of(light @ coded.IN_BT2020.T * 203), avif["PQ"]),
        "HDR HLG 10 bit.avif": deep_avif(hlg, avif["HLG"]),
        "P3.avif": with_code_points(_encoded(p3, "AVIF", quality=95), 12, 13),
        "alpha.png": _encoded(alpha),
        "alpha.webp": _encoded(alpha, "WEBP", lossless=True, exact=True),
        "alpha.avif": _encoded(alpha, "AVIF", quality=90),
        "palette.png": _encoded(image.quantize(128)),
    }


def _turned_photographs() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    backwards = {6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}
    for orientation, turn in backwards.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(the_scene()).transpose(turn)
        for extension, name in {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "avif": "AVIF"}.items():
            found[f"EXIF orientation {orientation}.{extension}"] = _encoded(stored, name, exif=exif)
    return found


def _on_invisible_green() -> Pixels:
    """The scene in a disc that leaves out the corners; around it green that is not to be seen."""
    picture = np.zeros((_HEIGHT, _WIDTH, 4), np.uint8)
    picture[..., 1] = 255
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    inside = (x - _WIDTH / 2) ** 2 + (y - _HEIGHT / 2) ** 2 < (_HEIGHT * 0.48) ** 2
    picture[inside] = np.dstack([the_scene(), np.full((_HEIGHT, _WIDTH), 255, np.uint8)])[inside]
    return picture


def _coded(light: NDArray[np.float64], gamut: NDArray[np.float64], gamma: float) -> Image.Image:
    return Image.fromarray(np.rint(255 * np.clip(light @ gamut.T, 0, 1) ** (1 / gamma)).astype(np.uint8))


def _wide(light: NDArray[np.float64], gamut: NDArray[np.float64], columns: Any, gamma: float) -> bytes:
    return _encoded(_coded(light, gamut, gamma), "JPEG", icc_profile=profiles.rgb_profile(columns, gamma))


def _encoded(image: Image.Image, picture_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    if picture_format == "JPEG":
        options = {"quality": 97, "subsampling": 0, **options}
    image.save(out, picture_format, **options)
    return out.getvalue()
