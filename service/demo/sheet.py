"""The demo's contact sheet: one page about the pictures, with the pictures inside; the rest is folded away."""

import base64
import html
from pathlib import Path
from typing import Final

from schemas.events import RenditionInfo, ThumbnailReady
from service.demo.watch import Journey, journey_code
from storage.tenants import Tenants, TenantStorage

SHEET_NAME: Final = "contact-sheet.html"
_STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--mat:#ebebe7;--text:#1d1d1b;--soft:#63635e;--line:#1d1d1b1f;
 --bad:#a92f24;--bad-mat:#fbeae7;--warn:#8a5300}
@media(prefers-color-scheme:dark){:root{--page:#151516;--card:#202022;--mat:#2b2b2e;--text:#ececea;--soft:#a3a39d;--line:#fff2;
 --bad:#ff9a8d;--bad-mat:#3a2220;--warn:#f0b35a}}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:84rem;padding:2.5rem 1.25rem 4rem;background:var(--page);color:var(--text)}
h1{font-size:1.6rem;line-height:1.2;margin:0}
.lead{color:var(--soft);margin:.4rem 0 2rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(14rem,100%),1fr));gap:1.25rem}
article{background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow:hidden}
.picture{aspect-ratio:4/3;display:grid;grid-template:minmax(0,1fr)/minmax(0,1fr);place-items:center;padding:.75rem;background:var(--mat)}
.picture img{max-width:100%;max-height:100%;width:auto;height:auto;border-radius:.3rem}
.clear img{background:repeating-conic-gradient(#8884 0 25%,#8881 0 50%) 0/20px 20px}
.failed .picture{display:block;justify-items:start;padding:1.25rem;background:var(--bad-mat);color:var(--bad)}
.failed .picture strong{display:block;margin-bottom:.4rem}
.words{padding:.8rem 1rem .9rem}
h2{font-size:1rem;line-height:1.3;margin:0}
.words p{margin:.15rem 0 0;color:var(--soft);font-size:.875rem}
.words p.degraded{color:var(--warn)}
details{margin-top:.6rem;font-size:.8125rem}
summary{color:var(--soft);cursor:pointer;width:fit-content}
summary:focus-visible{outline:2px solid;outline-offset:2px}
.others{display:flex;gap:.5rem;align-items:end;margin:.6rem 0}
.others img{min-width:0;max-width:60%;height:auto}
dl{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.15rem .75rem;margin:.6rem 0 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
"""


def write_contact_sheet(journeys: list[Journey], tenants: Tenants, folder: Path) -> Path:
    """Return an HTML page with every picture inside it; needs nothing but a browser."""
    ready = sum(journey.ready is not None for journey in journeys)
    cards = "".join(_card(journey, tenants) for journey in journeys)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Thumbnails of the demo</title><style>{_STYLE}</style><h1>{ready} of {len(journeys)} uploads have a thumbnail</h1>"
        f'<p class="lead">{_lead(journeys)}</p><main>{cards}</main></html>'
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SHEET_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _lead(journeys: list[Journey]) -> str:
    failed = len(journeys) - sum(journey.ready is not None for journey in journeys)
    said = "Each picture was read from the storage of the company that uploaded the file."
    if failed:
        said += f" {failed} failed, with the reason and what to do."
    return said


def _card(journey: Journey, tenants: Tenants) -> str:
    ready = journey.ready
    if ready is None:
        return _failed_card(journey)
    by_size = sorted(ready.renditions, key=lambda item: item.width * item.height)
    with tenants.open(journey.upload.company_id) as tenant:
        picture = _image(by_size[-1], tenant)
        others = "".join(_image(item, tenant) for item in by_size[:-1])
    # Only what can be transparent is laid on a checkered ground: a line of it would shine through at a photograph's edges.
    ground = "ready clear" if journey.file.path.suffix.lower() in (".png", ".ico", ".gif", ".webp", ".svg") else "ready"
    degraded = f'<p class="degraded">Degraded: {html.escape(ready.degraded_reason or "")}</p>' if ready.degraded else ""
    words = f"<h2>{html.escape(journey.file.title)}</h2><p>{html.escape(_facts(ready))}</p>{degraded}"
    folded = f'<div class="others">{others}</div>{_list(_details(journey, ready))}'
    return _article(ground, picture, words, folded)


def _failed_card(journey: Journey) -> str:
    error = journey.failed.error if journey.failed else None
    code, message, action = (error.code, error.message, error.next_action) if error else (journey_code(journey), "", "")
    picture = f"<strong>{html.escape(code)}</strong><span>{html.escape(message)}</span>"
    words = f"<h2>{html.escape(journey.file.title)}</h2><p>{html.escape(action)}</p>"
    return _article("failed", picture, words, _list(_ids(journey)))


def _article(state: str, picture: str, words: str, folded: str) -> str:
    return (
        f'<article class="{state}"><div class="picture">{picture}</div><div class="words">{words}'
        f"<details><summary>Details</summary>{folded}</details></div></article>"
    )


def _facts(ready: ThumbnailReady) -> str:
    source, time_s = ready.source, ready.frame.time_s
    facts = f"{source.codec}, {source.width} × {source.height}"
    if time_s is None:
        return facts
    return f"{facts}, at {time_s:.1f} s"


def _ids(journey: Journey) -> dict[str, str]:
    return {"file": journey.file.path.name, "company": journey.company, "row": journey.upload.media.record_key}


def _details(journey: Journey, ready: ThumbnailReady) -> dict[str, str]:
    took, main = ready.timings_ms, next(item for item in ready.renditions if item.url == ready.thumbnail_url)
    facts = _ids(journey)
    facts["sizes"] = ", ".join(f"{item.width} × {item.height}" for item in ready.renditions)
    length = "" if ready.source.duration_s is None else f"of {ready.source.duration_s:.1f} s, "
    facts["frame"] = f"{length}{ready.frame.method}, {ready.frame.candidates} compared"
    facts["read"] = f"{ready.source.bytes_read:,} bytes"
    facts["work"] = (
        f"{took.total:.0f} ms: read {took.read:.0f}, decode {took.decode:.0f}, render {took.render:.0f}, upload {took.upload:.0f}"
    )
    facts["row after"] = f"{journey.took_s:.1f} s"
    facts["stored"] = f"{ready.storage.provider}: {main.key}"
    return facts


def _list(facts: dict[str, str]) -> str:
    rows = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items())
    return f"<dl>{rows}</dl>"


def _image(rendition: RenditionInfo, tenant: TenantStorage) -> str:
    """Return the stored bytes themselves, read from the company's own storage."""
    with tenant.open_source(rendition.key) as source:
        data = base64.b64encode(source.read_at(0, source.size)).decode()
    label = f"{rendition.name}, {rendition.width} by {rendition.height} pixels"
    return f'<img alt="{label}" width="{rendition.width}" height="{rendition.height}" src="data:image/{rendition.format};base64,{data}">'
