"""What `kubectl apply -k` would send, rendered by the real kustomize, and what Kubernetes' own schemas say of it."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

from tests.servers.kustomize import KUSTOMIZE

Manifest = dict[str, Any]

KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
SCHEMAS: Final = Path(__file__).parent / "schemas"
VERSIONS: Final = ("1.32", "1.37")


@cache
def rendered(folder: str) -> str:
    """The manifests of a folder of deploy/kubernetes, as YAML. Raises NoToolError."""
    command = [str(KUSTOMIZE.get()), "build", str(KUBERNETES / folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def manifests(folder: str) -> list[Manifest]:
    """The same, read; each call gives fresh ones, which a test may spoil."""
    return list(yaml.safe_load_all(rendered(folder)))


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in found if manifest["kind"] in kinds]


def named(found: list[Manifest], kind: str, name: str) -> Manifest:
    (one,) = [item for item in of_kind(found, kind) if item["metadata"]["name"] == name]
    return one


def pod_of(workload: Manifest) -> Manifest:
    """The pod's spec of a Deployment, a Job or a CronJob."""
    spec = workload["spec"].get("jobTemplate", workload)["spec"]
    pod: Manifest = spec["template"]["spec"]
    return pod


@cache
def _schemas(version: str) -> dict[str, Manifest]:
    ours = json.loads((SCHEMAS / f"kubernetes-{version}.json").read_text())
    schemas = {
        kind: {"$ref": f"#/$defs/{name}", "$defs": ours["$defs"], "required": ["apiVersion", "kind", "metadata"]}
        for kind, name in ours["kinds"].items()
    }
    custom: dict[str, Manifest] = json.loads((SCHEMAS / "custom.json").read_text())
    return schemas | custom


def schema_problems(found: list[Manifest], version: str) -> list[str]:
    """What that version of Kubernetes, or a custom resource's definition, would refuse or silently drop."""
    problems = []
    for manifest in found:
        schema = _schemas(version).get(manifest["kind"])
        where = f"{manifest['kind']} {manifest['metadata']['name']}"
        if schema is None:
            problems.append(f"{where}: no schema is known")
            continue
        errors = Draft202012Validator(schema).iter_errors(manifest)
        problems += [f"{where} {error.json_path}: {error.message[:200]}" for error in errors]
    return problems
