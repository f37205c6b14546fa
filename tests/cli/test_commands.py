"""``list``, ``show``, ``cite``, ``plugins``, ``--version`` and ``--help``: what they say, and what they import."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "pydantic", "safetensors"}
LIGHT_COMMANDS = [
    ("--help",),
    ("-h",),
    ("apply", "--help"),
    ("list",),
    ("list", "--json"),
    ("plugins",),
    ("plugins", "--json"),
    ("--version",),
    (),
]


@pytest.mark.parametrize("words", LIGHT_COMMANDS, ids=lambda words: " ".join(words))
def test_light_commands_import_nothing_heavy(cold, words):
    done = cold(*words, python=("-X", "importtime"), INITKIT_PLUGINS="fake,other")
    assert done.code == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert "initkit_cli.app" in imported
    assert not HEAVY & {name.partition(".")[0] for name in imported}


def test_list_names_recipes_and_what_could_be_installed(initkit):
    done = initkit("list")
    assert done.code == 0
    rows = [re.split(r"  +", line) for line in done.out.splitlines()]
    assert ["fake/small", "-", "Small normal weights."] in rows
    assert ["fake/needy", "signal,inputs?", "Asks for a signal."] in rows
    assert ["ssm", "pip install initkit-ssm"] in [row[:2] for row in rows]


def test_list_as_json(initkit):
    found = initkit("list", "--json").json
    assert [card["id"] for card in found["recipes"]][:2] == ["fake/convs", "fake/small"]
    assert {"name": "inputs", "required": False, "loader": None, "help": ""} in found["recipes"][2]["needs"]
    assert "pip install initkit-gnn" in [entry["install"] for entry in found["not_installed"]]


def test_an_installed_plugin_is_not_offered_for_installation(initkit):
    pytest.importorskip("initkit_gnn")
    found = initkit("list", "--json", INITKIT_PLUGINS="gnn").json
    assert "gnn" not in [entry["plugin"] for entry in found["not_installed"]]


def test_no_plugin_at_all(initkit):
    assert initkit("list", INITKIT_PLUGINS="").code == 0
    done = initkit("plugins", INITKIT_PLUGINS="")
    assert (done.code, done.out) == (0, "")
    assert initkit("plugins", "--json", INITKIT_PLUGINS="").json == {"plugins": []}


def test_plugins(initkit):
    done = initkit("plugins", INITKIT_PLUGINS="fake,broken")
    broken, fake = done.out.splitlines()
    assert fake.split()[:3] == ["fake", "initkit-fake", "1.5"]
    assert "initkit_recipes" in fake
    assert "BROKEN: import fails: ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in broken
    found = initkit("plugins", "--json", INITKIT_PLUGINS="fake,broken").json["plugins"]
    assert [plugin["name"] for plugin in found] == ["broken", "fake"]
    assert "a_module_that_is_not_there" in found[0]["broken"]
    assert found[1]["broken"] is None
    assert "fake/small" in found[1]["recipes"]


@pytest.mark.parametrize("name", ["fake/small", "small"])
def test_show(initkit, name):
    done = initkit("show", name)
    assert done.code == 0, done.err
    assert done.out.startswith("fake/small\n\nSmall normal weights.\n\nSource: A. Author")
    rows = [re.split(r"  +", line.strip()) for line in done.out.splitlines()]
    assert ["std", "0.02", "number", "> 0, <= 10"] in rows
    assert ["kind", '"plain"', "plain | fancy", "-"] in rows
    assert ["widths", "[]", "list of whole number", "-"] in rows
    assert ["transform", "null", "function (file.py:name) | null", "-"] in rows
    assert "bits elementwise: one seed, the same bits on every machine\nfrom initkit-fake 1.5\n" in done.out


def test_show_needs_and_json(initkit):
    assert "needs signal: what to fit\nneeds inputs (optional)\n" in initkit("show", "fake/needy").out
    found = initkit("show", "fake/small", "--json").json
    assert found["source"] == "A. Author, A paper on small weights, Journal 2020."
    assert {"name": "std", "type": "number", "range": "> 0, <= 10", "default": 0.02} in found["options"]
    assert (found["distribution"], found["version"]) == ("initkit-fake", "1.5")


def test_a_short_name_that_two_plugins_have(initkit):
    done = initkit("show", "small", INITKIT_PLUGINS="fake,other")
    assert done.code == 2
    assert "several plugins have a recipe 'small': fake/small, other/small" in done.err


def test_cite(initkit):
    done = initkit("cite", "fake/small")
    assert done.out == (
        "fake/small: A. Author, A paper on small weights, Journal 2020.\n\n"
        "@article{author2020small,\n  year = {2020}\n}\n"
    )
    assert initkit("cite", "fake/small", "--json").json["bibtex"] == ["@article{author2020small,\n  year = {2020}\n}"]
    assert initkit("cite", "fake/needy").code == 1


def test_version(initkit):
    lines = initkit("--version", INITKIT_PLUGINS="fake,broken").out.splitlines()
    assert re.fullmatch(r"initkit-core \d+\.\d+\.\d+", lines[0])
    assert re.fullmatch(r"initkit-cli \d+\.\d+\.\d+", lines[1])
    assert "initkit-fake 1.5" in lines
    assert "initkit-broken 1.5 (broken: see initkit plugins)" in lines
    assert lines[-1].startswith("torch ")


def test_versions_agree():
    import importlib.metadata

    import initkit_cli

    assert initkit_cli.__version__ == importlib.metadata.version("initkit-cli")


def test_piped_output_is_never_cut_wrapped_or_coloured(initkit):
    narrow = {"COLUMNS": "40", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    for words in (("list",), ("plugins",), ("show", "fake/small"), ("apply", "--recipe", "fake/small", "model.py")):
        wide, thin = initkit(*words, COLUMNS="400"), initkit(*words, "--force", **narrow) if "apply" in words else None
        thin = thin or initkit(*words, **narrow)
        assert thin.out == wide.out
        assert "\x1b" not in thin.out
        assert "…" not in thin.out


def _all_of(handle: int) -> bytes:
    data = b""
    while True:
        try:
            piece = os.read(handle, 65536)
        except OSError:  # the other end is closed
            return data
        if not piece:
            return data
        data += piece


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize("columns", [30, 80, 200])
def test_a_terminal_shows_ids_and_names_whole_at_any_width(environment, work, columns):
    import pty

    long = "a_layer_with_a_very_long_name_indeed"
    (work / "model.py").write_text(
        f"from torch import nn\nmodel = nn.ModuleDict(dict({long}=nn.Linear(2, 2)))\n", encoding="utf-8"
    )
    for words, wanted in (
        (["list"], ["fake/convs", "fake/small", "pip install initkit-tokenizer"]),
        (
            ["apply", "--recipe", "fake/small", "model.py"],
            [f"{long}.weight", f"{long}.bias", "wrote model.safetensors"],
        ),
    ):
        handle, far = pty.openpty()
        env = {**environment, "COLUMNS": str(columns), "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "initkit_cli", *words]
        with subprocess.Popen(command, cwd=work, env=env, stdin=far, stdout=far, stderr=far) as process:
            os.close(far)
            data = _all_of(handle)
        os.close(handle)
        assert process.returncode == 0, data.decode()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode())
        for word in wanted:
            assert word in text
        assert "\x1b[" in data.decode()


def test_help_is_the_same_at_any_width_of_a_pipe_and_cuts_no_option(initkit):
    text = initkit("apply", "--help", COLUMNS="30").out
    for option in ("--plugin", "--recipe", "--set-model", "--exclude", "--dry-run", "--output", "--weights", "--force"):
        assert re.search(rf"{option}\b", text)
    assert "executed" in text
    assert "seeded" in text


def test_json_with_help_is_help(initkit):
    done = initkit("apply", "--json", "--help")
    assert done.code == 0
    assert done.out.startswith("Usage: initkit apply")
