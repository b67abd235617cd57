"""Names in the environment that are nearly a setting's: a misspelled one would silently leave the default."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

NEAR: Final = 0.85
"""Of difflib: one letter too many or too few in six, or two in thirteen."""
NEAR_AMONG_OURS: Final = 0.75
"""In a family of names that nobody else uses."""
_OURS: Final = (
    "DECODE_",
    "DLQ_",
    "PERSIST_",
    "THUMBNAIL_",
    "LOCAL_STORAGE_",
    "STORAGE_",
    "FRAME_",
    "WORKER_",
    "RETRY_",
)
_OTHERS: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "HTTPS_PORT"})
# A service that is called `worker` gives every pod these: https://kubernetes.io/docs/concepts/services-networking/service/
_OF_KUBERNETES: Final = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")


@dataclass(frozen=True)
class Misspelling:
    """A name that no setting has, and the setting whose name is next to it."""

    name: str
    meant: str

    def __str__(self) -> str:
        return f"{self.name} is no setting and has no effect: {self.meant} is one."


def known_names() -> frozenset[str]:
    """Return the environment's names of all settings, those of single commands included."""
    from service.settings import Settings

    names = {name.upper() for part in Settings.classes() for name in part.model_fields}
    return frozenset(names | {"STATUS_METRICS_URLS"})


def misspelled(environment: Mapping[str, str], known: Collection[str]) -> list[Misspelling]:
    """Return what is near a known name and is none, sorted. Upper and lower case are the same, as they are in settings."""
    found = []
    for name in sorted(environment):
        upper = name.upper()
        if "_" not in upper or upper in known or upper in _OTHERS or _is_of_kubernetes(upper, environment[name]):
            continue
        near = get_close_matches(upper, known, 1, NEAR_AMONG_OURS if upper.startswith(_OURS) else NEAR)
        if near:
            found.append(Misspelling(name, near[0]))
    return found


def _is_of_kubernetes(name: str, value: str) -> bool:
    return _OF_KUBERNETES.fullmatch(name) is not None and (not name.endswith("_PORT") or "://" in value)


def names_in_env_file(lines: Iterable[str]) -> dict[str, str]:
    """Return the names and values of a `.env` file, as Compose reads one; other lines are left out."""
    found = (re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", line) for line in lines)
    return {match[1]: match[2] for match in found if match}
