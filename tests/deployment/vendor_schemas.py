"""Makes tests/deployment/schemas again: `python -m tests.deployment.vendor_schemas WHEEL KEDA_CRDS PODMONITOR_CRD`.

WHEEL is PyPI's kubernetes-validate, which carries Kubernetes' own OpenAPI as strict JSON schemas (unknown fields are refused);
KEDA_CRDS is `config/crd/bases` of github.com/kedacore/keda; PODMONITOR_CRD is the file of that name in
github.com/prometheus-operator/prometheus-operator, `example/prometheus-operator-crd`. All are under the Apache-2.0 licence.
"""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "schemas"
VERSIONS: Final = ("1.32", "1.37")
"""The oldest that we say we work with, and the newest that there is."""
KINDS: Final = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "CronJob": "io.k8s.api.batch.v1.CronJob",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Job": "io.k8s.api.batch.v1.Job",
    "Namespace": "io.k8s.api.core.v1.Namespace",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "PersistentVolumeClaim": "io.k8s.api.core.v1.PersistentVolumeClaim",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "Service": "io.k8s.api.core.v1.Service",
    "ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
}
CUSTOM: Final = ("keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml")


def without_prose(node: Any) -> Any:
    """The schema without descriptions; references point into this file."""
    if isinstance(node, list):
        return [without_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: without_prose(value) for key, value in node.items() if key != "description" or isinstance(value, dict)}
    if isinstance(kept.get("$ref"), str):
        kept["$ref"] = f"#{kept['$ref'].partition('#')[2]}"
    return kept


def references(node: Any) -> Iterator[str]:
    """The names of all definitions that a schema uses directly."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def kubernetes(wheel: Path, version: str) -> dict[str, Any]:
    """One schema with all kinds, by what they are called there."""
    name = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/_definitions.json"
    with zipfile.ZipFile(wheel) as archive:
        everything = without_prose(json.loads(archive.read(name))["$defs"])
    wanted, used = list(KINDS.values()), {}
    while wanted:
        found = wanted.pop()
        if found not in used:
            used[found] = everything[found]
            wanted += references(everything[found])
    return {"kinds": KINDS, "$defs": dict(sorted(used.items()))}


def strict(node: Any) -> Any:
    """A custom resource's schema, so that unknown fields are refused: the API server drops them without a word."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in node.items() if key != "description" or isinstance(value, dict)}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def custom(path: Path) -> tuple[str, dict[str, Any]]:
    """Kind and schema of a custom resource."""
    definition = yaml.safe_load(path.read_text())["spec"]
    (version,) = definition["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    schema["properties"]["apiVersion"] = {"const": f"{definition['group']}/{version['name']}"}
    return definition["names"]["kind"], schema


def main(wheel: str, keda: str, pod_monitor: str) -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for version in VERSIONS:
        write(f"kubernetes-{version}.json", kubernetes(Path(wheel), version))
    write("custom.json", dict(custom(path) for path in [*(Path(keda) / name for name in CUSTOM), Path(pod_monitor)]))


def write(name: str, schema: dict[str, Any]) -> None:
    (FOLDER / name).write_text(json.dumps(schema, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
