"""A stranger's plugin: the example that lies outside of our packages, and what ``initkit plugin new`` writes.

Each is built and installed beside the wheels of core and cli alone, in a clean environment and without a network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import ROOT, Environment, built

STRANGER = ROOT / "examples" / "stranger" / "initkit-normfree"
BESIDE = ["initkit-core", "initkit-cli", "pytest", "annotated-types"]
MODEL = "from torch import nn\n\ndef model():\n    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))\n"

# All that an author writes: a recipe of a few lines in the place of the scaffold's, and its line on the card.
RECIPE = '''
"""Diagonal starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn

from initkit import Fill, Item, PlanError, Recipe, Values


@dataclass(frozen=True)
class Diagonal(Recipe):
    """Linear layers that start as the identity.

    Args:
        scale: of the identity.

    Source: Le, Jaitly and Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, 2015.
    """

    scale: Annotated[float, Gt(0)] = 1.0

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each linear layer's weight."""
        layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise PlanError(f"{type(model).__name__} has no linear layer")
        for name, layer in layers:
            where = f"{name}.weight" if name else "weight"
            if layer.weight.ndim != 2:
                raise PlanError(f"{where} has shape {tuple(layer.weight.shape)}, expected (out, in)")
            yield Fill(where, Values(self.scale * torch.eye(*layer.weight.shape)), why=f"{self.scale:g} times identity")
'''.lstrip()
CARD = """
        Card("diagonal", "initkit_mine.diagonal:Diagonal", "Linear layers that start as the identity."),
""".strip("\n")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Core and cli, from their wheels; what is installed on top shows in its own folder alone."""
    folder = tmp_path_factory.mktemp("strangers")
    wheels = [built(ROOT / name, folder) for name in ("core", "cli")]
    return Environment(folder / "env", wheels, BESIDE)


def installed(clean: Environment, project: Path, into: Path) -> dict[str, str]:
    """Install a project without a network; returns the environment in which it is seen."""
    wheel = built(project, into)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(into / "site"), str(wheel)], check=True)
    return {"PYTHONPATH": str(into / "site")}


def passed(clean: Environment, *command: str, cwd: Path, **env: str) -> str:
    done = clean.run(*command, cwd=cwd, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_passes_its_checks_and_tests(clean: Environment, tmp_path: Path) -> None:
    env = installed(clean, STRANGER, tmp_path)
    shutil.copytree(STRANGER / "tests", tmp_path / "tests")
    listed = json.loads(passed(clean, "initkit", "list", "--json", cwd=tmp_path, **env))
    assert [card["id"] for card in listed["recipes"]] == ["normfree/tfixup"]
    checked = json.loads(passed(clean, "initkit", "plugin", "check", "normfree", "--json", cwd=tmp_path, **env))
    assert checked["ok"]
    assert checked["ran"] >= 40
    assert checked["unchecked"] == []
    (recipe,) = checked["recipes"]
    light = next(one for one in recipe["results"] if one["check"] == "the_plugin_module_is_light")
    assert light["status"] == "passed", light
    # Of the battery's own tests a few, since it has just run.
    words = ["-q", "-p", "no:cacheprovider", "tests", "-k", "test_tfixup or finite or loaded or same_seed"]
    assert " passed" in passed(clean, "python", "-m", "pytest", *words, cwd=tmp_path, **env)
    # None of our plugins is there to help.
    for name in ("initkit_gnn", "torch_geometric", "transformers"):
        assert clean.run("python", "-c", f"import {name}", **env).returncode != 0


def test_a_new_package_passes_as_it_stands(clean: Environment, tmp_path: Path) -> None:
    passed(clean, "initkit", "plugin", "new", "fresh", cwd=tmp_path)
    project = tmp_path / "initkit-fresh"
    env = installed(clean, project, tmp_path)
    out = passed(clean, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project, **env)
    assert " passed" in out


def test_forty_lines_and_three_commands_make_a_recipe(clean: Environment, tmp_path: Path) -> None:
    assert len((RECIPE + CARD).splitlines()) <= 40
    passed(clean, "initkit", "plugin", "new", "mine", cwd=tmp_path)
    package = tmp_path / "initkit-mine" / "src" / "initkit_mine"
    (package / "lecun.py").unlink()
    (package / "diagonal.py").write_text(RECIPE)
    door = (package / "plugin.py").read_text()
    card = re.search(r"^        Card\(\n.*?^        \),$", door, re.MULTILINE | re.DOTALL)
    assert card is not None
    (package / "plugin.py").write_text(door.replace(card[0], CARD))
    env = installed(clean, tmp_path / "initkit-mine", tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    out = passed(clean, "initkit", "apply", "--plugin", "mine", "model.py", cwd=tmp_path, **env)
    assert "1 times identity" in out
    assert (tmp_path / "model.safetensors").is_file()
