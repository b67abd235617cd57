"""The package: the product's folders with their data files, no test server, and one version."""

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
PRODUCT = ("streams", "processors", "storage", "schemas", "service")
MODULES = [path.relative_to(ROOT) for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]


def imported_packages(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


def test_the_wheel_holds_the_product_alone() -> None:
    assert SETUPTOOLS["packages"]["find"]["include"] == [f"{folder}*" for folder in PRODUCT]


def test_no_module_of_the_product_imports_the_tests() -> None:
    assert [str(module) for module in MODULES if imported_packages(module) & {"tests", "benchmarks"}] == []


@pytest.mark.parametrize(
    ("package", "pattern"),
    [(package, pattern) for package, found in SETUPTOOLS["package-data"].items() for pattern in found],
)
def test_every_pattern_of_data_files_finds_some(package: str, pattern: str) -> None:
    folders = PRODUCT if package == "*" else (package,)
    assert [folder for folder in folders if not list((ROOT / folder).glob(pattern))] == []


def test_the_example_of_a_deployment_names_the_version_of_this_project() -> None:
    overlay = yaml.safe_load((ROOT / "deploy/kubernetes/overlays/example/kustomization.yaml").read_text())
    assert {image["newTag"] for image in overlay["images"]} == {PROJECT["project"]["version"]}
