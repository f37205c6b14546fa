"""One version for all, no dependency on a stranger's name, arrows that run one way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted(path for package in ("core", "cli", "plugins/*") for path in ROOT.glob(f"{package}/pyproject.toml"))


def project(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())["project"]


def test_every_package_has_the_same_version() -> None:
    versions = {path.parent.name: project(path)["version"] for path in [*PROJECTS, ROOT / "pyproject.toml"]}
    for path in PROJECTS:
        (package,) = (path.parent / "src").iterdir()
        text = (package / "__init__.py").read_text()
        assert f'__version__ = "{project(path)["version"]}"' in text, package
        for name in project(path)["dependencies"]:
            if name.startswith("initkit"):
                assert name.endswith(f"=={project(path)['version']}"), name
    assert len(set(versions.values())) == 1, versions


def test_nothing_depends_on_the_name_of_a_stranger() -> None:
    for path in PROJECTS:
        extras = project(path).get("optional-dependencies", {})
        names = [*project(path)["dependencies"], *(name for extra in extras.values() for name in extra)]
        assert not [name for name in names if name.partition("=")[0].strip() == "initkit"]
        assert project(path)["name"] != "initkit"


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_arrows_run_one_way(path: Path) -> None:
    """Plugins and cli import the core, the core imports none of them, no plugin imports another."""
    (package,) = (path.parent / "src").iterdir()
    allowed = {package.name, "initkit"}
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                assert not top.startswith("initkit") or top in allowed, f"{file}: imports {name}"
    if package.name == "initkit_cli":
        private = [
            f"{file.name}: {node.module}"
            for file in package.rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("initkit._")
        ]
        assert not private, "the command line uses the core's public API only"


def test_the_core_names_no_plugin() -> None:
    words = ("initkit_gnn", "initkit-gnn", "torch_geometric", "initkit_cli")
    for file in (ROOT / "core" / "src").rglob("*.py"):
        code = ast.parse(file.read_text())
        docs = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(code)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        }
        for node in ast.walk(code):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
                assert not any(word in node.value for word in words), f"{file}: {node.value}"
