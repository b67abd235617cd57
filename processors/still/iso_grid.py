"""AVIF and HEIC pictures in parts: tile after tile, as phones store photographs, or one frame straight to a smaller size.

FFmpeg decodes them, in one thread. libavif and libheif hold the whole picture.
"""

from collections.abc import Iterator
from typing import Final, cast

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from processors.orientation import Turn
from processors.readers import DamagedMediaError, reading
from processors.source_file import BytesInMemory, SourceFile
from processors.still.bands import Bands
from processors.still.claims import check_held, is_large
from processors.still.finish import StoredPicture, finish
from processors.still.iso_items import IsoItem, IsoItems
from processors.types import DecodedFrame, ThumbnailSpec

_CODECS: Final = {b"av01": ("libdav1d", b"av1C"), b"hvc1": ("hevc", b"hvcC")}
"""By the type of an item: FFmpeg's decoder, and the property that it begins with."""
_MOST_TILES: Final = 65535
_ALIGNMENT: Final = 64
"""Pixels by which a codec may round a frame up."""
_FRAME_COPIES: Final = 2
_WHOLE_BYTES: Final = 5
"""Of a pixel, with its transparency and its place in it."""
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_BT601: Final = 5
_MATRICES: Final = frozenset({1, 4, 5, 6, 7, 9})
"""That swscale knows, by ITU-T H.273."""
_TURNS: Final = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
"""By the quarters against the clock that `irot` says."""


class IsoPicture:
    """A picture of the file, whose tiles are of one size. `columns` and `rows` are 1 where it is one frame."""

    def __init__(self, items: IsoItems, item: IsoItem) -> None:
        """Read what its tiles are. Raises DamagedMediaError; NotImplementedError for what is not decoded here."""
        self._items: Final = items
        self._item: Final = item
        self.columns = self.rows = 1
        self.size = item.size
        self._tiles = [item]
        if item.kind == b"grid":
            self._read_grid()
        first = self._tiles[0]
        self.tile: Final = first.size
        if first.kind not in _CODECS or any((one.kind, one.size) != (first.kind, first.size) for one in self._tiles):
            raise NotImplementedError("tiles of several kinds")
        self._codec, self._setup = _CODECS[first.kind]
        if self._setup not in first.properties or min(*self.size, *self.tile) < 1:
            raise DamagedMediaError("The picture's beginning is damaged: a tile has no size.")
        if self.columns * self.tile[0] < self.size[0] or self.rows * self.tile[1] < self.size[1]:
            raise DamagedMediaError("The picture's beginning is damaged: its tiles do not cover it.")

    def _read_grid(self) -> None:
        head = self._items.content(self._item)[:12]
        width = 4 if head[1:2] == b"\1" else 2
        if len(head) < 4 + 2 * width:
            raise DamagedMediaError("The picture's beginning is damaged: its grid is.")
        self.rows, self.columns = head[2] + 1, head[3] + 1
        self.size = (int.from_bytes(head[4 : 4 + width]), int.from_bytes(head[4 + width : 4 + 2 * width]))
        numbers = self._item.tiles
        if len(numbers) != self.rows * self.columns or len(numbers) > _MOST_TILES:
            raise DamagedMediaError("The picture's beginning is damaged: tiles are missing.")
        self._tiles = [self._items.by_number.get(number, IsoItem()) for number in numbers]

    @property
    def is_avif(self) -> bool:
        """Return whether its tiles are AV1's."""
        return self._setup == b"av1C"

    @property
    def is_one_frame(self) -> bool:
        """Return whether there is one tile, as large as the picture."""
        return self.tile == self.size

    @property
    def turn(self) -> Turn:
        """Return the turn that `irot` asks for; None without one. Raises NotImplementedError for mirrors and crops."""
        if b"imir" in self._item.properties or b"clap" in self._item.properties:
            raise NotImplementedError("mirrored or cropped")
        return _TURNS.get(self._item.properties.get(b"irot", b"\0")[0] & 3)

    @property
    def frame_bytes(self) -> int:
        """Return what one tile may take in memory, as its codec's header says: frames of the codec's own kind, and their bytes."""
        setup = self._tiles[0].properties[self._setup]
        if self._setup == b"av1C":
            flags = (setup[2:3] or b"\xff")[0]
            bits, is_smaller = flags & 0x40, flags & 0x0C == 0x0C
        else:
            bits, is_smaller = (setup[17:18] or b"\7")[0] & 7, (setup[16:17] or b"\3")[0] & 3 < 2
        values = 1.5 if is_smaller else 3
        longest = max(sum(length for _, length in tile.extents) for tile in self._tiles)
        pixels = (self.tile[0] + _ALIGNMENT) * (self.tile[1] + _ALIGNMENT)
        return round(_FRAME_COPIES * pixels * values * (2 if bits else 1)) + 2 * longest

    def scaled(self, size: tuple[int, int]) -> Image.Image:
        """Return the only frame, averaged down to `size` without a copy in RGB. Raises DamagedMediaError."""
        frame = next(self._frames([self._tiles[0]]))
        with reading("picture"):
            smaller = frame.reformat(*size, format=_picture_format(frame), interpolation=Interpolation.AREA, threads=1)
            return _as_image(smaller)

    def bands(self) -> Bands:
        """Yield the rows of tiles, cut where the picture ends. Raises DamagedMediaError."""
        for row in range(self.rows):
            height = min(self.tile[1], self.size[1] - row * self.tile[1])
            band: Image.Image | None = None
            tiles = self._tiles[row * self.columns : (row + 1) * self.columns]
            for column, frame in enumerate(self._frames(tiles)):
                with reading("picture"):
                    tile = _as_image(frame.reformat(format=_picture_format(frame), threads=1))
                band = band or Image.new(tile.mode, (self.size[0], height))
                band.paste(tile, (column * self.tile[0], 0))
            if band is None or height < 1:
                return
            yield band

    def whole(self) -> Image.Image:
        """Return all of it, at its own size. Raises DamagedMediaError."""
        canvas = Image.new("RGB", self.size)
        for row, band in enumerate(self.bands()):
            canvas.paste(band, (0, row * self.tile[1]))
        return canvas

    def _frames(self, tiles: list[IsoItem]) -> Iterator[VideoFrame]:
        """Yield one frame of each tile, in their order, as large as the tiles claim to be."""
        context, setup = None, b""
        for tile in tiles:
            if context is None or tile.properties.get(self._setup, b"") != setup:
                setup = tile.properties.get(self._setup, b"")
                context = self._opened(setup)
            try:
                with reading("picture"):
                    packet = av.Packet(self._items.content(tile))
                    frames = context.decode(packet) + context.decode(None)
                    context.flush_buffers()
            except FFmpegError as exc:
                raise DamagedMediaError("A tile of the picture is damaged.") from exc
            if len(frames) != 1 or (frames[0].width, frames[0].height) != self.tile or frames[0].is_corrupt:
                raise DamagedMediaError("A tile of the picture is damaged.")
            frame = frames[0]
            self._mark(frame)
            yield frame

    def _opened(self, setup: bytes) -> VideoCodecContext:
        context = cast(VideoCodecContext, VideoCodecContext.create(self._codec, "r"))
        context.thread_count = 1  # threads would not be caged
        most = (self.tile[0] + _ALIGNMENT) * (self.tile[1] + _ALIGNMENT)
        context.options = {"max_pixels": str(most), "err_detect": "explode"}  # it would fill in what it cannot decode
        context.extradata = setup
        return context

    def _mark(self, frame: VideoFrame) -> None:
        """Say what the numbers mean, as the file says, else the codec; unmarked ones are BT.601, as libavif takes them."""
        colours = self._item.properties.get(b"colr") or self._tiles[0].properties.get(b"colr") or b""
        if len(colours) >= 11:
            frame.color_range = _FULL_RANGE if colours[10] & 0x80 else _LIMITED_RANGE
            frame.colorspace = int.from_bytes(colours[8:10])
        if int(frame.colorspace) not in _MATRICES and not frame.format.is_rgb:
            frame.colorspace = _BT601


def decode_by_items(content: bytes, spec: ThumbnailSpec) -> DecodedFrame | None:
    """Return an AVIF that libavif takes for none: one that uses a tile twice, in two of its pictures.

    None where it is no AVIF of tiles, or one of more pixels than are held at a time. Raises PermanentError media.corrupt or
    media.too_many_pixels.
    """
    try:
        items = IsoItems(SourceFile(BytesInMemory(content)))
        shown = items.by_number.get(items.primary, IsoItem())
        picture, alpha = IsoPicture(items, shown), items.alpha()
        mask = None if alpha is None else IsoPicture(items, alpha)
        turn = picture.turn
    except NotImplementedError:
        return None
    if shown.kind != b"grid" or not picture.is_avif or (mask is not None and mask.size != picture.size):
        return None
    if is_large(picture.size, spec):
        return None
    check_held(
        picture.size, _WHOLE_BYTES * picture.size[0] * picture.size[1] + picture.frame_bytes, spec, "an AVIF of tiles"
    )
    image = picture.whole()
    if mask is not None:
        image.putalpha(mask.whole().convert("L"))
    return finish(StoredPicture(image, "avif", turn=turn), spec)


def _picture_format(frame: VideoFrame) -> str:
    return "gray" if frame.format.name.startswith("gray") else "rgb24"


def _as_image(frame: VideoFrame) -> Image.Image:
    return Image.fromarray(frame.to_ndarray())
