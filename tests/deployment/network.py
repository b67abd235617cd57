"""Who may talk to whom, read from the NetworkPolicies as Kubernetes reads them."""

from tests.deployment.manifests import Manifest, of_kind


def chooses(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions), "only In is understood here"
    return all(labels.get(expression["key"]) in expression["values"] for expression in expressions)


def policies_for(found: list[Manifest], component: str) -> list[Manifest]:
    """The specs of all policies that hold for the pods of a component."""
    labels = {"app.kubernetes.io/name": "thumbnails", "app.kubernetes.io/component": component}
    specs = [policy["spec"] for policy in of_kind(found, "NetworkPolicy")]
    return [spec for spec in specs if chooses(spec["podSelector"], labels)]


def is_shut(found: list[Manifest], component: str) -> bool:
    """Whether both directions are closed but for what is allowed."""
    directions = {direction for spec in policies_for(found, component) for direction in spec["policyTypes"]}
    return directions == {"Ingress", "Egress"}


def ports_out(found: list[Manifest], component: str) -> set[int]:
    """The ports that a component may connect to; a rule without ports would be all, and is an error here."""
    rules = [rule for spec in policies_for(found, component) for rule in spec.get("egress", [])]
    return {port["port"] for rule in rules for port in rule["ports"]}


def ports_in(found: list[Manifest], component: str) -> set[int]:
    """Its own ports that others may connect to."""
    rules = [rule for spec in policies_for(found, component) for rule in spec.get("ingress", [])]
    assert all(rule.get("from") for rule in rules), "from everywhere"
    return {port["port"] for rule in rules for port in rule["ports"]}
