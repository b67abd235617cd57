"""The result of the check of one dependency."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One dependency: None as `problem` means that it works. `warnings` are sentences that keep nothing from working.

    `is_outage` says that the problem passes by itself, so that a role can wait for its end.
    """

    name: str
    problem: str | None
    warnings: tuple[str, ...] = ()
    is_outage: bool = False
