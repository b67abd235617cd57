"""The health of one role: what its two probes answer, and the proving that goes on behind them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from schemas.headers import format_time
from schemas.metrics import Metrics
from service.roles.health.dependencies import Dependency, DependencyState, Probe, prover, up_for_s
from service.roles.health.liveness import Liveness, LivenessInputs


class RoleHealth:
    """Answers the probes; from start() to stop() it proves what the role needs.

    `kafka` is checked by the watch of the topics; `more` adds facts to /health/ready.
    """

    def __init__(
        self,
        event_bound_s: float,
        inputs: Callable[[], LivenessInputs],
        kafka: Dependency,
        probes: Sequence[tuple[Dependency, Probe]] = (),
        more: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._dependencies: Final = (kafka, *(dependency for dependency, _ in probes))
        self._provers: Final = [prover(dependency, probe) for dependency, probe in probes]
        self._liveness: Final = Liveness(event_bound_s, inputs, lambda: up_for_s(self._states()))
        self._more: Final = more

    def start(self, metrics: Metrics) -> None:
        """Begin to prove, and export what is up."""
        for dependency in self._dependencies:
            metrics.dependency_up.labels(dependency.name).set_function(partial(_up, dependency))
        for one in self._provers:
            one.start()

    def stop(self) -> None:
        """Prove no more. A probe that hangs is not waited for."""
        for one in self._provers:
            one.stop(wait=False)

    def live(self) -> dict[str, Any]:
        """Return what /health/live answers."""
        return self._liveness.details()

    def ready(self) -> dict[str, Any]:
        """Return what /health/ready answers: it is ok when the role is live and all dependencies are up."""
        live, states = self.live(), self._states()
        return {
            "ok": live["ok"] and all(state.is_up for state in states),
            "live": live,
            "dependencies": {state.name: _details(state) for state in states},
        } | self._more()

    def _states(self) -> list[DependencyState]:
        return [dependency.state() for dependency in self._dependencies]


def _up(dependency: Dependency) -> float:
    return float(dependency.state().is_up)


def _details(state: DependencyState) -> dict[str, Any]:
    return {
        "ok": state.is_up,
        "since": format_time(state.since),
        "problem": state.problem,
        "next_action": None if state.is_up else state.next_action,
    }
