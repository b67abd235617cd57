"""The peers of benchmarks.real_pictures: what Chromium, libvips, Pillow and FFmpeg show of a file, as PNGs of at most SIDE pixels."""

import base64
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from PIL import Image, ImageOps

SIDE: Final = 256
PEERS: Final = ("chromium", "libvips", "ffmpeg", "pillow")
"""Who is believed most first; we read by Pillow ourselves, so that it comes last."""
_LIMIT_S: Final = 20
_SAVED_EVERY: Final = 400
_CHROMIUM: Final = "/usr/bin/chromium"
_STUCK_S: Final = 60
_AT_ONCE: Final = 8
"""Pictures that Chromium is given together."""
_DRAW: Final = """
async ([urls, side]) => Promise.all(urls.map(async (url) => {
  const picture = new Image();
  picture.src = url;
  const late = new Promise((_, fail) => setTimeout(() => fail("late"), 15000));
  try { await Promise.race([picture.decode(), late]); } catch (_) {
    if (!picture.complete) return null;
  }
  const width = picture.naturalWidth, height = picture.naturalHeight;
  if (!width || !height) return null;
  const scale = Math.min(1, side / width, side / height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value) => value > 0) ? canvas.toDataURL("image/png") : null;  // empty: it has failed after all
}))
"""


def ask(name: str, paths: list[Path], kept: Path) -> dict[Path, Path]:
    """Return, by file, the picture of the peer `name`, for those that it reads. Answers are kept in the folder `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    asked = kept / f"{name}.json"
    known: dict[str, str | None] = json.loads(asked.read_text()) if asked.exists() else {}
    missing = {_digest(path): path for path in paths if _digest(path) not in known}
    if missing:
        one = {"pillow": _pillow, "libvips": _libvips, "ffmpeg": _ffmpeg}.get(name)
        names = list(missing)
        for start in range(0, len(names), _SAVED_EVERY):
            part = {digest: missing[digest] for digest in names[start : start + _SAVED_EVERY]}
            known |= (_ask_chromium if one is None else _ask_each(one))(part, kept / name)
            asked.write_text(json.dumps(known))
            print(f"{name}: {start + len(part)} of {len(names)} asked", flush=True)
    pictures = {path: known.get(_digest(path)) for path in paths}
    return {path: Path(picture) for path, picture in pictures.items() if picture is not None}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32] + path.suffix.lower()


Answers = dict[str, str | None]


def _ask_each(ask: Callable[[Path, Path], None]) -> Callable[[dict[str, Path], Path], Answers]:
    def all_of_them(missing: dict[str, Path], folder: Path) -> Answers:
        folder.mkdir(exist_ok=True)
        found: Answers = {}
        for digest, path in missing.items():
            out = folder / f"{digest}.png"
            with suppress(OSError, subprocess.SubprocessError):
                if not out.exists():
                    ask(path, out)
            found[digest] = str(out) if out.exists() and _is_picture(out) else None
        return found

    return all_of_them


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path) as opened:
            opened.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _run(command: list[str]) -> None:
    if shutil.which(command[0]):
        subprocess.run(command, capture_output=True, check=False, timeout=_LIMIT_S)


def _libvips(path: Path, out: Path) -> None:
    _run(["vips", "thumbnail", str(path), str(out), str(SIDE), "--size", "down", "--export-profile", "srgb"])


def _ffmpeg(path: Path, out: Path) -> None:
    """By its picture demuxers, as the name says: of films it is no peer here."""
    scale = f"scale='min({SIDE},iw)':'min({SIDE},ih)':force_original_aspect_ratio=decrease"
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"picture{path.suffix.lower()}"
        named.symlink_to(path.resolve())
        _run(["ffmpeg", "-v", "quiet", "-f", "image2", "-pattern_type", "none", "-i", str(named), "-frames:v", "1",
              "-vf", scale, "-pix_fmt", "rgba", "-y", str(out)])  # fmt: skip


def _pillow(path: Path, out: Path) -> None:
    """In a process of its own, which a damaged file may crash."""
    Image.init()  # once, for all the processes
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT_S, _LIMIT_S))
        with suppress(BaseException):
            warnings.simplefilter("ignore")
            picture = Image.open(path)
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            upright: Any = ImageOps.exif_transpose(picture)
            upright.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.BOX)
            shown = upright.convert("RGBA")
            shown.thumbnail((SIDE, SIDE))
            shown.save(out)
        os._exit(0)
    os.waitpid(pid, 0)


def _end_pages(info: dict[str, Any]) -> None:
    """End the processes of Chromium's pages: one that draws something endless answers to nothing else."""
    for process in info["processInfo"]:
        if process["type"] == "renderer":
            with suppress(ProcessLookupError):
                os.kill(process["id"], signal.SIGKILL)


def _ask_chromium(missing: dict[str, Path], folder: Path) -> Answers:
    """By the files' addresses: to send each through the browser's socket takes ten times as long."""
    if not Path(_CHROMIUM).exists():
        return {}
    from playwright.sync_api import Error, sync_playwright

    folder.mkdir(exist_ok=True)
    found: Answers = dict.fromkeys(missing)
    names = list(missing)
    with sync_playwright() as play, tempfile.NamedTemporaryFile("w", suffix=".html") as empty:
        # A page that is a file itself may read the pixels of what it has drawn.
        browser = play.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--allow-file-access-from-files"]
        )

        cdp = browser.new_browser_cdp_session()

        def draw(some: list[str]) -> list[str | None]:
            page = browser.new_page()
            page.goto(Path(empty.name).as_uri())
            late = threading.Timer(_STUCK_S, _end_pages, [cdp.send("SystemInfo.getProcessInfo")])
            late.start()
            try:
                return cast(list[str | None], page.evaluate(_DRAW, [[missing[name].as_uri() for name in some], SIDE]))
            except Error:  # one of them is too much for it
                return [answer for name in some for answer in draw([name])] if len(some) > 1 else [None]
            finally:
                late.cancel()
                page.close()

        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for name, answer in zip(some, draw(some), strict=True):
                if answer is not None:
                    found[name] = str(folder / f"{name}.png")
                    Path(str(found[name])).write_bytes(base64.b64decode(answer.partition(",")[2]))
        browser.close()
    return found
