"""Find whose storage is paused and whose dead letters wait, so that a person on call calls the right company."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas import headers as h
from service.status.role_endpoints import RoleState

MOST_NAMED: Final = 5


@dataclass
class PausedConnection:
    """A storage connection that one worker or more have paused; `companies` as far as the workers know."""

    connection_id: str
    provider: str
    companies: set[int] = field(default_factory=set)

    def sentence(self) -> str:
        """Say what is wrong, whose it is, and what to do."""
        return (
            f"Storage connection {self.connection_id} ({self.provider}, {_of_companies(sorted(self.companies))}) is paused,"
            " because it failed repeatedly: tell the company, or fix the connection. `thumbnails check --tenants` says why it"
            " fails. Its uploads wait and lose nothing; other companies' go on."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that docs/status.md describes."""
        return {
            "connection_id": self.connection_id,
            "provider": self.provider,
            "company_ids": sorted(self.companies),
        }


def paused_connections(roles: Iterable[RoleState]) -> list[PausedConnection]:
    """Return each connection once, however many workers have paused it."""
    found: dict[str, PausedConnection] = {}
    for role in roles:
        reported = role.health.get("resting")
        for item in reported if isinstance(reported, list) else ():
            if isinstance(item, dict):
                number, provider = _clean(item.get("connection_id")), _clean(item.get("provider"))
                companies = item.get("company_ids")
                known = found.setdefault(number, PausedConnection(number, provider))
                known.companies |= (
                    {one for one in companies if isinstance(one, int)} if isinstance(companies, list) else set()
                )
    return sorted(found.values(), key=lambda one: (len(one.connection_id), one.connection_id))


def limited_companies(roles: Iterable[RoleState]) -> list[int]:
    """Return the companies of whose uploads a worker or more try only a few at a time."""
    reported = [role.health.get("limited_companies") for role in roles]
    return sorted({one for found in reported if isinstance(found, list) for one in found if isinstance(one, int)})


def about_limited(companies: list[int]) -> list[str]:
    """Say whose uploads fail so often that only a few are tried, and what to do; nothing where there is no such company."""
    if not companies:
        return []
    sentence = (
        f"Most uploads {_of_companies(companies)} fail, so that only a few of them are tried a minute, and the others wait:"
        f" `thumbnails dlq list --company {companies[0]}` says why they fail. Other companies' uploads go on."
    )
    return [sentence]


def owners(companies: Mapping[int | None, int]) -> str:
    """Return in words whose dead letters these are: «all of company 3», «of 3 companies: 1 (40), 2 (39), 3 (20)»."""
    if len(companies) == 1:
        (company,) = companies
        return "of no company that can be read" if company is None else f"all of company {company}"
    most = Counter(companies).most_common(MOST_NAMED)
    named = ", ".join(f"{'unknown' if company is None else company} ({count})" for company, count in most)
    return f"of {len(companies)} companies: {named}{', …' if len(companies) > MOST_NAMED else ''}"


def owners_json(companies: Mapping[int | None, int]) -> list[dict[str, int | None]]:
    """Return the JSON that docs/status.md describes, those with the most dead letters first."""
    return [{"company_id": company, "waiting": count} for company, count in Counter(companies).most_common()]


def _of_companies(ids: list[int]) -> str:
    if not ids:
        return "of a company that no worker remembers"
    named = ", ".join(str(company) for company in ids[:MOST_NAMED])
    return f"of {'company' if len(ids) == 1 else 'companies'} {named}{', …' if len(ids) > MOST_NAMED else ''}"


def _clean(value: object) -> str:
    """Return text of a role without the characters that a terminal would obey."""
    return h.header_text(str(value)).decode()
