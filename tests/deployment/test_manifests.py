"""deploy/kubernetes: what kustomize renders is what Kubernetes accepts, and what we promise of it."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.topics import ALL_TOPICS
from service.cli.main import all_commands
from service.settings import Settings
from streams.ingest.rules import parse_rules
from tests.conftest import missing
from tests.deployment.manifests import (
    KUBERNETES,
    VERSIONS,
    Manifest,
    manifests,
    named,
    of_kind,
    pod_of,
    rendered,
    schema_problems,
)
from tests.deployment.pod_policy import CONTAINER_RULES, GRACE_MARGIN_S, POD_RULES, broken_rules
from tests.servers.go_tool import NoToolError
from tests.servers.go_tools import time_to_build
from tests.servers.kustomize import KUSTOMIZE

FOLDERS = ("base", "overlays/example")
EXAMPLE = "overlays/example"
ROLES = ("worker", "persist", "retry")


@pytest.fixture(scope="module", autouse=True)
def _kustomize(pytestconfig: pytest.Config) -> None:
    try:
        with time_to_build(pytestconfig) as say:
            KUSTOMIZE.get(say)
    except NoToolError as exc:
        missing(str(exc))


def settings_of(found: list[Manifest]) -> Manifest:
    """What every container gets as its environment; the other map holds the rules of the ingest role."""
    maps = [item for item in of_kind(found, "ConfigMap") if "rules.toml" not in item["data"]]
    (settings,) = [item["data"] for item in maps]
    return dict(settings)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_and_the_custom_resources_know_every_field(folder: str, version: str) -> None:
    assert schema_problems(manifests(folder), version) == []


def _misspell_limits(found: list[Manifest]) -> None:
    pod_of(named(found, "Deployment", "thumbnails-worker"))["containers"][0]["resources"]["limit"] = {}


def _number_for_text(found: list[Manifest]) -> None:
    pod_of(named(found, "Deployment", "thumbnails-worker"))["containers"][0]["env"][0]["value"] = 2


def _misspell_replicas(found: list[Manifest]) -> None:
    named(found, "ScaledObject", "thumbnails-worker")["spec"]["maxReplicas"] = 6


def _unknown_behaviour(found: list[Manifest]) -> None:
    named(found, "ScaledObject", "thumbnails-worker")["spec"]["fallback"]["behavior"] = "whatever"


def _misspell_endpoint(found: list[Manifest]) -> None:
    named(found, "PodMonitor", "thumbnails")["spec"]["podMetricsEndpoints"][0]["ports"] = "http"


SPOILERS = [_misspell_limits, _number_for_text, _misspell_replicas, _unknown_behaviour, _misspell_endpoint]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_mistake_is_found_by_the_schemas(spoil: Callable[[list[Manifest]], None]) -> None:
    found = manifests(EXAMPLE)
    spoil(found)
    assert len(schema_problems(found, VERSIONS[-1])) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_container_keeps_every_rule(folder: str) -> None:
    assert list(broken_rules(manifests(folder))) == []


def _change(*path: str, to: Any) -> Callable[[Manifest], None]:
    def change(pod: Manifest) -> None:
        place: Any = pod
        for step in path[:-1]:
            place = place["containers"][0] if step == "container" else place[step]
        place[path[-1]] = to

    return change


BREAKS = {
    "it is not root": _change("securityContext", "runAsNonRoot", to=False),
    "it has no token of the cluster": _change("automountServiceAccountToken", to=True),
    "it has the runtime's default system calls": _change(
        "securityContext", "seccompProfile", to={"type": "Unconfined"}
    ),
    "it has no capability": _change(
        "container", "securityContext", "capabilities", to={"drop": ["ALL"], "add": ["CHOWN"]}
    ),
    "it gets no new privileges": _change("container", "securityContext", "allowPrivilegeEscalation", to=True),
    "its root file system is read-only": _change("container", "securityContext", "readOnlyRootFilesystem", to=False),
    "it shares nothing with its host": _change("hostNetwork", to=True),
    "it has no variables of Services": _change("enableServiceLinks", to=True),
    "its memory is bounded and its share is asked for": _change("container", "resources", "limits", to={"cpu": "1"}),
}


@pytest.mark.parametrize("rule", [*POD_RULES, *CONTAINER_RULES])
def test_a_container_that_breaks_a_rule_is_found(rule: str) -> None:
    found = manifests("base")
    BREAKS[rule](pod_of(named(found, "Deployment", "thumbnails-worker")))
    assert list(broken_rules(found)) == [("thumbnails-worker", rule)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_is_killed_only_after_its_role_has_given_up_by_itself(folder: str) -> None:
    found = manifests(folder)
    settings = settings_of(found)
    for workload in of_kind(found, "Deployment"):
        pod = pod_of(workload)
        sleeps_s = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed_s = sleeps_s + float(settings["SHUTDOWN_TIMEOUT_S"]) + GRACE_MARGIN_S
        assert pod["terminationGracePeriodSeconds"] >= needed_s, workload["metadata"]["name"]


def test_what_gets_requests_waits_before_it_stops_so_that_none_is_lost() -> None:
    found = manifests(EXAMPLE)
    served = [service["spec"]["selector"].items() for service in of_kind(found, "Service")]
    for workload in of_kind(found, "Deployment"):
        labels = workload["spec"]["template"]["metadata"]["labels"].items()
        is_served = any(selector <= labels for selector in served)
        assert is_served == ("lifecycle" in pod_of(workload)["containers"][0])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_restarted_for_being_stuck_and_not_for_missing_its_dependencies(role: str) -> None:
    container = pod_of(named(manifests("base"), "Deployment", f"thumbnails-{role}"))["containers"][0]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().http.http_port


def test_every_role_has_a_disruption_budget_that_chooses_its_pods() -> None:
    found = manifests("base")
    for role in ROLES:
        labels = named(found, "Deployment", f"thumbnails-{role}")["spec"]["template"]["metadata"]["labels"]
        wanted = named(found, "PodDisruptionBudget", f"thumbnails-{role}")["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= labels.items()


def test_every_variable_is_a_setting_of_ours() -> None:
    known = {name.upper() for part in Settings().components() for name in type(part).model_fields}
    found = manifests(EXAMPLE)
    settings = settings_of(found).keys()
    set_in_pods = {
        variable["name"]
        for workload in of_kind(found, "Deployment", "Job", "CronJob")
        for variable in pod_of(workload)["containers"][0].get("env", [])
    }
    assert (settings | set_in_pods) - known == set()


def _secrets_of(workload: Manifest) -> set[str]:
    sources = pod_of(workload)["containers"][0]["envFrom"]
    return {source["secretRef"]["name"] for source in sources if "secretRef" in source}


def test_each_workload_gets_the_secrets_that_it_needs_and_no_other() -> None:
    found = manifests(EXAMPLE)
    assert {w["metadata"]["name"]: _secrets_of(w) for w in of_kind(found, "Deployment", "Job", "CronJob")} == {
        "thumbnails-worker": {"thumbnails-kafka", "thumbnails-database", "thumbnails-storage"},
        "thumbnails-persist": {"thumbnails-kafka", "thumbnails-database"},
        "thumbnails-retry": {"thumbnails-kafka"},
        "thumbnails-ingest": {"thumbnails-kafka", "thumbnails-database"},
        "thumbnails-topics": {"thumbnails-kafka"},
        "thumbnails-schema": {"thumbnails-database"},
        "thumbnails-web": {"thumbnails-kafka", "thumbnails-web"},
        "thumbnails-reconcile": {"thumbnails-kafka", "thumbnails-database", "thumbnails-storage"},
    }
    assert of_kind(found, "Secret") == []


def test_the_nightly_comparison_has_local_storage_and_a_command_that_there_is() -> None:
    job = named(manifests(EXAMPLE), "CronJob", "thumbnails-reconcile")
    pod = pod_of(job)
    (container,) = pod["containers"]
    worker = pod_of(named(manifests("base"), "Deployment", "thumbnails-worker"))
    assert {volume["name"]: volume for volume in worker["volumes"]}["storage"] in pod["volumes"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {one["name"]: one["value"] for one in container["env"]} == {"LOCAL_STORAGE_ROOT": mounts["storage"]}
    name, *options = container["args"]
    known = {spelling for parameter in all_commands().commands[name].params for spelling in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known
    assert options[options.index("--state") + 1].startswith(f"{mounts['state']}/")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_ingest_role_has_rules_that_can_be_used_and_the_topic_that_they_are_for() -> None:
    found = manifests(EXAMPLE)
    pod = pod_of(named(found, "Deployment", "thumbnails-ingest"))
    (container,) = pod["containers"]
    (volume,) = [one["configMap"]["name"] for one in pod["volumes"]]
    (rules,) = [one["data"] for one in of_kind(found, "ConfigMap") if one["metadata"]["name"] == volume]
    (mount,) = container["volumeMounts"]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "INGEST_RULES": f"{mount['mountPath']}/rules.toml"
    }
    assert parse_rules(rules["rules.toml"]).look_up
    assert settings_of(found)["KAFKA_NOTIFICATIONS_TOPIC"] == "media.notifications"
    assert rules["rules.toml"] == (KUBERNETES.parent / "ingest" / "rules.toml").read_text()


def test_scaling_is_by_topics_that_are_to_be_dealt_with_now_and_never_beyond_their_partitions() -> None:
    topics = {topic.name: topic for topic in ALL_TOPICS}
    found = manifests(EXAMPLE)
    group = Settings().worker.worker_group
    for role, consumer_group in (("worker", group), ("persist", f"{group}-persist")):
        spec = named(found, "ScaledObject", f"thumbnails-{role}")["spec"]
        assert spec["scaleTargetRef"]["name"] == f"thumbnails-{role}"
        triggers = [trigger["metadata"] for trigger in spec["triggers"]]
        assert all(role in topics[trigger["topic"]].read_by for trigger in triggers)
        assert {trigger["consumerGroup"] for trigger in triggers} == {consumer_group}
        assert spec["maxReplicaCount"] == max(topics[trigger["topic"]].partitions for trigger in triggers)
    assert "thumbnail.retry" not in rendered(EXAMPLE)


def test_nobody_but_the_autoscaler_sets_the_number_of_what_it_scales() -> None:
    found = manifests(EXAMPLE)
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(found, "ScaledObject")}
    fixed = {item["metadata"]["name"] for item in of_kind(found, "Deployment") if "replicas" in item["spec"]}
    assert scaled == {"thumbnails-worker", "thumbnails-persist"}
    assert scaled & fixed == set()


def test_every_file_below_the_folder_is_part_of_what_is_rendered() -> None:
    """A manifest that no kustomization names is one that nobody applies, nor any test checks."""
    for path in KUBERNETES.rglob("*.yaml"):
        if path.name != "kustomization.yaml":
            assert path.name in (path.parent / "kustomization.yaml").read_text(), path
