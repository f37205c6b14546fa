"""``initkit plugins`` shows every way to be broken, with distribution, version and cause, and the others go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = "from initkit import Card, hookimpl\n@hookimpl\ndef "
BROKEN = {
    "a_import": (
        "x = 1\nimport nowhere",
        "import fails: ModuleNotFoundError: No module named 'nowhere' (a_import.py, line 2)",
    ),
    "b_exit": ("import sys\nsys.exit(3)", "import fails: SystemExit: 3 (b_exit.py, line 2)"),
    "c_missing": (None, "import fails: ModuleNotFoundError: No module named 'c_missing'"),
    "d_misspelt": (
        HOOK + "initkit_recipe():\n    return []",
        "does not fit the hook specification: PluginValidationError: unknown hook 'initkit_recipe'",
    ),
    "e_argument": (
        HOOK + "initkit_recipes(model):\n    return []",
        "does not fit the hook specification: PluginValidationError: ",
    ),
    "f_raises": (
        HOOK + "initkit_recipes():\n    raise KeyError('oh')",
        "initkit_recipes fails: KeyError: 'oh' (f_raises.py, line 4)",
    ),
    "g_no_cards": (HOOK + "initkit_recipes():\n    return [1]", "it must return a list of initkit.Card, but holds int"),
    "h_syntax": ("def (", "import fails: SyntaxError: invalid syntax (h_syntax.py, line 1)"),
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with one plugin for each case, two of one name, and a healthy one."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, (source, _) in BROKEN.items():
        _install(folder, name, name, source)
    _install(folder, "twin", "twin_one", HOOK + "initkit_recipes():\n    return []", "first-twin")
    _install(folder, "twin", "twin_two", HOOK + "initkit_recipes():\n    return []", "second-twin")
    _install(folder, "sound", "sound", HOOK + "initkit_recipes():\n    return [Card('a', 'm:A', 'Words.')]")
    return folder


def _install(folder: Path, name: str, module: str, source: str | None, distribution: str = "") -> None:
    distribution = distribution or f"acme-{name.replace('_', '-')}"
    if source is not None:
        (folder / f"{module}.py").write_text(source)
    info = folder / f"{distribution.replace('-', '_')}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[initkit]\n{name} = {module}\n")


def run(site: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    env = {**environment, "PYTHONPATH": f"{site}{os.pathsep}{environment['PYTHONPATH']}"}
    env["INITKIT_PLUGINS"] = ",".join([*BROKEN, "twin", "sound"])
    return subprocess.run([sys.executable, "-m", "initkit_cli", *words], env=env, capture_output=True, text=True)


def test_every_case_is_listed_and_harms_nobody(site: Path, environment: dict[str, str]) -> None:
    found = {}
    listed = json.loads(run(site, environment, "plugins", "--json").stdout)["plugins"]
    for plugin in listed:
        found.setdefault(plugin["name"], []).append(plugin)
    for name, (_, cause) in BROKEN.items():
        (plugin,) = found[name]
        assert plugin["broken"].startswith(cause) or cause in plugin["broken"], plugin["broken"]
        assert (plugin["distribution"], plugin["version"]) == (f"acme-{name.replace('_', '-')}", "1.5")
        assert "\n" not in plugin["broken"]
    twins = found["twin"]
    assert [twin["distribution"] for twin in twins] == ["first-twin", "second-twin"]
    for twin in twins:
        assert twin["broken"] == (
            "several distributions offer a plugin 'twin': first-twin 1.5, second-twin 1.5; uninstall all but one"
        )
    assert found["sound"][0]["broken"] is None
    rows = run(site, environment, "plugins").stdout.splitlines()
    assert len(rows) == len(listed)
    for name, (_, cause) in BROKEN.items():
        (row,) = [row for row in rows if row.startswith(f"{name} ")]
        assert re.search(r" 1\.5 +BROKEN: ", row)
        assert cause in row
    done = run(site, environment, "list")
    assert done.returncode == 0
    assert done.stdout.startswith("sound/a  -  Words.\n")
    assert "plugin f_raises is broken: initkit_recipes fails: KeyError: 'oh'" in done.stderr
