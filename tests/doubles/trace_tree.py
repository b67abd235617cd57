"""A trace as a tree that people can read, and whether it is in one piece."""

from collections.abc import Sequence

from tests.servers.collector import CollectedSpan

SHOWN = {
    "thumbnail.attempt": "attempt",
    "thumbnail.row.outcome": "row",
    "thumbnail.decode.method": "method",
    "thumbnail.storage.provider": "provider",
    "error.type": "error",
}
"""Attributes that are the same in each run; sizes and times are not."""


def unconnected(spans: Sequence[CollectedSpan]) -> list[str]:
    """Spans that hang on nothing known: neither the only root, nor with a known parent or link."""
    known = {(span.trace_id, span.span_id) for span in spans}
    roots = [span for span in spans if not span.parent_id and not span.links]
    loose = [
        span
        for span in spans
        if span not in roots and (span.trace_id, span.parent_id) not in known and not known & set(span.links)
    ]
    return [span.name for span in roots[1:] + loose]


def tree(spans: Sequence[CollectedSpan], *, prefix: str = "", times: bool = False) -> str:
    """One line a span, under what it follows from: its parent, or, marked with ~, what it only links to.

    Topics without `prefix`; with `times`, how long each took, in milliseconds.
    """
    ordered = sorted(spans, key=lambda span: span.start_ns)
    known = {span.span_id for span in ordered}
    children: dict[str, list[CollectedSpan]] = {}
    for span in ordered:
        children.setdefault(_above(span, known), []).append(span)
    lines: list[str] = []

    def add(span: CollectedSpan, lead: str, branch: str, below: str) -> None:
        mark = "" if span.parent_id in known or not branch else "~ "
        lines.append(f"{lead}{branch}{mark}{_line(span, prefix, times=times)}")
        under = children.get(span.span_id, [])
        for number, child in enumerate(under, 1):
            is_last = number == len(under)
            add(child, lead + below, "└─ " if is_last else "├─ ", "   " if is_last else "│  ")

    for root in children.get("", []):
        add(root, "", "", "")
    return "\n".join(lines)


def _above(span: CollectedSpan, known: set[str]) -> str:
    if span.parent_id in known:
        return span.parent_id
    return next((span_id for _, span_id in span.links if span_id in known), "")


def _line(span: CollectedSpan, prefix: str, *, times: bool) -> str:
    facts = [f"{short}={span.attributes[name]}" for name, short in SHOWN.items() if name in span.attributes]
    role = [] if span.kind == "INTERNAL" else [f"[{span.service.removeprefix('thumbnails-')}]"]
    took = [f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms"] if times else []
    return "  ".join([span.name.replace(f" {prefix}", " "), *role, *facts, *took])
