"""Run one campaign, from its first upload to the oracle's report."""

import collections
import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import KafkaException

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.evidence import collect
from tests.campaign.chaos.faults import INJECTORS
from tests.campaign.chaos.injection import NobodyHitError
from tests.campaign.chaos.oracle.facts import Finding, Incident, OracleReport
from tests.campaign.chaos.oracle.judge import judge
from tests.campaign.chaos.plan import Fault, Plan
from tests.campaign.chaos.publisher import Publisher, add_rows
from tests.campaign.chaos.role_logs import check_starts, count_ends, ends_in
from tests.campaign.chaos.topics import read_lags
from tests.campaign.chaos.trail import trails_of
from tests.campaign.chaos.uploads import Case

DRAIN_TIMEOUT_S: Final = 200.0
PUBLISHER_TIMEOUT_S: Final = 95.0
REPLAY_TIMEOUT_S: Final = 180.0
TICK_S: Final = 0.05
_QUIET_READS: Final = 3
"""So many readings in a row must find nothing to do and nothing new, before the topics count as drained."""


@dataclass(frozen=True)
class Done:
    """A fault that was made: when it began and ended, in seconds from the campaign's begin, and whom it hit."""

    fault: Fault
    began_s: float
    ended_s: float
    note: str
    hit: bool = True


@dataclass
class Result:
    """Everything that a report shows."""

    plan: Plan
    oracle_report: OracleReport = field(default_factory=OracleReport)
    done: list[Done] = field(default_factory=list)
    published: int = 0
    faults_s: float = 0.0
    drain_s: float | None = None
    total_s: float = 0.0
    start_s: float = 0.0
    starts: dict[str, int] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """Why roles ended by themselves, in their own words."""
    left_out: str | None = None
    trails: list[str] = field(default_factory=list)
    """The way of each upload that a finding names."""


class Campaign:
    """Publishes, breaks, fixes and waits; the main thread's own, because services are started on it."""

    def __init__(self, cluster: Cluster, plan: Plan, say: Callable[[str], None], *, deadline: float) -> None:
        self._cluster: Final = cluster
        self._say: Final = say
        self._deadline: Final = deadline
        self._began_at = time.monotonic()
        self._began_on = datetime.now(UTC)
        self.behind_s = 0.0
        """So far is everything behind the plan: that brokers and databases start slowly must not push the faults together."""
        self._undos: Final[list[tuple[float, int, Done, Callable[[], object]]]] = []
        self.result: Final = Result(plan, left_out=cluster.no_disk, start_s=round(cluster.start_s, 1))

    def run(self) -> Result:
        """Ends by the deadline (of time.monotonic), give or take the drain."""
        result, plan = self.result, self.result.plan
        add_rows(self._cluster, plan.uploads)
        publisher = Publisher(self._cluster, plan.uploads, plan.lasts_s, lambda: self.behind_s)
        self._began_at, self._began_on = time.monotonic(), datetime.now(UTC)
        publisher.start()
        try:
            is_whole = self._break_things(publisher)
        finally:
            publisher.end()
            publisher.join(PUBLISHER_TIMEOUT_S)  # it must have let go of the storage before that is removed
        problems = [] if is_whole else [Finding("campaign", "the time was up before the plan was")]
        self._mend_all()
        result.faults_s = self._now_s()
        result.published = len(publisher.published)
        if publisher.problem is not None:
            problems.append(Finding("campaign", f"the platform gave up: {publisher.problem}"))
        result.drain_s = self._drain(problems)
        if any(upload.planned.case is Case.REPAIRED for upload in publisher.published):
            publisher.repair()
            problems += self._replay()
            more_s = self._drain(problems)
            result.drain_s = None if more_s is None or result.drain_s is None else result.drain_s + more_s
        problems += self._stop_roles()
        self._say("Reading what is there.")
        evidence = collect(self._cluster.places)
        result.oracle_report = judge(publisher.published, evidence, self._incidents(), start_s=self._cluster.start_s)
        problems += [Finding("leftover", process) for process in self._cluster.survivors()]
        result.oracle_report.findings += problems
        result.trails = list(
            trails_of(result.oracle_report.findings, evidence, self._cluster.supervisor.folder.glob("*.log"))
        )
        result.total_s = self._now_s()
        return result

    def _incidents(self) -> list[Incident]:
        def when(at_s: float) -> datetime:
            return self._began_on + timedelta(seconds=at_s)

        return [
            Incident(done.fault.kind, when(done.began_s), when(done.ended_s)) for done in self.result.done if done.hit
        ]

    def _replay(self) -> list[Finding]:
        """What a person does when the missing sources are there: send their uploads back to work."""
        self._say("Replaying the dead letters of missing sources.")
        process = self._cluster.begin("dlq", "replay", "--code", "source.missing", "--yes")
        deadline = time.monotonic() + REPLAY_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            self._cluster.supervise()
            time.sleep(TICK_S)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        return [Finding("replay failed", f"`dlq replay` ended with {code}: see commands.log")] if code else []

    def _now_s(self) -> float:
        return round(time.monotonic() - self._began_at, 2)

    def _break_things(self, publisher: Publisher) -> bool:
        """Make and undo every fault at its time, until all is published, too: whether there was time for it."""
        waiting = collections.deque(self.result.plan.faults)
        while waiting or self._undos or publisher.is_alive():
            if time.monotonic() > self._deadline:
                return False
            self._cluster.supervise()
            if self._undos and self._undos[0][0] <= self._now_s():
                with self._counting_the_time():
                    self._undo()
            elif waiting and waiting[0].at_s + self.behind_s <= self._now_s():
                with self._counting_the_time():
                    self._make(waiting.popleft())
            else:
                time.sleep(TICK_S)
        return True

    @contextmanager
    def _counting_the_time(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.behind_s += time.monotonic() - began

    def _make(self, fault: Fault) -> None:
        began_s = self._now_s()
        try:
            injection = INJECTORS[fault.kind](self._cluster, fault)
        except NobodyHitError as exc:
            self._note(Done(fault, began_s, self._now_s(), str(exc), hit=False))
            return
        done = Done(fault, began_s, began_s, injection.note)
        heapq.heappush(self._undos, (began_s + fault.hold_s, fault.number, done, injection.undo))
        if not fault.hold_s:
            self._undo()

    def _undo(self) -> None:
        _, _, done, undo = heapq.heappop(self._undos)
        undo()
        self._note(Done(done.fault, done.began_s, self._now_s(), done.note))

    def _mend_all(self) -> None:
        while self._undos:
            self._undo()

    def _note(self, done: Done) -> None:
        self.result.done.append(done)
        count = f"{done.fault.number}/{len(self.result.plan.faults)}"
        self._say(f"{done.began_s:6.1f} s  {count:>7}  {done.fault.kind:<17} {done.note}")

    def _drain(self, problems: list[Finding]) -> float | None:
        """Wait until no group has anything to do: how long that took, or None and a finding when it did not come to that."""
        self._say("Waiting until all work is done.")
        began, quiet, before, left = time.monotonic(), 0, -1, "no broker said"
        while time.monotonic() - began < DRAIN_TIMEOUT_S:
            self._cluster.supervise()
            try:
                lags, total = read_lags(self._cluster.places.bootstrap_servers)
            except KafkaException as exc:
                quiet, left = 0, str(exc)
                continue
            left = _left(lags, total - before)
            is_done = all(lag <= 0 for lag in lags.values())  # one below 0 is a finding, but nothing to wait for
            quiet = quiet + 1 if is_done and total == before else 0
            before = total
            if quiet == _QUIET_READS:
                return round(time.monotonic() - began, 1)
            time.sleep(0.5)
        problems.append(Finding("not drained", f"after {DRAIN_TIMEOUT_S:.0f} s: {left}"))
        return None

    def _stop_roles(self) -> list[Finding]:
        cluster = self._cluster
        for role in [*cluster.supervisor.roles, *cluster.retired]:
            self.result.starts[role.name] = self.result.starts.get(role.name, 0) + role.starts
            for code in role.exit_codes:
                name = f"{role.name} {code}"
                self.result.exits[name] = self.result.exits.get(name, 0) + 1
        codes = cluster.stop_roles()
        logs = {role.log: role.name for role in [*cluster.supervisor.roles, *cluster.retired]}
        ends = [end for log, name in logs.items() for end in ends_in(name, log)]
        self.result.reasons = count_ends(ends)
        return [
            *check_starts(ends),
            *(Finding("bad exit", f"{name} ended with {code}") for name, code in codes.items()),
        ]


def _left(lags: Mapping[tuple[str, str, int], int], more: int) -> str:
    """What is left to do: how far each group is behind in each partition, and how many records came since the last look."""
    behind = [f"{group} is {lag} behind in {topic}/{partition}" for (group, topic, partition), lag in lags.items()]
    return "; ".join([*behind, f"{more} records came since the last look"])
