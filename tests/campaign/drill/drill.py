"""The drill: each fault in turn, from a quiet installation to a quiet installation, and the oracle at its end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.campaign.drill.faults import Fault
from tests.campaign.drill.installation import COMPANIES, Installation
from tests.campaign.drill.looks import PageView, Status, read_page, read_status
from tests.campaign.drill.watch import AlertWatch, Seen, active

WARM_UP_S: Final = 12.0
ALERT_TIMEOUT_S: Final = 150.0
QUIET_TIMEOUT_S: Final = 240.0
DONE_TIMEOUT_S: Final = 60.0
TICK_S: Final = 0.4
EMPTY_TIMEOUT_S: Final = 90.0
SAID_WITHIN_S: Final = 60.0
"""The page must say what is wrong so soon after the fault, or as soon as the alerts that are waited for have fired."""
PAGE_LOOK_S: Final = 20.0
"""The page's look at dead letters is 15 s old at most; it comes every 5 s."""
NEAR_S: Final = 5.0
"""While uploads come, some always wait; none may for longer than this."""
_CALM: Final = (
    "count(up == 1) == {roles}",
    "min(thumbnail_dependency_up) == 1",
    f"max(thumbnail_consumer_lag_seconds) < {NEAR_S}",
    "sum(thumbnail_retries_waiting) == 0",
    'sum(thumbnail_storage_breakers{{state!="closed"}}) == 0',
)


@dataclass
class Outcome:
    """What one fault came to. Times are seconds, after the fault or (`caught_up_s`, `quiet_s`) after the fix."""

    fault: Fault
    alerts: list[Seen] = field(default_factory=list)
    lasted_s: float = 0.0
    status: Status | None = None
    looked_s: float = 0.0
    page: PageView | None = None
    shot: str = ""
    by_company: dict[str, tuple[int, int]] | None = None
    caught_up_s: float | None = None
    quiet_s: float | None = None
    done_by_page: list[str] = field(default_factory=list)
    """The commands that the page gave after the fix, as they were run."""
    empty_s: float | None = None
    """When nothing needed attention any more, by `status` and by the page."""
    page_after: str = ""
    problems: list[str] = field(default_factory=list)
    page_said_s: float = 0.0
    """When the page was looked at: it said what it must, or its time was over."""

    def alerts_first(self, name: str) -> Seen | None:
        """The first alert of this name that fired."""
        return next((seen for seen in self.alerts if seen.name == name), None)


@dataclass
class Result:
    """Everything that a report shows."""

    factor: float
    outcomes: list[Outcome] = field(default_factory=list)
    published: int = 0
    poison: int = 0
    problems: list[str] = field(default_factory=list)
    exits: dict[str, list[int]] = field(default_factory=dict)
    total_s: float = 0.0

    @property
    def findings(self) -> list[str]:
        """Everything that was not as it must be."""
        return [f"{done.fault.name}: {problem}" for done in self.outcomes for problem in done.problems] + self.problems


class Drill:
    """For the main thread: services are started on it."""

    def __init__(self, installation: Installation, pictures: Path, factor: float, say: Callable[[str], None]) -> None:
        """`pictures` is where the screenshots go."""
        self._installation: Final = installation
        self._pictures: Final = pictures
        self._say: Final = say
        self.result: Final = Result(factor)

    def run(self, faults: Sequence[Fault]) -> Result:
        """Make every fault, and judge the result."""
        began, installation = time.monotonic(), self._installation
        installation.trickle.start()
        self._wait(lambda: False, WARM_UP_S)
        if not self._wait(self._is_quiet, QUIET_TIMEOUT_S):
            self.result.problems.append(f"it was not quiet before the first fault: {self._noise()}")
        for fault in faults:
            self.result.outcomes.append(self._practise(fault))
        installation.trickle.end()
        self._say("No more uploads; waiting for the last, and looking for what was lost.")
        self._wait(lambda: not installation.trickle.unready_before(time.monotonic()), DONE_TIMEOUT_S)
        self.result.problems += installation.trickle.problems()
        self.result.published = len(installation.trickle.published)
        self.result.poison = len(installation.trickle.poison)
        self.result.exits = {role.log.stem: role.exit_codes for role in installation.cluster.supervisor.roles}
        codes = installation.cluster.stop_roles()
        self.result.problems += [f"{name} ended with {code} in the end" for name, code in codes.items()]
        self.result.total_s = time.monotonic() - began
        return self.result

    def _practise(self, fault: Fault) -> Outcome:
        installation, done = self._installation, Outcome(fault)
        self._say(f"{fault.title}: {fault.done}")
        watch, began = AlertWatch(installation.prometheus), time.monotonic()
        fault.inject(installation)
        if not self._wait(lambda: all(watch.first(name) for name in fault.alerts), ALERT_TIMEOUT_S, watch):
            missing = [name for name in fault.alerts if watch.first(name) is None]
            done.problems.append(f"{', '.join(missing)} did not fire within {ALERT_TIMEOUT_S:.0f} s")
        self._wait(lambda: False, fault.look_after_s - (time.monotonic() - began), watch)
        left_s = SAID_WITHIN_S - (time.monotonic() - began)
        self._wait(lambda: not _unsaid_by_page(fault, read_page(installation)), left_s, watch)
        done.page_said_s = time.monotonic() - began
        done.shot = f"drill-{fault.name}.png"
        done.page = read_page(installation, self._pictures / done.shot)
        done.looked_s = time.monotonic() - began
        done.status = read_status(installation, lambda: self._tick(watch))
        done.by_company = self._by_company(fault, began)
        done.problems += _unsaid(fault, done)
        done.lasted_s, restored = time.monotonic() - began, time.monotonic()
        self._say(f"  {', '.join(_first_words(watch))}. Fixing: {fault.restored}")
        fault.restore(installation)
        self._recover(done, watch, restored)
        done.alerts = watch.fired()
        self._say(f"  caught up after {_or_never(done.caught_up_s)}, quiet after {_or_never(done.quiet_s)}.")
        for problem in done.problems:
            self._say(f"  NOT AS IT MUST BE: {problem}")
        return done

    def _recover(self, done: Outcome, watch: AlertWatch, restored: float) -> None:
        installation = self._installation
        if self._wait(lambda: not self._disquiet(), QUIET_TIMEOUT_S, watch):
            done.done_by_page = self._follow_page(watch)
            if self._wait(lambda: not installation.trickle.unready_before(restored), QUIET_TIMEOUT_S, watch):
                done.caught_up_s = time.monotonic() - restored
        if done.caught_up_s is None:
            missing = installation.trickle.unready_before(restored)
            done.problems.append(f"{missing} uploads did not become ready: {self._noise()}")
        if self._wait(self._is_quiet, QUIET_TIMEOUT_S, watch):
            done.quiet_s = time.monotonic() - restored
            self._until_empty(done, watch, restored)
        else:
            done.problems.append(f"it did not become quiet: {self._noise()}")

    def _follow_page(self, watch: AlertWatch) -> list[str]:
        """Do what the page says about the failures that are left, and nothing else: first its dry run, then what that says."""
        run: list[str] = []
        self._wait(lambda: False, PAGE_LOOK_S, watch)  # the page's own look is as old
        for failure in read_page(self._installation).failures:
            if failure.is_urgent and failure.command.startswith("thumbnails dlq "):
                run.append(self._installation.do(failure.command))
                self._tick(watch)
        return run

    def _until_empty(self, done: Outcome, watch: AlertWatch, restored: float) -> None:
        said: list[str] = []

        def is_empty() -> bool:
            said[:] = read_status(self._installation, lambda: self._tick(watch)).data["attention"]
            done.page_after = read_page(self._installation).headline
            return not said and done.page_after == "All is well"

        if self._wait(is_empty, EMPTY_TIMEOUT_S, watch):
            done.empty_s = time.monotonic() - restored
        else:
            done.problems += [f"afterwards status says: {line}" for line in said]
            done.problems += [] if said else [f"afterwards the page says: {done.page_after}"]

    def _by_company(self, fault: Fault, began: float) -> dict[str, tuple[int, int]] | None:
        """None where the database does not answer."""
        if fault.name == "database-down":
            return None
        found = self._installation.trickle.by_company_since(began)
        return {COMPANIES[company]: counts for company, counts in found.items()}

    def _wait(self, what: Callable[[], object], timeout_s: float, watch: AlertWatch | None = None) -> bool:
        """Until `what` is true, at most so long: whether it came to that."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._tick(watch)
            if what():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(TICK_S)

    def _tick(self, watch: AlertWatch | None) -> None:
        self._installation.cluster.supervise()
        if watch is not None:
            watch.look()

    def _is_quiet(self) -> bool:
        return not active(self._installation.prometheus) and not self._disquiet()

    def _disquiet(self) -> list[str]:
        """What is not true yet, and is when all roles are ready and nothing waits."""
        roles = sum(len(ports) for ports in self._installation.ports.values())
        wanted = [query.format(roles=roles) for query in _CALM]
        return [query for query in wanted if not self._installation.prometheus.query(query)]

    def _noise(self) -> str:
        return f"alerts {active(self._installation.prometheus)}, not true: {self._disquiet()}"


def _unsaid(fault: Fault, done: Outcome) -> list[str]:
    """What the status, the page and the other companies' uploads do not show, and must."""
    problems = []
    if done.status is not None:
        said = " ".join(done.status.data["attention"])
        problems += [f"status does not say {words!r}: {said}" for words in fault.says if words not in said]
    if done.page is not None:
        problems += [
            f"the page does not say {words!r} after {done.page_said_s:.0f} s: {done.page.words}"
            for words in _unsaid_by_page(fault, done.page)
        ]
    for company in fault.unhurt:
        if done.by_company is not None and not done.by_company.get(COMPANIES[company], (0, 0))[1]:
            problems.append(f"{COMPANIES[company]} got no thumbnail meanwhile")
    return problems


def _unsaid_by_page(fault: Fault, page: PageView) -> list[str]:
    """What the page must say, and does not."""
    wanted = fault.says if fault.page_says is None else fault.page_says
    slugs = {str(number): name.partition(" ")[0].lower() for number, name in COMPANIES.items()}  # their names, too
    return [
        words
        for words in wanted
        if words not in page.words and slugs.get(words.removeprefix("company "), words) not in page.words
    ]


def _first_words(watch: AlertWatch) -> list[str]:
    return [f"{seen.name} after {seen.fired_s:.0f} s" for seen in watch.fired()] or ["no alert"]


def _or_never(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def as_json(result: Result) -> dict[str, Any]:
    """All figures and texts."""
    return {
        "factor": result.factor,
        "seconds": round(result.total_s, 1),
        "uploads": {"sound": result.published, "broken": result.poison},
        "findings": result.findings,
        "exits": result.exits,
        "faults": [_outcome_json(done) for done in result.outcomes],
    }


def _outcome_json(done: Outcome) -> dict[str, Any]:
    return {
        "name": done.fault.name,
        "expected": list(done.fault.alerts),
        "alerts": [vars(seen) for seen in done.alerts],
        "looked_s": round(done.looked_s, 1),
        "lasted_s": round(done.lasted_s, 1),
        "status": done.status
        and {"took_s": round(done.status.took_s, 1), "text": done.status.text, "json": done.status.data},
        "page": done.page and asdict(done.page),
        "page_said_s": round(done.page_said_s, 1),
        "done_by_page": done.done_by_page,
        "empty_s": done.empty_s,
        "by_company": done.by_company,
        "caught_up_s": done.caught_up_s,
        "quiet_s": done.quiet_s,
        "problems": done.problems,
    }
