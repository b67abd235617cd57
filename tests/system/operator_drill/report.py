"""The drill's report."""

from tests.system.operator_drill.drill import Result


def as_line(result: Result) -> str:
    """The outcome in one line."""
    return f"{len(result.outcomes)} faults, {result.published} sound uploads, {len(result.findings)} findings."


def as_markdown(result: Result, pictures: str) -> str:
    return as_line(result) + pictures
