"""The plugin's own module, which everybody imports who asks what there is."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from initkit.plugins import SELECT, STRICT, TRACE, registry
from initkit.testing.case import Case, Skip

_LOOK = """
import json, sys
for name in ("torch", "numpy", "pydantic"):
    sys.modules[name] = None  # importing it fails
from initkit.plugins import registry
plugin = registry().add(sys.argv[2]) if sys.argv[2] else registry().plugin(sys.argv[1])
cards = [[card.id, card.summary, [need.name for need in card.asked]] for card in plugin.cards]
heavy = sorted(name for name in sys.argv[3:] if sys.modules.get(name) is not None)
print(json.dumps({"cards": cards, "heavy": heavy}))
"""
_HEAVY = (
    "jax",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "tensorflow",
    "torchvision",
    "transformers",
)


def check_the_plugin_module_is_light(case: Case) -> None:
    """The cards can be read where torch, numpy and pydantic are missing, and the module imports nothing heavy."""
    card = case.card
    plugin = registry().plugin(card.plugin)
    if plugin.path is not None and os.path.isfile(plugin.path):
        raise Skip("a plugin that is one file holds cards and recipes together")
    found = _seen_from_outside(plugin.name, plugin.path or "", (*_HEAVY, card.target.partition(":")[0]))
    assert "error" not in found, f"reading the cards fails: {found.get('error')}"
    assert not found["heavy"], f"{plugin.module} imports {', '.join(found['heavy'])}; leave that to the recipe's module"
    said = [card.id, card.summary, [need.name for need in card.asked]]
    assert said in found["cards"], f"the card of {card.id} is another one in a fresh process"


def check_the_example_is_a_model_file(case: Case) -> None:
    """The file that the hook ``initkit_example`` names is there, parses, and defines a model."""
    plugin = registry().plugin(case.card.plugin)
    if "initkit_example" not in plugin.hooks:
        raise Skip("the plugin has no example")
    path = Path(str(registry().ask(plugin, "initkit_example")[0]))
    assert path.is_file(), f"initkit_example names {path.name}, which is no file of the package"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise AssertionError(f"{path.name}, line {error.lineno}: {error.msg}") from None
    assert {"model", "build_model", "build"} & set(_defined(tree)), f"{path.name} defines no name model"


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines or imports at its top."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


@functools.cache
def _seen_from_outside(plugin: str, path: str, modules: tuple[str, ...]) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key not in (STRICT, TRACE)}
    environment |= {SELECT: "" if path else plugin, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, plugin, path, *modules],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return dict(json.loads(done.stdout))
