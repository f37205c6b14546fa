"""Wheels in clean environments: core alone, core and cli, and each single plugin beside them.

A clean environment holds the wheels and exactly the distributions that they declare, linked from this one so that
nothing is downloaded; what is not declared is missing there.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
PACKAGES = {"core": "initkit-core", "cli": "initkit-cli", **{f"plugins/{name}": f"initkit-{name}" for name in PLUGINS}}
HEAVY = {
    "initkit-gnn": "torch_geometric",
    "initkit-ihmm": "hmmlearn",
    "initkit-poincare": "geoopt",
    "initkit-tokenizer": "transformers",
}
EXAMPLE_NEEDS = {"ihmm": ["statsmodels"]}  # what the extra [example] adds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", *command, "--wheel-dir", str(folder), str(ROOT / package)], check=True)
    found = {path.name.split("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}
    assert set(found) == set(PACKAGES.values())
    return found


def closure(names: Iterable[str]) -> set[str]:
    """The distributions that some distributions depend on, without extras, by the metadata."""
    seen: set[str] = set()
    stack = list(names)
    while stack:
        name = re.sub(r"[-_.]+", "-", stack.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        stack += [match[0] for one in requires if "extra ==" not in one and (match := re.match(r"[\w.\-]+", one))]
    return seen


class Environment:
    """A virtual environment with wheels, and links to what they declare."""

    def __init__(self, folder: Path, wheels: list[Path], distributions: list[str]) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        site = next((folder / "lib").glob("python*")) / "site-packages"
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
        options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
        subprocess.run([*pip, *options, *map(str, wheels)], check=True)
        for name in closure(distributions) - set(PACKAGES.values()):
            self._link(name, site)
        self.bin = folder / "bin"

    def _link(self, name: str, site: Path) -> None:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return
        for top in {
            Path(file).parts[0] for file in distribution.files or () if Path(file).parts[0] not in ("..", "bin")
        }:
            source, link = Path(str(distribution.locate_file(top))), site / top
            if not link.exists() and source.exists():
                link.symlink_to(source)

    def run(self, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INITKIT"))}
        env |= {"PATH": f"{self.bin}{os.pathsep}{env['PATH']}", "COLUMNS": "200", **extra}
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=env, check=False)


def made(tmp: Path, wheels: dict[str, Path], names: list[str]) -> Environment:
    return Environment(tmp / "env", [wheels[name] for name in names], names)


def test_core_alone_works_and_knows_no_recipe(wheels: dict[str, Path], tmp_path: Path) -> None:
    env = made(tmp_path, wheels, ["initkit-core"])
    code = "import initkit; print(initkit.recipes()); from initkit import Normal, Recipe; print(Normal(1.0))"
    done = env.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\nN(0, 1²)\n"


def test_core_and_cli_say_how_to_install_a_plugin(wheels: dict[str, Path], tmp_path: Path) -> None:
    env = made(tmp_path, wheels, ["initkit-core", "initkit-cli"])
    assert env.run("python", "-c", "import torch_geometric").returncode != 0
    listed = env.run("initkit", "list")
    assert listed.returncode == 0, listed.stderr
    assert "pip install initkit-gnn" in listed.stdout
    (tmp_path / "model.py").write_text("import torch\nmodel = torch.nn.Linear(2, 2)\n")
    applied = env.run("initkit", "apply", "--plugin", "gnn", str(tmp_path / "model.py"))
    assert applied.returncode == 2
    assert "pip install initkit-gnn" in applied.stderr
    assert "Traceback" not in applied.stderr


@pytest.mark.parametrize("plugin", PLUGINS)
def test_one_plugin_alone_does_its_example(wheels: dict[str, Path], tmp_path: Path, plugin: str) -> None:
    name = f"initkit-{plugin}"
    names = ["initkit-core", "initkit-cli", name]
    env = Environment(tmp_path / "env", [wheels[one] for one in names], [*names, *EXAMPLE_NEEDS.get(plugin, [])])
    for other, module in HEAVY.items():
        present = env.run("python", "-c", f"import {module}").returncode == 0
        assert present == (other == name)
    code = f"import initkit_{plugin}.plugin as p; print(p.initkit_example())"
    example = env.run("python", "-c", code).stdout.strip()
    done = env.run("initkit", "apply", "--plugin", plugin, example, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["covered"] > 0
    stem = Path(example).stem
    assert (env.folder / f"{stem}.safetensors").exists()
    assert (env.folder / f"{stem}.report.json").exists()
    listed = env.run("initkit", "list").stdout
    assert f"{plugin}/" in listed


def test_wheels_hold_what_they_should(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        assert any(entry.endswith("py.typed") for entry in names), name
        assert any(entry.endswith("LICENSE") for entry in names), name
        assert not any("test" in Path(entry).parts for entry in names), name
    core = zipfile.ZipFile(wheels["initkit-core"]).namelist()
    assert {"initkit/page/templates/page.html", "initkit/page/templates/style.css"} <= set(core)
