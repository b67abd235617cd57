"""A page that shows every thumbnail: one file that needs nothing but a browser, written as the thumbnails come."""

import base64
import html
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from processors.types import PictureFormat
from service.cli.text_table import printable

_HEAD: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Thumbnails</title><style>
:root{color-scheme:light dark;--line:#8884;--soft:#777;--bad:#c0392b}
body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem auto;max-width:90rem;padding:0 1rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}
figure{margin:0}.picture{aspect-ratio:4/3;display:grid;place-items:center;overflow:hidden;border-radius:.4rem;
 background:repeating-conic-gradient(#8882 0 25%,#8881 0 50%) 0/20px 20px}
.picture img{max-width:100%;max-height:100%;object-fit:contain}
.failed .picture{background:#c0392b1a;color:var(--bad);padding:0 1rem;text-align:center;font-weight:600}
figcaption{margin-top:.3rem;overflow-wrap:anywhere}small{color:var(--soft);display:block}.degraded small{color:#b36b00}
footer{margin:1.5rem 0;color:var(--soft)}
</style><main>
"""


class Sheet(AbstractContextManager["Sheet"]):
    """Takes the place of `path` when it is complete; an interruption leaves what was there before."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where no file can be made."""
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory", str(path))
        self._path: Final = path
        self._unfinished: Final = path.with_name(f".{path.name}.unfinished")
        try:
            self._file: Final[BinaryIO] = self._unfinished.open("wb")
        except OSError as exc:
            raise type(exc)(exc.errno, exc.strerror, str(path)) from exc
        self._write(_HEAD)

    def add(self, report: dict[str, Any], content: bytes | None, format_: PictureFormat) -> None:
        """Show one file; `content` is its main thumbnail."""
        name = html.escape(printable(report["source"]))
        if content is None:
            error = report["error"]
            self._figure("failed", html.escape(error["code"]), name, printable(error["message"]))
            return
        source = f"data:{format_.media_type};base64,{base64.b64encode(content).decode()}"
        picture = f'<img alt="" loading="lazy" src="{source}">'
        self._figure("degraded" if report["degraded"] else report["status"], picture, name, _facts(report))

    def finish(self, sentence: str) -> None:
        """Write the end, and put the page in its place. Raises OSError."""
        self._write(f"</main><footer>{html.escape(sentence)}</footer></html>\n")
        self._file.close()
        self._unfinished.replace(self._path)

    def _figure(self, state: str, picture: str, name: str, facts: str) -> None:
        self._write(
            f'<figure class="{state}"><div class="picture">{picture}</div>'
            f"<figcaption>{name}<small>{html.escape(facts)}</small></figcaption></figure>\n"
        )

    def _write(self, text: str) -> None:
        self._file.write(text.encode(errors="replace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def _facts(report: dict[str, Any]) -> str:
    if report["media"] is None:
        return "made before"
    media, time_s = report["media"], report["frame"]["time_s"]
    facts = [f"{media['width']}x{media['height']} {media['codec']}"]
    if media["duration_s"] is not None:
        facts.append(f"{media['duration_s']:.0f} s")
    if time_s is not None:
        facts.append(f"shown at {time_s:.2f} s")
    if report["degraded"]:
        facts.append(f"degraded: {report['degraded_reason']}")
    return ", ".join(facts)
