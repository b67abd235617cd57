"""The outcome of each file as a line or a JSON object, and the sentence at the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processors.types import ThumbnailSet
from schemas.errors import ThumbnailError
from service.cli.text_table import printable


def ready(source: str, made: ThumbnailSet, written: Sequence[Path]) -> dict[str, Any]:
    """Return the report of a file with thumbnails, which are at `written`."""
    return {
        "source": source,
        "status": "ready",
        "kind": made.source.kind,
        "error": None,
        "frame": asdict(made.frame),
        "media": {
            "codec": made.source.codec,
            "format": made.source.format,
            "width": made.source.width,
            "height": made.source.height,
            "duration_s": made.source.duration_s,
            "rotation": made.source.rotation,
        },
        "degraded": made.degraded,
        "degraded_reason": made.degraded_reason,
        "renditions": [
            {
                "name": rendition.name,
                "path": str(where),
                "width": rendition.width,
                "height": rendition.height,
                "format": rendition.format,
                "bytes": len(rendition.content),
            }
            for rendition, where in zip(made.renditions, written, strict=True)
        ],
    }


def failed(source: str, error: ThumbnailError) -> dict[str, Any]:
    """Return the report of a file without."""
    found = {"code": error.code, "retryable": error.retryable, "message": error.message}
    return _without(source, "failed") | {"error": found}


def there_already(source: str) -> dict[str, Any]:
    """Return the report of a file that --resume passes over."""
    return _without(source, "skipped")


def _without(source: str, status: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("kind", "error", "frame", "media"))
    return {"source": source, "status": status, **nothing, "degraded": False, "degraded_reason": None, "renditions": []}


def line(report: dict[str, Any]) -> str:
    """Return the report as one line."""
    source = printable(report["source"])
    if report["status"] == "failed":
        return f"failed  {source}: {report['error']['code']}: {printable(report['error']['message'])}"
    if report["status"] == "skipped":
        return f"skipped {source}: its thumbnails are there."
    sizes = ", ".join(f"{item['name']} {item['width']}x{item['height']}" for item in report["renditions"])
    time_s = report["frame"]["time_s"]
    moment = "" if time_s is None else f" at {time_s:.2f} s"
    caution = f" (degraded: {report['degraded_reason']})" if report["degraded"] else ""
    return f"ready   {source}{moment}: {sizes}{caution}"


class Summary:
    """Counts reports."""

    def __init__(self, passed_over: int) -> None:
        self._passed_over = passed_over
        self._count: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()

    def add(self, report: dict[str, Any]) -> None:
        """Count one."""
        self._count[report["status"]] += 1
        self._count["degraded"] += report["degraded"]
        if report["error"] is not None:
            self._codes[report["error"]["code"]] += 1

    @property
    def has_failures(self) -> bool:
        """Return whether any file failed."""
        return self._count["failed"] > 0

    def sentence(self, took_s: float) -> str:
        """Return what became of all, `took_s` seconds after the start."""
        count = self._count
        parts = [f"{count['ready']} made" + (f", {count['degraded']} of them degraded" if count["degraded"] else "")]
        if count["skipped"]:
            parts.append(f"{count['skipped']} there already")
        if self._passed_over:
            parts.append(f"{self._passed_over} other file{'' if self._passed_over == 1 else 's'} passed over")
        codes = ", ".join(f"{number} {code}" for code, number in self._codes.most_common())
        parts.append(f"{count['failed']} failed" + (f" ({codes})" if codes else ""))
        return f"{'; '.join(parts)}; in {took_s:.1f} s."
