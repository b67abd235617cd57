"""A wall of believable results with real pictures: what the screenshots show, and the accessibility check reads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image, ImageOps

from processors.output.thumbhash import thumbhash
from schemas.errors import NEXT_ACTIONS, ErrorCode, Stage
from schemas.events import (
    ErrorInfo,
    FrameInfo,
    Media,
    MediaKind,
    SourceInfo,
    StorageInfo,
    ThumbnailFailed,
    ThumbnailReady,
    TimingsMs,
)
from service.demo.media import scene
from tests.doubles.results import failed, ready

MEDIUM = (320, 240)
FAILURES = (
    (ErrorCode.MEDIA_CORRUPT, Stage.DECODE, "The video cannot be decoded: Invalid data found when processing input."),
    (ErrorCode.STORAGE_DENIED, Stage.UPLOAD, "The storage connection 7 refuses to store: Access Denied."),
    (ErrorCode.SOURCE_MISSING, Stage.READ, "No object has the key 'globex/uploads/harbour-tour-final.mov'."),
)


def picture(number: int) -> Image.Image:
    """Each one different: in shape, light and colour."""
    width, height = [(1280, 720), (720, 1280), (1200, 900), (900, 900)][number % 4]
    image = Image.fromarray(scene(width, height, number % 7 / 6))
    hue = Image.new("RGB", image.size, ["#ff7a3c", "#3c7aff", "#9a3cff", "#ffe03c", "#3cffa8"][number % 5])
    image = Image.blend(image, hue, 0.1 + number % 3 * 0.12)
    image.thumbnail(MEDIUM)
    return ImageOps.mirror(image) if number % 2 else image


def a_result(number: int, storage_url: str, folder: Path, name: str) -> ThumbnailReady:
    """Upload `number` of company 1, 2 or 3, with its picture in `folder`."""
    image = picture(number)
    image.save(folder / f"{number}.webp", quality=85)
    kind = MediaKind.IMAGE if number % 4 == 3 else MediaKind.VIDEO
    media = Media(kind=kind, id=100 + number, ar_content_id=100 + number, key=f"company/uploads/{name}")
    frame = FrameInfo(
        time_s=None if kind is MediaKind.IMAGE else 1.3 + 2.1 * number,
        method="pyav-smart",
        score=0.4 + number % 6 * 0.09,
        candidates=1 + number % 5,
    )
    if kind is MediaKind.IMAGE:
        frame = FrameInfo(method="still")
    url = f"{storage_url}/{number}.webp"
    rendition = ready().renditions[0].model_copy(update={"url": url, "width": image.width, "height": image.height})
    return ready(
        number,
        media,
        1 + number % 3,
        produced_at=datetime.now(UTC) - timedelta(seconds=40 - number),
        thumbnail_url=url,
        renditions=(rendition,),
        storage=StorageInfo(provider="local_disk"),
        source=SourceInfo(width=1920, height=1080, codec="jpeg" if kind is MediaKind.IMAGE else "h264", format="mov"),
        frame=frame,
        degraded=number == 5,
        placeholder=thumbhash(image),
        timings_ms=TimingsMs(
            read=8 + number,
            decode=25 + 9 * (number % 4),
            render=18,
            upload=20 + number % 3 * 12,
            total=90 + 10 * number,
        ),
    )


def a_failure(number: int, name: str) -> ThumbnailFailed:
    code, stage, message = FAILURES[number % len(FAILURES)]
    media = Media(kind=MediaKind.VIDEO, id=200 + number, ar_content_id=200 + number, key=f"company/uploads/{name}")
    error = ErrorInfo(code=code, message=message, stage=stage, retryable=False, next_action=NEXT_ACTIONS[code])
    changes = {
        "error": error,
        "company_id": 1 + number % 3,
        "attempts": 1 + number % 4,
        "produced_at": datetime.now(UTC),
    }
    return failed(1000 + number, media).model_copy(update=changes)
