"""Every command's help has examples that parse, the shell completes names, and none of it imports torch."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from initkit_cli.app import COMMANDS, command
from initkit_cli.commands import _shared

EVERY = [(name,) for name in COMMANDS if name != "plugin"] + [("plugin", "new"), ("plugin", "check")]


def helped(cold_or_not, *words):
    done = cold_or_not(*words, "--help")
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_help_has_an_example_that_parses(initkit, monkeypatch, words):
    text = helped(initkit, *words)
    _, heading, examples = text.partition("Example")
    assert heading, text
    found = re.findall(r"^  (initkit .*)$", examples, re.MULTILINE)
    assert found, text
    monkeypatch.setattr(_shared, "adopted", lambda word: word)  # there is no file of that name
    for line in found:
        program, *rest = shlex.split(line)
        assert tuple(rest[: len(words)]) == words
        root = command()
        context = root.make_context(program, list(rest))
        while getattr(context.command, "list_commands", None) is not None:
            name, found_command, left = context.command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            context = found_command.make_context(name, left, parent=context)
        assert context.command.name == words[-1]


def complete(environment, words: str, **env: str) -> list[str]:
    number = len(shlex.split(words)) - (0 if words.endswith(" ") else 1)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "initkit_cli"],
        env={
            **environment,
            "_INITKIT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(number),
            **env,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "initkit_cli" in imported
    assert not {"torch", "numpy"} & imported
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("initkit re", ["recommend"]),
        ("initkit plugin ", ["new", "check"]),
        ("initkit show fake/s", ["fake/small", "fake/slow"]),
        ("initkit cite other/sm", ["other/small"]),
        ("initkit apply --plugin f", ["fake"]),
        ("initkit apply --plugin fake --recipe sm", ["small"]),
        ("initkit apply --recipe fake/sm", ["fake/small"]),
        ("initkit list --plugin o", ["other"]),
        ("initkit plugin check fa", ["fake"]),
        ("initkit apply --dry", ["--dry-run"]),
    ],
)
def test_the_shell_completes_names(environment, words, wanted):
    assert complete(environment, words, INITKIT_PLUGINS="fake,other") == wanted


def test_completion_survives_a_wrong_selection_and_paths(environment, work):
    assert complete(environment, "initkit show f", INITKIT_PLUGINS="nowhere") == []
    assert complete(environment, "initkit apply --plugin ./nothing.py --recipe fake/sm") == ["fake/small"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(environment, tmp_path, shell):
    env = {**environment, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    words = [sys.executable, "-m", "initkit_cli", "--install-completion", shell]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_INITKIT_COMPLETE" in path.read_text() for path in written), written
    shown = subprocess.run([*words[:-2], "--show-completion", shell], env=env, capture_output=True, text=True)
    assert "_INITKIT_COMPLETE=complete_" + shell in shown.stdout


def test_the_module_is_the_command(environment):
    done = subprocess.run(
        [sys.executable, "-m", "initkit_cli", "--version"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("initkit-core ")
    assert os.linesep in done.stdout or "\n" in done.stdout
