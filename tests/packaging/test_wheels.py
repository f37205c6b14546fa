"""Wheels in clean environments: core alone, core and cli, and each single plugin beside them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from environments import PACKAGES, PLUGINS, ROOT, Environment, built

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
    found = {name: built(ROOT / package, folder) for package, name in PACKAGES.items()}
    assert {path.name.split("-")[0].replace("_", "-") for path in found.values()} == set(PACKAGES.values())
    return found


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
    listed = json.loads(env.run("initkit", "list", "--json").stdout)
    assert {card["id"].partition("/")[0] for card in listed["recipes"]} == {plugin}
    offered = {entry["plugin"]: entry["install"] for entry in listed["not_installed"]}
    assert offered == {other: f"pip install initkit-{other}" for other in PLUGINS if other != plugin}


def test_wheels_hold_what_they_should(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        assert any(entry.endswith("py.typed") for entry in names), name
        assert any(entry.endswith("LICENSE") for entry in names), name
        assert not any("test" in Path(entry).parts for entry in names), name
    core = zipfile.ZipFile(wheels["initkit-core"]).namelist()
    assert {"initkit/page/templates/page.html", "initkit/page/templates/style.css"} <= set(core)
