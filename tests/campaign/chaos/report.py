"""A campaign's report: Markdown for people, JSON for programs, one line for the terminal."""

import collections
import math
from dataclasses import asdict
from typing import Any

from tests.campaign.chaos.campaign import Result

_MOST_FINDINGS = 200


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed, by the nearest rank; 0.0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def as_json(result: Result) -> dict[str, Any]:
    """All figures, the whole plan, and every fault as it was made."""
    oracle_report, plan = result.oracle_report, result.plan
    kinds = collections.Counter(finding.kind for finding in oracle_report.findings)
    return {
        "seed": plan.seed,
        "plan_digest": plan.digest,
        "uploads": {
            "published": result.published,
            "planned": len(plan.uploads),
            "by_case": _cases(result),
            "by_codec": _count(result, "codec"),
            "by_oddity": _count(result, "oddity"),
        },
        "faults": {"hit": _hit(result), "planned": len(plan.faults), "by_kind": _by_kind(result)},
        "seconds": {
            "faults": result.faults_s,
            "drain": result.drain_s,
            "total": result.total_s,
            "start": result.start_s,
        },
        "findings_by_kind": dict(sorted(kinds.items())),
        "duplicates": oracle_report.duplicates,
        "duplicate_bounds": oracle_report.duplicate_bounds,
        "retry_lateness_s": _lateness(result),
        "counts": oracle_report.counts,
        "starts": result.starts,
        "exits": dict(sorted(result.exits.items())),
        "reasons": result.reasons,
        "left_out": result.left_out,
        "findings": [asdict(finding) for finding in oracle_report.findings],
        "faults_made": [{**asdict(done), "fault": asdict(done.fault)} for done in result.done],
        "plan": {"faults": [asdict(fault) for fault in plan.faults]},
    }


def _cases(result: Result) -> dict[str, int]:
    return dict(collections.Counter(str(upload.case) for upload in result.plan.uploads))


def _count(result: Result, name: str) -> dict[str, int]:
    values = (getattr(upload, name) for upload in result.plan.uploads)
    return dict(sorted(collections.Counter(value for value in values if value).items()))


def _duplicates(figures: dict[str, Any]) -> str:
    rows = [
        f"| {topic} | {count} | {figures['duplicate_bounds'][topic]} |"
        for topic, count in figures["duplicates"].items()
    ]
    head = ["## Duplicates", "", "| topic | more than needed | a finding beyond |", "|---|---:|---:|"]
    return "\n".join([*head, *rows])


def _hit(result: Result) -> int:
    return sum(done.hit for done in result.done)


def _by_kind(result: Result) -> dict[str, int]:
    return dict(sorted(collections.Counter(str(done.fault.kind) for done in result.done if done.hit).items()))


def _lateness(result: Result) -> dict[str, float]:
    values = result.oracle_report.lateness_s
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {"records": len(values)} | {name: percentile(values, share) for name, share in shares.items()}


def as_line(result: Result) -> str:
    """The outcome in one paragraph."""
    oracle_report, late = result.oracle_report, _lateness(result)
    orphans = len(oracle_report.of("orphan")) + len(oracle_report.of("leftover"))
    drain = "not drained" if result.drain_s is None else f"drained {result.drain_s:.0f} s later"
    return (
        f"Seed {result.plan.seed} (plan {result.plan.digest}): {result.published} uploads,"
        f" {_hit(result)} faults of {len(_by_kind(result))} kinds in {result.faults_s:.0f} s, {drain}."
        f" {len(oracle_report.of('lost'))} lost, {len(oracle_report.of('stale row'))} stale, {orphans} orphans,"
        f" {len(oracle_report.of('wrong picture'))} wrong pictures, {len(oracle_report.findings)} findings in all."
        f" {sum(oracle_report.duplicates.values())} duplicates."
        f" {late['records']:.0f} retries, late by p50 {late['p50']:.2f} s, p99 {late['p99']:.2f} s, max {late['max']:.2f} s."
    )


def as_markdown(result: Result) -> str:
    """The report for people."""
    figures = as_json(result)
    sections = [
        f"# Fault campaign, seed {result.plan.seed}",
        as_line(result),
        f"Replay: `make chaos SEED={result.plan.seed} UPLOADS={len(result.plan.uploads)}`. The plan's digest must be the same.",
        *([f"Left out: filling the disk. {result.left_out}"] if result.left_out else []),
        "## Findings",
        _findings(result),
        _table("Uploads", ("case", "uploads"), figures["uploads"]["by_case"]),
        _table("Faults", ("kind", "hit"), figures["faults"]["by_kind"]),
        _table("Codecs", ("codec", "uploads"), figures["uploads"]["by_codec"]),
        _table("Strange records", ("headers or value", "uploads"), figures["uploads"]["by_oddity"]),
        _duplicates(figures),
        _table("Figures", ("what", "how many"), figures["counts"]),
        _table("Starts", ("role", "processes"), figures["starts"]),
        _table("Ends before the end", ("role and exit code", "processes"), figures["exits"]),
        _table("Why roles ended by themselves", ("role: what it said", "times"), figures["reasons"]),
        "## The plan, as it was made",
        _timeline(result),
    ]
    return "\n\n".join(sections) + "\n"


def _findings(result: Result) -> str:
    lines = [f"- **{finding.kind}**: {finding.what}" for finding in result.oracle_report.findings]
    more = [f"- and {len(lines) - _MOST_FINDINGS} more"] if len(lines) > _MOST_FINDINGS else []
    return "\n".join(lines[:_MOST_FINDINGS] + more) or "None."


def _table(title: str, columns: tuple[str, str], rows: dict[str, int]) -> str:
    lines = [
        f"| {columns[0]} | {columns[1]} |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return f"## {title}\n\n" + "\n".join(lines)


def _timeline(result: Result) -> str:
    lines = ["| # | planned at s | began s | ended s | fault | whom |", "|---:|---:|---:|---:|---|---|"]
    for done in sorted(result.done, key=lambda done: done.began_s):
        fault = done.fault
        note = done.note if done.hit else f"not hit: {done.note}"
        lines.append(f"| {fault.number} | {fault.at_s} | {done.began_s} | {done.ended_s} | {fault.kind} | {note} |")
    return "\n".join(lines)
