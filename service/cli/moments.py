"""Times as people write them in options."""

import re
from datetime import UTC, datetime, timedelta

import typer


def moment_of(text: str) -> datetime:
    """Return a time as people write it: 2026-11-23T18:09:00Z, 2026-11-23, or an age: 90m, 24h, 7d."""
    age = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if age is not None:
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[age[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a time such as 2026-11-23T18:09:00Z, or an age such as 90m, 24h, 7d") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
