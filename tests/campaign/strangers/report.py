"""The report of a run: Markdown for people, and one line for the terminal."""

from collections import Counter

from tests.campaign.strangers.flood import SETTINGS, TOPIC_SETTINGS, Flood
from tests.campaign.strangers.judge import Verdict
from tests.campaign.strangers.records import CODECS, ODD_TIMES

_MOST_FINDINGS = 50
_INTRODUCTION = (
    "Written by `make strangers SEED={seed} RECORDS={records} GOOD={good}`. Real Apache Kafka and PostgreSQL, one worker, one"
    " persist role and one retry role as processes, local storage."
)
_ENDS = (
    "Each record has a number in a header, which its dead letter keeps; results have it as their correlation id. Each must have"
    " exactly one end, of those that its kind may have."
)
_HOPS = (
    "How often a record was sent to a retry topic. The run ends when all groups have read their topics to the end, and nothing"
    " more is written."
)


def as_line(flood: Flood, verdict: Verdict) -> str:
    """The figures that matter most."""
    return (
        f"Seed {flood.seed}: {len(flood.strangers)} records among {len(flood.good)} good uploads in {flood.seconds:.0f} s:"
        f" {verdict.good_ready} good ones ready, {len(flood.ended)} roles ended, {len(verdict.findings)} findings."
    )


def as_markdown(flood: Flood, verdict: Verdict) -> str:
    """Everything."""
    codes = sum(verdict.ends.values(), Counter[str]())
    good = len(flood.good)
    text = [
        f"# {len(flood.strangers):,} generated records among {good:,} good uploads: seed {flood.seed}",
        _INTRODUCTION.format(seed=flood.seed, records=len(flood.strangers), good=good),
        f"**{as_line(flood, verdict)}**",
        _settings(),
        "## Findings",
        "\n".join(f"- {finding}" for finding in verdict.findings[:_MOST_FINDINGS]) or "None.",
        "## How the records ended",
        _ENDS,
        _table(("end", "records"), [(f"`{code}`", f"{count:,}") for code, count in codes.most_common()]),
        _table(
            ("records", "number", "ends"),
            [
                (
                    str(kind),
                    f"{counts.total():,}",
                    ", ".join(f"`{code}` {count:,}" for code, count in counts.most_common()),
                )
                for kind, counts in sorted(verdict.ends.items())
            ],
        ),
        f"{verdict.not_owner} results for media of another company were refused by persist, and their objects are deleted.",
        "## Hops",
        _HOPS,
        _table(("times", "records"), [(str(times), f"{count:,}") for times, count in sorted(verdict.hops.items())]),
        "## What the roles used",
        _table(
            ("role", "processor time s", "most memory MiB", "of its children MiB"),
            [
                (name, f"{used.cpu_s:.0f}", f"{used.own_mib:.0f}", f"{used.children_mib:.0f}")
                for name, used in sorted(flood.used.items())
            ],
        ),
    ]
    return "\n\n".join(text) + "\n"


def _settings() -> str:
    roles = ", ".join(f"`{name}={value}`" for name, value in SETTINGS.items())
    topics = ", ".join(f"`{name}={value}`" for name, value in TOPIC_SETTINGS.items())
    return (
        f"Settings that differ from the defaults: {roles}, and the worker's and logs' of a test; of the consumed topics {topics},"
        " so that any record time is taken and nothing is removed before it is looked at. The flood guard has its defaults:"
        " failures of one company, and of none, stop no worker while another company's uploads come through."
        f" Codecs in turns: {', '.join(CODECS)}. At most {ODD_TIMES} records have a time far from now: a broker starts a"
        " segment for nearly each of them."
    )


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
