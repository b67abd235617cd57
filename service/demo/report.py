"""The demo's end: a table, a contact sheet with the pictures inside, and the dead letter of what failed."""

import base64
import html
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from schemas import headers as h
from schemas.events import RenditionInfo
from service.demo.watch import Journey, journey_code
from storage.tenants import Tenants, TenantStorage

SHEET_NAME: Final = "contact-sheet.html"
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8883;--soft:#777}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0}p.lead{color:var(--soft);margin:.2rem 0 1.5rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1rem}
article{border:1px solid var(--line);border-radius:.6rem;padding:1rem}
.picture{height:15rem;display:grid;place-items:center;border-radius:.4rem;
 background:repeating-conic-gradient(#8882 0 25%,#8881 0 50%) 0/24px 24px}
.picture img{max-width:100%;max-height:100%;width:auto;height:auto}
.failed .picture{background:#c0392b1a;color:#c0392b;font-weight:600}
h2{font-size:1rem;margin:.8rem 0 .3rem}dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem .8rem;margin:0;font-size:.85rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}.others{display:flex;gap:.5rem;align-items:end;margin-top:.6rem}
.others img{max-width:9.5rem;max-height:9.5rem;width:auto;height:auto}
"""


def print_table(console: Console, journeys: list[Journey]) -> None:
    """Print one line a file: time, frame, sizes, storage, row."""
    table = Table("file", "time", "frame", "sizes", "stored", "row")
    for journey in journeys:
        row, ready = journey.row or {}, journey.ready
        frame = ready.frame if ready else None
        moment = "-" if frame is None or frame.time_s is None else f"{frame.time_s:.2f} s"
        sizes = " ".join(f"{item.width}x{item.height}" for item in ready.renditions) if ready else journey_code(journey)
        stored = f"{journey.company}: {ready.storage.provider}" if ready else "-"
        table.add_row(
            journey.file.path.name,
            f"{journey.took_s:.1f} s",
            moment,
            sizes,
            stored,
            f"{journey.upload.media.record_key} {row.get('thumbnail_status')}",
        )
    console.print(table)


def print_dead_letters(console: Console, journeys: list[Journey]) -> None:
    """What the dead letter topic says of each file that failed."""
    names = (h.ERROR_CODE, h.ERROR_MESSAGE, h.ERROR_STAGE, h.ATTEMPTS, h.ORIGINAL_TOPIC, h.NEXT_ACTION)
    for journey in journeys:
        if journey.dead_letter is not None:
            console.print(f"Dead letter of {journey.file.path.name}, key {journey.upload.media.record_key}:")
            for name in names:
                value = h.get_header(journey.dead_letter, name)
                console.print(f"  {name}: {value}", highlight=False, markup=False, soft_wrap=True)


def write_contact_sheet(journeys: list[Journey], tenants: Tenants, folder: Path) -> Path:
    """Return an HTML page with every picture inside it; needs nothing but a browser."""
    cards = "".join(_card(journey, tenants) for journey in journeys)
    ready = sum(journey.ready is not None for journey in journeys)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Thumbnails</title><style>{_STYLE}</style><h1>Thumbnails</h1>"
        f'<p class="lead">{ready} of {len(journeys)} files came out ready.</p><main>{cards}</main></html>'
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SHEET_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _card(journey: Journey, tenants: Tenants) -> str:
    facts = {"company": journey.company, "row": journey.upload.media.record_key}
    ready = journey.ready
    if ready is None:
        code = journey_code(journey)
        error = journey.failed.error if journey.failed else None
        facts |= {"error": code, "message": error.message if error else "", "next": error.next_action if error else ""}
        return _article("failed", journey.file.title, journey.file.path.name, html.escape(code), facts)
    medium, others = ready.renditions[1], (ready.renditions[0], ready.renditions[2])
    if ready.frame.time_s is not None:
        facts["frame"] = f"{ready.frame.time_s:.2f} s, {ready.frame.method}, {ready.frame.candidates} looked at"
    facts["source"] = (
        f"{ready.source.width}x{ready.source.height} {ready.source.codec}, {ready.source.bytes_read:,} bytes read"
    )
    took = ready.timings_ms
    facts["time"] = f"{journey.took_s:.2f} s to the row, of it {took.total:.0f} ms work"
    facts["work"] = (
        f"read {took.read:.0f}, decode {took.decode:.0f}, render {took.render:.0f}, upload {took.upload:.0f} ms"
    )
    facts["stored"] = f"{ready.storage.provider}: {medium.key}"
    facts["address"] = medium.url
    with tenants.open(journey.upload.company_id) as tenant:
        strip = "".join(_image(item, tenant) for item in others)
        picture = _image(medium, tenant)
    return _article("ready", journey.file.title, journey.file.path.name, picture, facts, strip)


def _article(state: str, title: str, name: str, picture: str, facts: dict[str, str], strip: str = "") -> str:
    rows = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items())
    return (
        f'<article class="{state}"><div class="picture">{picture}</div><h2>{html.escape(title)}</h2>'
        f'<dl><dt>file</dt><dd>{html.escape(name)}</dd>{rows}</dl><div class="others">{strip}</div></article>'
    )


def _image(rendition: RenditionInfo, tenant: TenantStorage) -> str:
    """Return the stored bytes themselves, read from the company's own storage."""
    with tenant.open_source(rendition.key) as source:
        data = base64.b64encode(source.read_at(0, source.size)).decode()
    label = f"{rendition.name}, {rendition.width} by {rendition.height} pixels"
    return f'<img alt="{label}" width="{rendition.width}" height="{rendition.height}" src="data:image/{rendition.format};base64,{data}">'
