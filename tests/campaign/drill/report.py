"""The drill's report: Markdown for people, one line for the terminal. Pure: the same result gives the same page."""

from typing import Any, Final

from tests.campaign.drill.drill import Outcome, Result
from tests.campaign.drill.rules import Alert, at_real_durations, real_alerts
from tests.campaign.drill.watch import Seen

MOST_FAILURES: Final = 2
_HEAD: Final = """\
# Operator drill
<!-- Made by `make drill`: run it again, do not edit this page. -->

{line}

Real Apache Kafka, PostgreSQL, MinIO behind Toxiproxy, two workers, one persist and one retry role, `thumbnails web` in a browser, and
a Prometheus with [the rules that are deployed](runbooks.md). Three companies upload a photograph or a clip each second, throughout:
Acme (company 1) and Initech (3) on local storage, Globex (2) on MinIO. One thing after the other is broken, each time from a state in
which no alert is pending, all roles are ready, nothing waits and nothing needs attention. A fault is fixed only after every expected
alert has fired. After that the person on call does only what the page says: runs the command that it shows, and what its dry run asks for.

How to read the times: every duration of the rules (`for`, windows, thresholds in seconds) was divided by {factor:g}, and so were
`RETRY_DELAYS_S`, `STORAGE_BREAKER_OPEN_S`, `DLQ_WINDOW_S` and `DLQ_MIN_EVENTS`; counts, rates and shares were not. *Drill* is
measured, in one run, whatever else the machine had to do. *Deployed* is computed: at the earliest when the condition was true in the
drill plus the rule's own `for`; at the latest
{look:.0f} s more for a scrape and an evaluation, and {factor:g} times as long until the condition is true where that depends on a
divided duration (averages over a window, ages in seconds, and the whole of the bad deploy). An alert on an age in seconds fires as
deployed only if the fault lasts as long as *deployed* says. Counts within a window are reached no later as deployed than here."""


def as_line(result: Result) -> str:
    """The outcome in one sentence or two."""
    expected = [done.alerts_first(name) for done in result.outcomes for name in done.fault.alerts]
    fired = sum(seen is not None for seen in expected)
    findings = len(result.findings)
    return (
        f"{len(result.outcomes)} faults in {result.total_s:.0f} s, under {result.published} sound uploads and {result.poison} broken"
        f" ones: {fired} of {len(expected)} expected alerts fired,"
        f" {findings or 'no'} finding{'' if findings == 1 else 's'}"
        f"{'' if findings else ': every sound upload is ready in its own company’s storage'}."
    )


def as_markdown(result: Result, pictures: str, look_s: float) -> str:
    """The page; `pictures` is the folder of the screenshots, as seen from the page."""
    alerts = real_alerts()
    parts = [_HEAD.format(line=as_line(result), factor=result.factor, look=look_s), _table(result, alerts)]
    if result.findings:
        parts += ["## Findings", "\n".join(f"- {finding}" for finding in result.findings)]
    parts += [_section(result, done, alerts, pictures) for done in result.outcomes]
    return "\n\n".join(parts) + "\n"


def _table(result: Result, alerts: dict[str, Alert]) -> str:
    lines = [
        "| fault | alert | drill | deployed | `thumbnails status` says first | the page's headline | caught up | quiet | attention empty |",
        "|---|---|---:|---:|---|---|---:|---:|---:|",
    ]
    for done in result.outcomes:
        for number, name in enumerate(done.fault.alerts or (None,)):
            seen = done.alerts_first(name) if name else None
            rest = [""] * 5 if number else _said(done)
            cells = [
                "" if number else f"[{done.fault.title}](#{_anchor(done.fault.title)})",
                f"[{name}](runbooks.md#{name.lower()})" if name else "none is waited for",
                "-"
                if name is None
                else "not fired"
                if seen is None or seen.fired_s is None
                else f"{seen.fired_s:.0f} s",
                "-" if seen is None else _deployed(result, done, seen, alerts),
                *rest,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _said(done: Outcome) -> list[str]:
    attention: list[str] = done.status.data["attention"] if done.status else []
    return [
        _cell(attention[0]) if attention else "-",
        _cell(done.page.headline) if done.page else "-",
        _seconds(done.caught_up_s),
        _seconds(done.quiet_s),
        _seconds(done.empty_s),
    ]


def _deployed(result: Result, done: Outcome, seen: Seen, alerts: dict[str, Alert]) -> str:
    soonest, latest = at_real_durations(alerts[seen.name], seen.true_s, result.factor, slowed=done.fault.slowed)
    return f"{soonest:.0f} to {latest:.0f} s"


def _section(result: Result, done: Outcome, alerts: dict[str, Alert], pictures: str) -> str:
    fault = done.fault
    parts = [f"## {fault.title}", fault.done, "### The alerts", _alert_table(result, done, alerts), _alert_texts(done)]
    if done.status is not None:
        parts += [
            "### `thumbnails status`",
            f"Asked {done.looked_s:.0f} s after the fault, it took {done.status.took_s:.1f} s. Exit code {done.status.exit_code}.",
            f"```console\n{done.status.text}\n```",
            *_health(done.status.data["roles"]),
        ]
    if done.page is not None:
        parts += [
            "### The page",
            f"As it was {done.page_said_s:.0f} s after the fault.",
            f"**{_plain(done.page.headline)}** ({_plain(done.page.figures)}; uploads: {_plain(done.page.count)})",
            *(f"> {_plain(words)}" for words in done.page.sentences),
            *(f"> {_plain(failure.text)}" for failure in done.page.failures[:MOST_FAILURES]),
            f"![The page during the fault: {fault.title.lower()}]({pictures}/{done.shot})",
        ]
    parts += ["### Meanwhile, and after", _meanwhile(done)]
    return "\n\n".join(parts)


def _alert_table(result: Result, done: Outcome, alerts: dict[str, Alert]) -> str:
    if not done.alerts:
        return "None fired."
    lines = ["| alert | severity | who | true | fired | deployed |", "|---|---|---|---:|---:|---:|"]
    for seen in done.alerts:
        who = ", ".join(
            f"{name} {value}" for name, value in seen.labels.items() if name not in ("alertname", "job", "severity")
        )
        expected = "" if seen.name in done.fault.alerts else " (not waited for)"
        lines.append(
            f"| {seen.name}{expected} | {alerts[seen.name].severity} | {_cell(who) or 'all'} | {seen.true_s:.0f} s |"
            f" {_seconds(seen.fired_s)} | {_deployed(result, done, seen, alerts)} |"
        )
    return "\n".join(lines)


def _alert_texts(done: Outcome) -> str:
    texts = []
    for name in dict.fromkeys(seen.name for seen in done.alerts):
        seen = done.alerts_first(name)
        if seen is not None:
            anchor = seen.runbook.removeprefix("docs/")
            texts.append(f"> **{_plain(seen.summary)}** {_plain(seen.description)} [{name}]({anchor})")
    return "\n\n".join(texts)


def _health(roles: list[dict[str, Any]]) -> list[str]:
    """What /health/ready of each role says of what is not well; nothing when all are."""
    lines = []
    for role in roles:
        health = role["health"] or {}
        problems = [health.get("live", {}).get("problem")]
        problems += [
            f"{name}: {state['problem']}" for name, state in health.get("dependencies", {}).items() if not state["ok"]
        ]
        problems += [f"resting: {item}" for item in health.get("resting", [])]
        reported = "; ".join(problem for problem in problems if problem)
        if reported or role["problem"]:
            lines.append(f"{role['role'] or 'a role'} at {role['url']}: {reported or role['problem']}")
    return ["Of `/health/ready`:", "```text\n" + "\n".join(lines) + "\n```"] if lines else []


def _meanwhile(done: Outcome) -> str:
    lines = [done.fault.restored]
    if done.by_company:
        counts = ", ".join(f"{company}: {ready} of {sent}" for company, (sent, ready) in done.by_company.items())
        lines.insert(0, f"Ready of the sound uploads that came in these {done.lasted_s:.0f} s: {counts}.")
    if done.done_by_page:
        lines.append(f"Then what the page says: {', '.join(f'`{command}`' for command in done.done_by_page)}.")
    lines.append(
        f"All uploads from before the fix were ready {_seconds(done.caught_up_s)} after it; no alert was pending and nothing waited"
        f" {_seconds(done.quiet_s)} after it. Nothing needed attention by `status`, and all was well by the page,"
        f" {_seconds(done.empty_s)} after it."
    )
    return " ".join(lines)


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _plain(text: str) -> str:
    """As words, and no markup: names in it come from elsewhere."""
    return " ".join(text.replace("<", "&lt;").replace("[", "\\[").split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
