"""Show what a replay, an acknowledgement or a discard did, or would do: sentences for people, JSON for programs."""

from typing import Any, Final

from service.cli.dlq_view import say
from service.dead_letters import DlqSource
from service.status.owners import owners, owners_json
from streams.dlq.chosen import Chosen
from streams.dlq.decide import Decision, DecisionReport
from streams.dlq.ledger import MarkState
from streams.dlq.replay import ReplayReport

MAX_NAMED: Final = 20
"""Positions in one sentence."""


def show_chosen(chosen: Chosen, discard: str | None = None) -> None:
    """Print what a command would do, by code: how many, whose, and some of them.

    With `discard`, the command that gives dead letters up, also why a replay of a code fails again.
    """
    for code in chosen.codes():
        say(f"{code.code}: {code.count}, {owners(code.companies)}")
        if discard is not None and code.hopeless is not None:
            say(f"  A replay fails again: {code.hopeless} To give them up: `{discard} --code {code.code}`.")
        for reason, count in code.doomed.items():
            say(f"  {count} cannot succeed now, such as {code.doomed_examples[reason]}: {reason}")
        for sample in code.samples:
            say(f"  {sample.position}  {sample.media or '-'} of company {sample.company_id or '-'}: {sample.message}")


def chosen_json(chosen: Chosen) -> list[dict[str, Any]]:
    """Return what a command is about, by code."""
    return [
        {
            "code": code.code,
            "count": code.count,
            "companies": [
                {"company_id": one["company_id"], "count": one["waiting"]} for one in owners_json(code.companies)
            ],
            "fails_again": code.hopeless,
            "cannot_succeed": [
                {"reason": reason, "count": count, "example": code.doomed_examples[reason]}
                for reason, count in code.doomed.items()
            ],
            "samples": [
                {"position": one.position, "company_id": one.company_id, "media": one.media, "message": one.message}
                for one in code.samples
            ],
        }
        for code in chosen.codes()
    ]


def decision_json(report: DecisionReport, decision: Decision, *, dry_run: bool) -> dict[str, Any]:
    """Return what an acknowledgement or a discard did."""
    return {
        "dry_run": dry_run,
        "state": decision.state,
        "by": decision.by,
        "note": decision.note,
        "marked": report.chosen.count,
        "codes": chosen_json(report.chosen),
        "done_before": report.decided_before,
        "left_discarded": report.left_discarded,
        "replayed_before": report.replayed_before,
        "half_sent": report.half_sent,
        "not_found": report.not_found,
        "interrupted": report.is_interrupted,
    }


def show_decision(report: DecisionReport, decision: Decision, *, dry_run: bool) -> None:
    """Print what an acknowledgement or a discard did, or would do."""
    state, count = decision.state, report.chosen.count
    if dry_run:
        show_chosen(report.chosen)
    say(f"{count} dead letters {'would be' if dry_run else 'are'} {state}.")
    if report.decided_before:
        say(f"{report.decided_before} were {state} before, and stay as they are.")
    if report.left_discarded:
        say(f"{report.left_discarded} stay discarded: name a dead letter to make it replayable again.")
    if report.replayed_before:
        say(f"{report.replayed_before} were replayed or parked before, and are left out.")
    if report.half_sent:
        say(
            f"{len(report.half_sent)} were perhaps sent by a replay that was killed: {', '.join(report.half_sent[:MAX_NAMED])}."
            " `thumbnails dlq replay` ends it; they are left out."
        )
    if report.not_found:
        say(f"Not found: {', '.join(report.not_found[:MAX_NAMED])}. `thumbnails dlq list` shows what is there.")
    if dry_run and count:
        verb, note = ("discard", ' --note "…"') if state is MarkState.DISCARDED else ("acknowledge", "")
        say(f"This was a dry run: add --yes{note if not decision.note else ''} to {verb} them.")
    if report.is_interrupted:
        say("Interrupted: run it again to go on.")


def report_json(report: ReplayReport, *, dry_run: bool) -> dict[str, Any]:
    """Return what a replay did."""
    return {
        "dry_run": dry_run,
        "replayed": dict(report.sent),
        "parked": report.parked,
        "done_before": report.done_before,
        "discarded": report.discarded,
        "codes": chosen_json(report.chosen),
        "refused": [
            {"reason": reason, "count": count, "example": report.refused_examples[reason]}
            for reason, count in report.refused.items()
        ],
        "maybe_twice": report.maybe_twice,
        "interrupted": report.is_interrupted,
        "transactional": report.is_transactional,
    }


def show_report(report: ReplayReport, source: DlqSource, *, dry_run: bool) -> None:
    """Print what a replay of one of the dead letter topics did, or would do."""
    would = "would be " if dry_run else ""
    if dry_run:
        show_chosen(
            report.chosen, f"thumbnails dlq discard{'' if source is DlqSource.UPLOADS else f' --topic {source}'}"
        )
    for topic, count in report.sent.items():
        say(f"{count} dead letters {would}replayed to {topic}.")
    if report.parked:
        say(f"{report.parked} dead letters {would}parked: they failed again after DLQ_MAX_REPLAYS replays.")
    _show_left_out(report)
    if report.maybe_twice:
        say(
            f"{len(report.maybe_twice)} dead letters may come twice, for an earlier replay was killed while it sent them:"
            f" {', '.join(report.maybe_twice)}."
        )
    if not report.is_transactional:
        say("This broker keeps no transactions apart: if a replay is killed, the next one says what may come twice.")
    if not report.total:
        say("There is nothing to replay.")
    elif dry_run:
        say("This was a dry run: add --yes to replay.")
    if report.is_interrupted:
        say("Interrupted: run it again to go on; what was replayed is not replayed again.")


def _show_left_out(report: ReplayReport) -> None:
    if report.done_before:
        say(f"{report.done_before} dead letters were replayed or parked before, and are left out.")
    if report.discarded:
        say(f"{report.discarded} dead letters were discarded, and are left out: name one to replay it.")
    for reason, count in report.refused.items():
        say(f"{count} dead letters are refused, such as {report.refused_examples[reason]}. {reason}")
