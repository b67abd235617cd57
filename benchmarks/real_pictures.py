"""Pictures that others made, by this program and by its peers: who reads what, and whose pixels differ.

Run by hand: python -m benchmarks.real_pictures FOLDER --out OUT [--most 200] [--files 1000] [--again] [--declared]. Fetches nothing:
FOLDER holds one folder a collection. Ours are made in the cage. The peers (Chromium, libvips, FFmpeg, Pillow, those that are
installed) are asked one after the other, until one shows what we show; their pictures are kept in OUT/peers. The first that reads a
file is the one we are held to. A run that was stopped goes on where it ended; `--again` makes again what was suspicious, as after a
change. Writes OUT/results.json and OUT/sheet-N.png: peer and ours, beside each other, of everything suspicious, to be looked at by eye.
"""

import argparse
import asyncio
import hashlib
import io
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from benchmarks.picture_comparison import compare
from benchmarks.picture_peers import PEERS, SIDE, ask
from processors.sandbox.pool import DecodeSlots
from processors.source_file import BytesInMemory
from processors.still.heic import is_heic_installed
from processors.types import Kind, PictureFormat, RenditionSpec, ThumbnailSpec
from schemas.errors import ThumbnailError

ALIKE: Final = "both read, alike"
UNDECIDED: Final = "both read, unlike the first peer, like another"
UNLIKE: Final = "both read, unlike every peer"
REFUSED: Final = "we refuse, a peer reads"
NOT_SUSPICIOUS: Final = (ALIKE, "both refuse")
MEANT_BROKEN: Final = re.compile(
    r"fuzz|crash|poc|oss-|timeout|exception|imagetestsuite|regression|(^|[/_.-])(b|bad|broken|invalid|corrupt\w*|truncated|oob)([/_.-]|$)"
    r"|pixel-data-no|randomly-modified|(^|/)(fail|errors)/|byteCorruption|CVE-",
    re.IGNORECASE,
)
"""Of a file's path in its collection: its makers say that it is broken, so that a reader must not crash. Counted apart."""
_SAVED_EVERY: Final = 50
SPEC: Final = ThumbnailSpec(renditions=(RenditionSpec("medium", SIDE, SIDE),), format=PictureFormat.WEBP, quality=95)
Row = dict[str, str | float | bool | None]


def files_of(folder: Path, most: int, seed: int) -> list[Path]:
    """At most `most` files of each collection, drawn at random, and in random order; each content once."""
    chosen: dict[str, Path] = {}
    rng = random.Random(seed)  # noqa: S311 - a sample
    for collection in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = sorted(path for path in collection.rglob("*") if path.is_file())
        for path in rng.sample(paths, min(most, len(paths))):
            chosen.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    found = list(chosen.values())
    rng.shuffle(found)
    return found


def read_bytes(path: Path) -> bytes:
    return path.read_bytes()


async def make_ours(paths: list[Path], out: Path, known: dict[Path, Row], *, is_declared: bool) -> dict[Path, Row]:
    """Every file that is not `known` through the cage, into a picture in `out` or an error; OUT/ours.json is written as it goes."""
    rows = {path: known[path] for path in paths if path in known}
    declared: Kind | None = "image" if is_declared else None
    (out / "ours").mkdir(exist_ok=True)
    async with DecodeSlots(1, timeout_s=120, memory_mb=1024, heic=is_heic_installed()) as slots:
        for number, path in enumerate([path for path in paths if path not in known]):
            rows[path] = await _make(slots, read_bytes(path), declared, out / "ours")
            if number % _SAVED_EVERY == 0:
                _save(rows, out / "ours.json")
                print(f"{len(rows)} of {len(paths)} made", flush=True)
    _save(rows, out / "ours.json")
    return rows


async def _make(slots: DecodeSlots, content: bytes, declared: Kind | None, folder: Path) -> Row:
    try:
        made = await slots.create_thumbnails(BytesInMemory(content), SPEC, kind=declared)
    except ThumbnailError as error:
        return {"ours": str(error.code), "message": error.message}
    picture = folder / f"{hashlib.sha256(content).hexdigest()[:32]}.webp"
    picture.write_bytes(made.renditions[0].content)
    return {
        "ours": "ready",
        "picture": str(picture),
        "kind": made.source.kind,
        "codec": made.source.codec,
        "method": made.frame.method,
        "degraded": made.degraded,
        "width": made.source.width,
        "height": made.source.height,
    }


def _save(rows: dict[Path, Row], path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({str(path): row for path, row in rows.items()}, indent=1))
    unfinished.replace(path)


def known_rows(out: Path, *, is_again: bool) -> dict[Path, Row]:
    """Return what runs into this folder have made so far; `is_again`: without what was suspicious."""
    rows: dict[str, Row] = json.loads((out / "ours.json").read_text()) if (out / "ours.json").exists() else {}
    if is_again:
        results: dict[str, Row] = json.loads((out / "results.json").read_text())
        rows = {path: row for path, row in rows.items() if results.get(path, {}).get("class") in NOT_SUSPICIOUS}
    return {Path(path): row for path, row in rows.items()}


def premultiplied(content: bytes) -> Image.Image:
    """On mid grey, so that what is transparent looks alike."""
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture).convert("RGB")


def shows_something(picture: Path) -> bool:
    """Return whether the picture is of more than one colour: decoders fill with grey or black what they cannot decode."""
    return any(most - least > 2 for least, most in premultiplied(picture.read_bytes()).getextrema())  # type: ignore[misc]


def classify(row: Row, peers: dict[str, str]) -> tuple[str, str]:
    """Which line of the table the file belongs to, and how unlike each peer it is."""
    if row["ours"] != "ready":
        return (REFUSED if any(shows_something(Path(peer)) for peer in peers.values()) else "both refuse"), ""
    if not peers:
        return "we read, no peer does", ""
    ours = Path(str(row["picture"]))
    found = {name: compare(ours, Path(peer)) for name, peer in peers.items()}
    seen = " ".join(
        f"{name[:2]} {difference.mean:.0f} {difference.structure:.2f}" for name, difference in found.items()
    )
    alike = [name for name, difference in found.items() if difference.is_alike]
    if not alike:
        return UNLIKE, seen
    return (ALIKE if alike[0] == next(iter(found)) else UNDECIDED), seen


def ask_peers(rows: dict[Path, Row], kept: Path) -> dict[Path, dict[str, str]]:
    """Return, by file, the peers that read it with their pictures; of those that were asked before one showed what we show."""
    found: dict[Path, dict[str, str]] = {path: {} for path in rows}
    for name in PEERS:
        open_questions = [path for path, row in rows.items() if classify(row, found[path])[0] != ALIKE]
        for path, picture in ask(name, open_questions, kept).items():
            found[path][name] = str(picture)
    return found


def sheets(rows: dict[Path, Row], out: Path) -> Iterator[Path]:
    """Pages of everything suspicious: a peer's picture left, ours right."""
    shown = [(path, row) for path, row in rows.items() if row["class"] not in NOT_SUSPICIOUS]
    shown.sort(key=lambda found: (str(found[1]["class"]), str(found[0])))
    cell, across, down = 150, 6, 9
    for page in range(0, len(shown), across * down):
        sheet = Image.new("RGB", (across * (2 * cell + 8), down * (cell + 30)), "white")
        draw = ImageDraw.Draw(sheet)
        for number, (path, row) in enumerate(shown[page : page + across * down]):
            left, top = number % across * (2 * cell + 8), number // across * (cell + 30)
            peers = cast(dict[str, str], row["peers"])
            for at, picture in enumerate((next(iter(peers.values()), None), row.get("picture"))):
                if picture is not None:
                    small = premultiplied(Path(str(picture)).read_bytes())
                    small.thumbnail((cell, cell))
                    sheet.paste(small, (left + at * cell, top))
            label = f"{path.parent.name[:12]}/{path.name[-40:]}"
            draw.text((left, top + cell), label, fill="black")
            draw.text(
                (left, top + cell + 12), f"{'/'.join(peers)} {row.get('message') or row['unlike']}"[:50], fill="red"
            )
        name = out / f"sheet-{page // (across * down)}.png"
        sheet.save(name)
        yield name


def judged(rows: Iterable[Row]) -> Table:
    """Of what is ready and somebody else reads: how much is unlike, by the peer that it is held to."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        if row["ours"] == "ready" and row["peers"]:
            counts.setdefault(next(iter(cast(dict[str, str], row["peers"]))), Counter())[str(row["class"])] += 1
    table = Table("held to", "compared", *(ALIKE, UNDECIDED, UNLIKE), "share unlike every peer", title="Ready pictures")
    for name, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        share = f"{found[UNLIKE] / max(1, found.total()):.2%}"
        table.add_row(name, str(found.total()), *(str(found[each]) for each in (ALIKE, UNDECIDED, UNLIKE)), share)
    return table


def main() -> None:
    """Ask everyone, print the table, draw the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=200, help="Files of each collection.")
    parser.add_argument("--files", type=int, help="No more than these in all.")
    parser.add_argument("--again", action="store_true", help="Make again what was suspicious.")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--declared", action="store_true", help="Upload everything as an image.")
    parser.add_argument("--peers", type=Path, help="Where the peers' pictures are kept; OUT/peers without it.")
    options = parser.parse_args()
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    paths = files_of(options.folder, options.most, options.seed)[: options.files]
    known = known_rows(options.out, is_again=options.again)
    rows = asyncio.run(make_ours(paths, options.out, known, is_declared=options.declared))
    peers = ask_peers(rows, options.peers or options.out / "peers")
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for path, row in rows.items():
        read_by = peers[path]
        row["class"], row["unlike"] = classify(row, read_by)
        row["peers"] = read_by  # type: ignore[assignment]
        is_meant = MEANT_BROKEN.search(str(path.relative_to(options.folder).as_posix()).partition("/")[2]) is not None
        row["meant broken"] = is_meant
        counts[f"{row['class']}{', and meant to be broken' if is_meant else ''}"] += 1
        codes[str(row["ours"])] += 1
        if row["class"] == REFUSED and not is_meant:
            kinds[f"{path.suffix.lower()} {row['ours']}"] += 1
        if row["ours"] == "ready" and row["kind"] == "video":
            counts["of which ready, as a video"] += 1
        if row.get("degraded"):
            counts["of which ready, degraded"] += 1
    table = Table("", "files", "share", title=f"{len(rows)} files")
    for name, count in sorted(counts.items()):
        table.add_row(name, str(count), f"{count / len(rows):.2%}")
    console.print(table)
    console.print(judged(rows.values()))
    console.print("Outcomes:", dict(codes))
    console.print("We refuse, a peer reads:", dict(kinds.most_common()))
    _save(rows, options.out / "results.json")
    console.print("To be looked at:", *map(str, sheets(rows, options.out)))


if __name__ == "__main__":
    main()
