"""Discovery: seven ways to be broken, none of which harms another plugin."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import initkit
from initkit import Card, Need, PluginError
from initkit.plugins import Registry, discover, registry

GOOD = """
from initkit import Card, hookimpl

@hookimpl
def initkit_recipes():
    return [Card("plain", "{module}_recipe:Plain", "Plain start.", needs=("inputs?",))]
"""

BROKEN = {
    "import error": ("import nowhere_to_be_found", "import fails: ModuleNotFoundError"),
    "exit at import": ("import sys; sys.exit(3)", "import fails: SystemExit: 3"),
    "missing module": (None, "import fails: ModuleNotFoundError"),
    "misspelt hook": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipe():\n    return []",
        "does not fit the hook specification",
    ),
    "argument not in the spec": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipes(model):\n    return []",
        "does not fit the hook specification",
    ),
    "hook raises": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipes():\n    raise KeyError('oh')",
        "initkit_recipes fails: KeyError",
    ),
    "no cards": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipes():\n    return ['gnn/virgo']",
        "must return a list of initkit.Card, but holds str",
    ),
    "no hook": ("x = 1", "no function initkit_recipes marked with @hookimpl"),
    "a text": (
        "from initkit import hookimpl\n@hookimpl\ndef initkit_recipes():\n    return 'gnn'",
        "must return a list of initkit.Card, not str",
    ),
    "one name twice": (
        "from initkit import Card, hookimpl\n@hookimpl\ndef initkit_recipes():\n    return [Card('a', 'm:A', 's')] * 2",
        "two cards share the name 'a'",
    ),
}


class Shelf:
    """A folder of fake distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, plugin: str, module: str, source: str | None) -> None:
        if source is not None:
            (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{distribution}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[initkit]\n{plugin} = {module}\n")

    def discover(self) -> Registry:
        distributions = importlib.metadata.distributions(path=[str(self.folder)])
        return discover(point for dist in distributions for point in dist.entry_points)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Shelf(tmp_path)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_harms_nobody_and_says_why(shelf: Shelf, case: str) -> None:
    source, words = BROKEN[case]
    module = "broken_" + case.replace(" ", "_")
    shelf.add("acme-broken", "broken", module, source)
    shelf.add("acme-good", "good", "good_plugin", GOOD.format(module="good_plugin"))
    found = shelf.discover()
    assert [card.id for card in found.cards()] == ["good/plain"]
    broken = found.plugins[0]
    assert broken.cause is not None
    assert words in broken.cause
    with pytest.raises(PluginError, match=r"plugin 'broken' \(acme-broken 1.5\) is broken: "):
        found.plugin("broken")


def test_two_distributions_of_one_name_are_both_refused(shelf: Shelf) -> None:
    for distribution in ("first", "second"):
        shelf.add(distribution, "same", f"plugin_{distribution}", GOOD.format(module="x"))
    shelf.add("acme-good", "good", "good_plugin_2", GOOD.format(module="good_plugin_2"))
    found = shelf.discover()
    assert [plugin.broken for plugin in found.plugins] == [False, True, True]
    assert "first 1.5, second 1.5" in str(found.plugins[1].cause)


def test_ctrl_c_at_import_is_not_swallowed(shelf: Shelf) -> None:
    shelf.add("acme", "stop", "stopping_plugin", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        shelf.discover()


def test_recipes_that_cannot_be_loaded_name_the_cause(shelf: Shelf) -> None:
    shelf.add("acme-good", "good", "good_plugin_3", GOOD.format(module="good_plugin_3"))
    card = shelf.discover().card("good/plain")
    with pytest.raises(PluginError, match=r"good/plain: cannot import good_plugin_3_recipe"):
        card.load()
    (shelf.folder / "good_plugin_3_recipe.py").write_text("Plain = 3")
    with pytest.raises(PluginError, match="no subclass of initkit.Recipe"):
        card.load()


def test_unknown_names_get_a_suggestion(shelf: Shelf) -> None:
    shelf.add("acme-good", "good", "good_plugin_4", GOOD.format(module="good_plugin_4"))
    found = shelf.discover()
    with pytest.raises(PluginError, match="did you mean 'good'"):
        found.plugin("godo")
    with pytest.raises(PluginError, match="did you mean 'plain'"):
        found.card("good/plan")
    with pytest.raises(PluginError, match="did you mean 'good/plain'"):
        found.card("plain")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Virgo", "m:A", "s"), "lower-case"),
        (("virgo", "m.A", "s"), "must read 'module:Class'"),
        (("virgo", "m:A", "two\nlines"), "one line"),
        (("virgo", "m:A", ""), "one line"),
        (("virgo", "m:A", "s", ("seed",)), "need 'seed'"),
        (("virgo", "m:A", "s", (), "exact"), "bits must be"),
    ],
)
def test_malformed_cards_are_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        Card(*arguments)  # type: ignore[arg-type]


def test_needs_are_read_from_words() -> None:
    card = Card("a", "m:A", "s", needs=("graph", "inputs?", Need("tokenizer", loader="m:load")))
    assert [(need.name, need.optional, need.loader) for need in card.needs] == [  # type: ignore[union-attr]
        ("graph", False, None),
        ("inputs", True, None),
        ("tokenizer", False, "m:load"),
    ]


def test_selection_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.cache_clear()
    monkeypatch.setenv("INITKIT_PLUGINS", "")
    try:
        assert initkit.recipes() == []
        registry.cache_clear()
        monkeypatch.setenv("INITKIT_PLUGINS", "gmm")
        with pytest.raises(PluginError, match="INITKIT_PLUGINS names gmm, which is not installed"):
            initkit.recipes()
    finally:
        monkeypatch.undo()
        registry.cache_clear()


def test_cards_hooks_and_errors_cost_no_torch_numpy_or_pydantic() -> None:
    code = (
        "import sys, initkit; initkit.recipes(); initkit.Card, initkit.hookimpl, initkit.InitError;"
        "print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_no_module_hides_a_function() -> None:
    for name in initkit.__all__:
        assert getattr(initkit, name) is not None
    modules = {path.stem for path in Path(initkit.__file__).parent.glob("*.py")}
    functions = {name for name in initkit.__all__ if name[0].islower()}
    assert not functions & modules
    with pytest.raises(AttributeError, match="nothing"):
        initkit.nothing  # noqa: B018
