"""``--plugin ./mine.py``: plugins by their path, in every command that names plugins."""

from __future__ import annotations

import re

import pytest

MINE = '''
"""A plugin in one file, with a model to try it on."""

from dataclasses import dataclass
from initkit import Card, Fill, Normal, PlanError, Probe, Recipe, Verdict, hookimpl
from torch import nn

@hookimpl
def initkit_recipes():
    return [Card("small", "mine:Small", "Small weights.")]

@hookimpl
def initkit_probes():
    return [Probe("looked", "mine:looked", "Says that it looked.")]

def looked(scene):
    yield Verdict("PASS", "mine has looked")

@dataclass(frozen=True)
class Small(Recipe):
    """Small weights.

    Args:
        std: of the weights.

    Source: me.
    """

    std: float = 0.1

    def plan(self, model):
        found = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
        if not found:
            raise PlanError("no matrix")
        for name in found:
            yield Fill(name, Normal(self.std), why="small")

model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
'''


@pytest.fixture
def mine(write):
    return write("mine.py", MINE)


def test_a_single_file_is_applied_and_leaves_no_cache(initkit, mine, listing):
    done = initkit("apply", "--plugin", "./mine.py", "model.py", "--json")
    assert done.code == 0, done.err
    assert "plugin mine: taking its recipe mine/small" in done.err
    (recipe,) = done.json["recipes"]
    assert (recipe["id"], recipe["distribution"]) == ("mine/small", "mine.py")
    assert re.fullmatch(r"sha256-[0-9a-f]{12}", recipe["version"])
    assert listing() == ["mine.py", "model.py", "model.report.json", "model.safetensors"]


@pytest.mark.parametrize("words", [("--recipe", "small"), ("--recipe", "mine/small"), ()])
def test_recipes_of_a_file_are_named_as_others(initkit, mine, words):
    done = initkit("apply", "--dry-run", "--plugin", str(mine), *words, "--set", "std=.5", "model.py")
    assert done.code == 0, done.err
    assert "N(0, 0.5²)" in done.out


def test_list_show_and_cite_take_a_file(initkit, mine):
    assert initkit("list", "--plugin", "./mine.py").out.split() == ["mine/small", "-", "Small", "weights."]
    shown = initkit("show", "--plugin", "./mine.py", "small")
    assert shown.code == 0, shown.err
    assert "from mine.py sha256-" in shown.out
    assert initkit("cite", "--plugin", "mine.py", "mine/small").out == "mine/small: me.\n"


def test_inspect_and_compare_take_a_file(initkit, mine, write):
    write(
        "model.py",
        """
        import torch
        from torch import nn
        inputs = torch.ones(4, 3)
        def model():
            return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        def loss(model):
            return model(inputs).square().mean()
        """,
    )
    done = initkit("inspect", "--plugin", "./mine.py", "model.py")
    assert done.code == 0, done.err
    assert "mine has looked" in done.out
    done = initkit("compare", "--plugin", "./mine.py", "--steps", "2", "--seeds", "1", "model.py")
    assert done.code == 0, done.err
    assert "mine/small" in done.out


@pytest.mark.parametrize("door", ["plugin.py", "initkit_mine/plugin.py", "src/initkit_mine/plugin.py"])
def test_a_folder_is_a_plugin_too(initkit, write, door):
    place = f"project/{door}" if "/" in door else f"project/initkit_mine/{door}"
    cards, _, recipes = MINE.partition("@hookimpl\ndef initkit_probes")
    write(place, cards.replace("mine:Small", "initkit_mine.small:Small"))
    write(
        place.replace("plugin.py", "small.py"), cards.partition("@hookimpl")[0] + recipes[recipes.index("@dataclass") :]
    )
    write(place.replace("plugin.py", "__init__.py"), "")
    folder = "project" if "/" in door else "project/initkit_mine"
    done = initkit("apply", "--dry-run", "--plugin", f"./{folder}", "model.py", "--json")
    assert done.code == 0, done.err
    assert done.json["recipes"][0]["id"] == "mine/small"


MISTAKES = {
    "nine.py": (None, 2, "--plugin ./nine.py: there is no such file or folder; did you mean 'mine.py'?"),
    "syntax.py": (
        "x = (",
        1,
        "plugin ./syntax.py is broken: import fails: SyntaxError: '(' was never closed (syntax.py, line 1)",
    ),
    "missing.py": (
        "# one\n\nimport nowhere",
        1,
        "./missing.py is broken: import fails: ModuleNotFoundError: No module named 'nowhere' (missing.py, line 3)",
    ),
    "raises.py": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipes():\n    raise KeyError('oh')\n",
        1,
        "plugin ./raises.py is broken: initkit_recipes fails: KeyError: 'oh' (raises.py, line 4)",
    ),
    "hookless.py": ("x = 1", 1, "no function initkit_recipes marked with @hookimpl"),
    "stops.py": (
        "raise SystemExit(3)",
        1,
        "plugin ./stops.py is broken: import fails: SystemExit: 3 (stops.py, line 1)",
    ),
    "random.py": ("x = 1", 1, "plugin ./random.py: there is a module 'random' already; give the file another name"),
    "my-plugin.py": ("x = 1", 1, "the file's name is the plugin's, so it must be lower-case letters"),
    "fake.py": (MINE.replace("mine:", "fake:"), 1, "a plugin named 'fake' is there already, from initkit-fake 1.5"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_file_is_one_line(initkit, mine, write, name, listing):
    text, code, words = MISTAKES[name]
    if text is not None:
        write(name, text)
    before = listing()
    for command in (("apply", "model.py"), ("list",)):
        done = initkit(command[0], "--plugin", f"./{name}", *command[1:])
        assert done.code == code
        assert words in done.err
        assert len(done.err.splitlines()) == 1, done.err
        assert "Traceback" not in done.err
    assert listing() == before


def test_a_folder_without_or_with_several_plugins(initkit, write, work):
    (work / "empty").mkdir()
    done = initkit("list", "--plugin", "./empty")
    assert "the folder holds no plugin.py, src/PACKAGE/plugin.py or PACKAGE/plugin.py" in done.err
    for name in ("a", "b"):
        write(f"two/{name}/plugin.py", "")
    done = initkit("list", "--plugin", "./two")
    assert "the folder holds several plugins: a/plugin.py, b/plugin.py" in done.err


def test_a_broken_recipe_of_a_file_shows_its_frames(initkit, write):
    write("mine.py", MINE.replace('raise PlanError("no matrix")', "pass").replace("found = [", "oh = 1 / 0; found = ["))
    done = initkit("apply", "--plugin", "./mine.py", "model.py")
    assert done.code == 1
    assert "ZeroDivisionError" in done.err


def test_tracing_prints_hook_calls_and_strict_mode_stops(initkit, mine):
    for words, env in ((("--trace",), {}), ((), {"INITKIT_TRACE": "1"})):
        done = initkit(*words, "list", "--json", **env)
        assert done.code == 0
        assert done.json["recipes"]
        lines = done.err.splitlines()
        assert re.fullmatch(r"trace: load fake from fakeplug \[\d+\.\d\d ms\]", lines[0])
        assert re.fullmatch(r"trace: initkit_recipes\(\) asks fake: 1 result \(8\) \[\d+\.\d\d ms\]", lines[1])
    done = initkit("--trace", "inspect", "--plugin", "./mine.py", "--recipe", "small", "model.py")
    assert "trace: load mine from mine [" in done.err
    assert "trace: initkit_probes() asks mine: 1 result (1) [" in done.err
    done = initkit("list", INITKIT_PLUGINS="fake,broken", INITKIT_STRICT="1")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: INITKIT_STRICT is set, and there are broken plugins: broken (initkit-broken 1.5): import fails: "
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there' (brokenplug.py, line 1)\n"
    )
    assert initkit("list", INITKIT_PLUGINS="fake,broken", INITKIT_STRICT="0").code == 0
    assert initkit("list", INITKIT_PLUGINS="fake", INITKIT_STRICT="1").code == 0
