"""What each of our pods must be: the rules of Kubernetes' «restricted» standard, and some more of our own."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.deployment.manifests import Manifest, of_kind, pod_of

GRACE_MARGIN_S: Final = 10
"""Between a role's own last second and the kubelet's SIGKILL."""

Rule = Callable[[Manifest], bool]


def _no_root(pod: Manifest) -> bool:
    context = pod["securityContext"]
    return context.get("runAsNonRoot") is True and bool(context.get("runAsUser", 0) > 0)


def _no_token(pod: Manifest) -> bool:
    return pod.get("automountServiceAccountToken") is False and pod.get("serviceAccountName") == "thumbnails"


def _default_system_calls(pod: Manifest) -> bool:
    return bool(pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"})


def _nothing_of_the_host(pod: Manifest) -> bool:
    shares = any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    return not shares and all("hostPath" not in volume for volume in pod.get("volumes", []))


def _no_service_links(pod: Manifest) -> bool:
    return pod.get("enableServiceLinks") is False


def _no_capability(container: Manifest) -> bool:
    return bool(container["securityContext"].get("capabilities") == {"drop": ["ALL"]})


def _no_new_privileges(container: Manifest) -> bool:
    context = container["securityContext"]
    # What a container says of users and system calls would win over its pod.
    overrides = {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & context.keys()
    return context.get("allowPrivilegeEscalation") is False and not overrides


def _read_only(container: Manifest) -> bool:
    return container["securityContext"].get("readOnlyRootFilesystem") is True


def _bounded_memory(container: Manifest) -> bool:
    resources = container["resources"]
    return {"cpu", "memory"} <= resources["requests"].keys() and "memory" in resources["limits"]


POD_RULES: Final[dict[str, Rule]] = {
    "it is not root": _no_root,
    "it has no token of the cluster": _no_token,
    "it has the runtime's default system calls": _default_system_calls,
    "it shares nothing with its host": _nothing_of_the_host,
    "it has no variables of Services": _no_service_links,
}
CONTAINER_RULES: Final[dict[str, Rule]] = {
    "it has no capability": _no_capability,
    "it gets no new privileges": _no_new_privileges,
    "its root file system is read-only": _read_only,
    "its memory is bounded and its share is asked for": _bounded_memory,
}


def broken_rules(found: list[Manifest]) -> Iterator[tuple[str, str]]:
    """(workload's name, rule) for each rule that a pod or a container of it breaks."""
    for workload in of_kind(found, "Deployment", "Job", "CronJob", "StatefulSet", "DaemonSet"):
        pod, name = pod_of(workload), workload["metadata"]["name"]
        yield from ((name, rule) for rule, holds in POD_RULES.items() if not holds(pod))
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield from ((name, rule) for rule, holds in CONTAINER_RULES.items() if not holds(container))
