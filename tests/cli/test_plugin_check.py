"""``initkit plugin check``: the battery on a plugin's recipes, with every reason."""

from __future__ import annotations

import re

import pytest

PLUGIN = '''
from dataclasses import dataclass
from initkit import Card, Fill, Normal, PlanError, Recipe, hookimpl
from torch import nn

@hookimpl
def initkit_recipes():
    return [
        Card("good", "mine:Good", "Small weights."),
        Card("bad", "mine:Bad", "Small weights."),
        Card("convs", "mine:Convs", "Small convolutions."),
        Card("fitted", "mine:Fitted", "Weights of the size of the inputs.", needs=["inputs"]),
    ]

class Base(Recipe):
    KIND = nn.Linear

    def layers(self, model):
        found = [name for name, module in model.named_modules() if isinstance(module, self.KIND)]
        if not found:
            raise PlanError("no layer of its kind")
        return found

@dataclass(frozen=True)
class Good(Base):
    """Small weights.

    Source: me.
    """

    def plan(self, model):
        for name in self.layers(model):
            yield Fill(f"{name}.weight", Normal(0.1), why="small")

@dataclass(frozen=True)
class Bad(Good):
    """Small weights.

    Source: me.
    """

    def plan(self, model):
        model.eval()
        yield from super().plan(model)

@dataclass(frozen=True)
class Convs(Good):
    """Small convolutions.

    Source: me.
    """

    KIND = nn.Conv2d

@dataclass(frozen=True)
class Fitted(Base):
    """Weights of the size of the inputs.

    Source: me.
    """

    def plan(self, model, *, inputs):
        for name in self.layers(model):
            yield Fill(f"{name}.weight", Normal(float(inputs.abs().mean())), why="as the inputs")
'''
MODEL = """
import torch
from torch import nn
inputs = torch.ones(2, 3)
def model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
"""


@pytest.fixture
def mine(write):
    write("net.py", MODEL)
    return write("mine.py", PLUGIN)


def test_every_result_is_told_and_a_failure_ends_with_1(initkit, mine):
    done = initkit("plugin", "check", "mine.py", "--model", "net.py", "--all")
    assert done.code == 1, done.err
    rows = [re.split(r"  +", line) for line in done.out.splitlines()]
    assert rows[0] == ["recipe", "ran", "failed", "skipped"]
    assert rows[1][0] == "mine/good"
    assert int(rows[1][1]) >= 38
    assert rows[1][2] == "0"
    failed = [row[:3] for row in rows if row[2:3] == ["failed"] and row[0] != "recipe"]
    assert ["mine/bad", "modes_are_left", "failed"] in failed
    assert {row[0] for row in failed} == {"mine/bad"}
    skipped = [row for row in rows if row[2:3] == ["skipped"] and row[0] != "recipe"]
    assert skipped
    assert all(len(row) == 4 and row[3] for row in skipped)
    assert ["mine/good", "missing_data_is_named", "skipped", "the recipe needs no data"] in skipped
    assert re.search(r"mine/good +values_are_finite +passed +No NaN, no infinity\.", done.out)
    assert "not checked: mine/convs: no layer of its kind" in done.out
    assert re.search(
        r"^mine: 3 of 4 recipes checked: \d+ checks ran, \d+ failed, \d+ were skipped$", done.out, re.MULTILINE
    )


def test_a_file_that_defines_a_model_needs_no_other(initkit, write):
    write("mine.py", PLUGIN + "\nimport torch\ninputs = torch.ones(2, 3)\nmodel = nn.Sequential(nn.Linear(3, 2))\n")
    done = initkit("plugin", "check", "./mine.py", "--recipe", "fitted", "--json")
    assert done.code == 0, done.err + done.out
    found = done.json
    assert found["plugin"] == "mine"
    assert found["ok"]
    assert found["failed"] == 0
    (recipe,) = found["recipes"]
    assert recipe["recipe"] == "mine/fitted"
    assert found["ran"] == recipe["ran"]
    assert recipe["ran"] + recipe["skipped"] == len(recipe["results"]) >= 25
    by_name = {one["check"]: one for one in recipe["results"]}
    assert by_name["missing_data_is_named"]["status"] == "passed"
    assert by_name["values_are_finite"]["promise"] == "No NaN, no infinity."


def test_a_plugin_of_which_nothing_can_be_checked_does_not_pass(initkit, write):
    write("mine.py", PLUGIN + "\nmodel = nn.Sequential(nn.Linear(3, 2))\n")
    done = initkit("plugin", "check", "./mine.py", "--recipe", "convs")
    assert done.code == 1
    assert "mine: 0 of 1 recipes checked" in done.out


def test_an_installed_plugin_is_checked_on_the_model_that_is_given(initkit, work):
    done = initkit("plugin", "check", "fake", "--model", "model.py", "--recipe", "fake/small", "--json")
    assert done.code == 1
    failed = {one["check"] for one in done.json["recipes"][0]["results"] if one["status"] == "failed"}
    assert failed == {"docstring_explains_every_option", "bibtex_parses"}


MISTAKES = {
    ("nope",): (2, "there is no plugin 'nope'"),
    ("ssm",): (2, "plugin 'ssm' is not installed (INITKIT_PLUGINS=fake selects the plugins that are seen); "),
    ("./nowhere",): (2, "./nowhere: there is no such file or folder"),
    ("fake",): (2, "plugin 'fake' brings no model to be checked on"),
    ("fake", "--model", "nine.py"): (2, "there is no file nine.py"),
    ("fake", "--model", "model.py", "--recipe", "smal"): (
        2,
        "plugin 'fake' has no recipe 'smal'; did you mean 'small'",
    ),
    ("./syntax",): (
        1,
        "plugin ./syntax is broken: import fails: SyntaxError: '(' was never closed (plugin.py, line 1)",
    ),
    ("./syntax.py",): (1, "SyntaxError: '(' was never closed (syntax.py, line 1)"),
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(initkit, write, words):
    write("syntax/src/initkit_syn/plugin.py", "x = (")
    write("syntax.py", "x = (")
    code, message = MISTAKES[words]
    done = initkit("plugin", "check", *words)
    assert done.code == code, done.err
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_the_group_alone_is_its_help_and_a_misprint_is_told(initkit):
    done = initkit("plugin")
    assert done.code == 0
    assert "Run the conformance battery" in done.out
    done = initkit("plugin", "chekc", "fake")
    assert done.code == 2
    assert "no such command 'chekc'; did you mean 'check'?" in done.err
