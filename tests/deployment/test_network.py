"""The network policies of deploy/kubernetes: each role reaches what it needs, and nothing else."""

import ipaddress

import pytest

from tests.conftest import missing
from tests.deployment.manifests import Manifest, manifests, named, of_kind
from tests.deployment.network import is_shut, ports_in, ports_out
from tests.servers.go_tool import NoToolError
from tests.servers.go_tools import time_to_build
from tests.servers.kustomize import KUSTOMIZE

DNS, KAFKA, DATABASE, STORAGE, METRICS = 53, 9092, 5432, 443, 8080
OUT = {
    "worker": {DNS, KAFKA, DATABASE, STORAGE},
    "persist": {DNS, KAFKA, DATABASE},
    "retry": {DNS, KAFKA},
    "ingest": {DNS, KAFKA, DATABASE},
    "topics": {DNS, KAFKA},
    "schema": {DNS, DATABASE},
    "reconcile": {DNS, KAFKA, DATABASE, STORAGE},
}


@pytest.fixture
def found(pytestconfig: pytest.Config) -> list[Manifest]:
    try:
        with time_to_build(pytestconfig) as say:
            KUSTOMIZE.get(say)
    except NoToolError as exc:
        missing(str(exc))
    return manifests("base")


@pytest.mark.parametrize("component", OUT)
def test_a_role_reaches_what_it_needs_and_nothing_else(found: list[Manifest], component: str) -> None:
    assert is_shut(found, component)
    assert ports_out(found, component) == OUT[component]
    assert ports_in(found, component) == ({METRICS} if component in ("worker", "persist", "retry", "ingest") else set())


def test_a_worker_reaches_no_address_of_the_cluster_as_if_it_were_a_storage(found: list[Manifest]) -> None:
    (rule,) = named(found, "NetworkPolicy", "thumbnails-tenant-storage")["spec"]["egress"]
    shut = [ipaddress.ip_network(net) for peer in rule["to"] for net in peer["ipBlock"].get("except", [])]
    for address in ("10.96.0.1", "169.254.169.254", "172.20.0.10", "192.168.1.1", "127.0.0.1", "100.64.0.1"):
        assert any(ipaddress.ip_address(address) in network for network in shut), address
    (sixth,) = [peer["ipBlock"]["cidr"] for peer in rule["to"] if ":" in peer["ipBlock"]["cidr"]]
    for address in ("fd00::1", "fe80::1", "::1", "fd00:ec2::254"):
        assert ipaddress.ip_address(address) not in ipaddress.ip_network(sixth), address


def test_names_are_asked_of_the_clusters_own_servers(found: list[Manifest]) -> None:
    """A transformer that adds our labels to every selector would select the project's pods, and find no name."""
    (rule,) = named(found, "NetworkPolicy", "thumbnails-names")["spec"]["egress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["to"]] == [{"k8s-app": "kube-dns"}]


def test_a_role_that_no_policy_names_would_be_found(found: list[Manifest]) -> None:
    rest = [item for item in found if item["metadata"]["name"] != "thumbnails-kafka"]
    assert len(of_kind(rest, "NetworkPolicy")) == len(of_kind(found, "NetworkPolicy")) - 1
    assert ports_out(rest, "retry") == {DNS}
    open_one = [item for item in found if item["metadata"]["name"] != "thumbnails-nothing"]
    assert not is_shut(open_one, "retry") or not is_shut(open_one, "schema")
