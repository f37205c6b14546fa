"""The parts of the command line that need no process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from annotated_types import Ge, Gt, Len, Lt

from initkit.errors import FileError, InitError
from initkit_cli import describe, render, tables
from initkit_cli.device import check_device
from initkit_cli.failures import Failure, UsageError, UserCodeError, failure_of
from initkit_cli.options import Setting, Takes, assign, parse_pair, parse_setting, parse_value
from initkit_cli.output import Outputs
from initkit_cli.selection import Choice, choose, default_card, find_card, mentions
from initkit_cli.target import execute, find_model, parse_target

# --- options


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (".9", 0.9),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+2", 2.0),
        ("1e-3", 0.001),
        (".5e2", 50.0),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ('"3"', "3"),
        ("forward", "forward"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("[NaN]", "[NaN]"),
        ("", ""),
        (".", "."),
        ("1.2.3", "1.2.3"),
    ],
)
def test_values_are_json_if_they_parse_else_text(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_settings_are_read():
    assert parse_setting("r_min=.9") == Setting("", "r_min", ".9")
    assert parse_setting("lru.r_min=.9") == Setting("lru", "r_min", ".9")
    assert parse_setting("ssm/lru.r_min=a=b.c") == Setting("ssm/lru", "r_min", "a=b.c")
    for text in ("x", "=1", " =1"):
        with pytest.raises(UsageError, match="write --set NAME=VALUE"):
            parse_pair(text, "--set")


def _assign(*texts: str, recipes: list[Takes]) -> list[dict[str, Any]]:
    return assign([parse_setting(text) for text in texts], recipes, lambda text: ("function", text))


def test_options_go_to_the_recipe_that_has_them():
    lru, scale = Takes("ssm/lru", {"r_min": False}), Takes("ssm/scale", {"gain": False, "rule": True})
    assert _assign("r_min=.9", "gain=2", recipes=[lru, scale]) == [{"r_min": 0.9}, {"gain": 2}]
    assert _assign("rule=f.py:g", recipes=[lru, scale]) == [{}, {"rule": ("function", "f.py:g")}]
    either = Takes("inr/siren", {"activation": True}, frozenset({"activation"}))
    assert _assign("activation=sine:30", recipes=[either]) == [{"activation": "sine:30"}]
    assert _assign('activation=["sine:300", "sine:30"]', recipes=[either]) == [{"activation": ["sine:300", "sine:30"]}]
    assert _assign("activation=f.py:g", recipes=[either]) == [{"activation": ("function", "f.py:g")}]
    other = Takes("x/lru", {"r_min": False})
    with pytest.raises(UsageError, match=r"write --set ssm/lru.r_min=... or --set x/lru.r_min=..."):
        _assign("r_min=.9", recipes=[lru, other])
    with pytest.raises(UsageError, match=r"write --set ssm/lru.r_min=... or --set x/lru.r_min=..."):
        _assign("lru.r_min=.9", recipes=[lru, other])
    assert _assign("x/lru.r_min=.9", recipes=[lru, other]) == [{}, {"r_min": 0.9}]
    assert _assign("r_min=.9", recipes=[lru, lru]) == [{"r_min": 0.9}, {"r_min": 0.9}]
    short = Takes("ssm/ring", {"r_min": False})
    with pytest.raises(UsageError, match=r"write --set lru.r_min=... or --set ring.r_min=..."):
        _assign("r_min=.9", recipes=[lru, short])
    with pytest.raises(UsageError, match="has no option 'gain'; there are none"):
        _assign("gain=1", recipes=[Takes("a/b", {})])


# --- selection


@dataclass
class FakeCard:
    id: str
    found: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]

    def claims(self, model: object) -> list[str]:
        return list(self.found)


@dataclass
class FakePlugin:
    name: str
    cards: list[FakeCard]
    cause: str | None = None


@dataclass
class FakeRegistry:
    plugins: list[FakePlugin] = field(default_factory=list)

    def cards(self) -> list[FakeCard]:
        return [card for plugin in self.plugins for card in plugin.cards]

    def plugin(self, name: str) -> FakePlugin:
        found = next(plugin for plugin in self.plugins if plugin.name == name)
        if found.cause:
            raise InitError(found.cause)
        return found


REGISTRY = FakeRegistry(
    [
        FakePlugin("gnn", [FakeCard("gnn/virgo"), FakeCard("gnn/xavier", ("w",))]),
        FakePlugin("ssm", [FakeCard("ssm/s4d"), FakeCard("ssm/scale"), FakeCard("ssm/xavier")]),
        FakePlugin("bad", [], cause="bad is broken"),
    ]
)


def P(name: str) -> tuple[str, str]:
    return "plugin", name


def R(name: str) -> tuple[str, str]:
    return "recipe", name


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ([P("gnn")], ["gnn/"]),
        ([P("gnn"), R("virgo")], ["gnn/virgo"]),
        ([R("gnn/virgo")], ["gnn/virgo"]),
        ([P("gnn"), R("gnn/virgo")], ["gnn/virgo"]),
        ([P("gnn"), R("ssm/s4d")], ["gnn/", "ssm/s4d"]),
        ([P("gnn"), P("ssm"), R("s4d")], ["gnn/", "ssm/s4d"]),
        ([P("ssm"), R("s4d"), R("scale"), P("gnn"), R("virgo")], ["ssm/s4d", "ssm/scale", "gnn/virgo"]),
        ([P("gnn"), R("xavier"), P("ssm"), R("xavier")], ["gnn/xavier", "ssm/xavier"]),
        ([R("virgo"), P("gnn")], ["gnn/virgo"]),
        ([P("gnn"), P("gnn")], ["gnn/"]),
        ([R("gnn/virgo"), R("gnn/virgo")], ["gnn/virgo", "gnn/virgo"]),
    ],
)
def test_choices_in_order(said, chosen):
    found = choose(REGISTRY, said)
    assert [f"{choice.plugin}/{choice.recipe}" for choice in found] == chosen


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], "say what to apply"),
        ([P("gnm")], "there is no plugin 'gnm'; did you mean 'gnn'"),
        ([P("inr")], "install it with: pip install initkit-inr"),
        ([P("gnn"), R("vigro")], "plugin 'gnn' has no recipe 'vigro'; did you mean 'virgo'"),
        ([P("gnn"), R("s4d")], "plugin 'gnn' has no recipe 's4d'"),
        ([R("virgo")], "write --recipe gnn/virgo"),
        ([R("xavier"), P("gnn"), P("ssm")], "several plugins have it; write gnn/xavier, ssm/xavier"),
        ([R("nothing")], "there is no recipe 'nothing'"),
        ([R("gnn/")], "has no recipe ''"),
    ],
)
def test_wrong_choices(said, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        choose(REGISTRY, said)


def test_a_broken_plugin_is_refused_with_its_cause():
    with pytest.raises(InitError, match="bad is broken"):
        choose(REGISTRY, [P("bad")])


def test_no_plugin_is_installed(monkeypatch):
    monkeypatch.delenv("INITKIT_PLUGINS", raising=False)
    with pytest.raises(UsageError, match="no plugin is installed"):
        choose(FakeRegistry(), [])
    monkeypatch.setenv("INITKIT_PLUGINS", "")
    with pytest.raises(UsageError, match="selects the plugins that are seen"):
        choose(FakeRegistry(), [P("gnn")])


def test_cards_by_id_and_by_short_name():
    assert find_card(REGISTRY, "virgo").id == "gnn/virgo"
    assert find_card(REGISTRY, "ssm/xavier").id == "ssm/xavier"
    with pytest.raises(UsageError, match="several plugins have a recipe 'xavier'"):
        find_card(REGISTRY, "xavier")


def test_the_default_is_the_first_card_that_claims():
    assert default_card(REGISTRY.plugins[0], object()).id == "gnn/xavier"
    with pytest.raises(InitError, match=r"tried ssm/s4d, ssm/scale, ssm/xavier"):
        default_card(REGISTRY.plugins[1], object())


def test_mentions_keep_the_order_of_the_command_line():
    words = [
        "apply",
        "-o",
        "--recipe",
        "--plugin",
        "a",
        "--recipe=x",
        "--json",
        "--plugin",
        "b",
        "--set",
        "--plugin=1",
        "m.py",
        "--recipe",
        "y",
    ]
    assert mentions(words, ["a", "b"], ["x", "y"]) == [P("a"), R("x"), P("b"), R("y")]
    assert mentions(["?"], ["a"], ["x"]) == [P("a"), R("x")]


def test_a_choice_without_a_recipe_is_the_default():
    assert Choice("gnn").recipe == ""


# --- target


def test_targets_are_read(work):
    assert parse_target("model.py").stem == "model"
    assert parse_target("model.py:Net.small").builder == "Net.small"
    assert parse_target(str(work / "model.py")).file == work / "model.py"
    found = parse_target("package.module:build")
    assert (found.file, found.builder, found.stem) == (None, "build", "module")
    for text in ("nofile.py", "a b", "x/y", ""):
        with pytest.raises(UsageError):
            parse_target(text)


def _model(write: Callable[[str, str], Path], text: str, builder: str = "", **arguments: Any) -> Any:
    write("model.py", "import functools\nfrom torch import nn\n" + text)
    target = parse_target("model.py" + (f":{builder}" if builder else ""))
    return find_model(execute(target), target.builder, arguments, needs={"teacher"})


@pytest.mark.parametrize(
    ("text", "builder", "width"),
    [
        ("model = nn.Linear(1, 5)", "", 5),
        ("def model(): return nn.Linear(1, 5)", "", 5),
        ("class Net(nn.Linear):\n    def __init__(self): super().__init__(1, 5)\nmodel = Net", "", 5),
        ("model = functools.partial(nn.Linear, 1, 5)", "", 5),
        ("def build_model(): return nn.Linear(1, 5)\ndef build(): return nn.Linear(1, 6)", "", 5),
        ("def build(): return nn.Linear(1, 5)", "", 5),
        ("model = None\ndef build(): return nn.Linear(1, 5)", "", 5),
        ("import json as model\nnet = nn.Linear(1, 5)", "", 5),
        ("net = nn.Linear(1, 5)", "", 5),
        ("net = nn.Linear(1, 5)\nsame = net", "", 5),
        ("net = nn.Linear(1, 5)\nloss = nn.MSELoss()", "", 5),
        ("net = nn.Linear(1, 5)\nteacher = nn.Linear(1, 6)", "", 5),
        ("net = nn.Linear(1, 5)\n_hidden = nn.Linear(1, 6)", "", 5),
        ("class Net(nn.Linear):\n    def __init__(self): super().__init__(1, 5)", "", 5),
        ("model = nn.Linear(1, 6)\ndef other(): return nn.Linear(1, 5)", "other", 5),
        ("class Zoo:\n    @staticmethod\n    def small(): return nn.Linear(1, 5)", "Zoo.small", 5),
    ],
)
def test_the_model_is_found(write, text, builder, width):
    assert _model(write, text, builder).out_features == width


def test_an_estimator_and_a_folder_are_subjects(write, work):
    text = "class E:\n    def fit(self): ...\n    def get_params(self): ...\nestimator = E()\n"
    assert type(_model(write, text)).__name__ == "E"
    (work / "checkpoint").mkdir()
    assert _model(write, "model = 'checkpoint'") == work / "checkpoint"


def test_arguments_reach_the_builder(write):
    text = "def model(a, *, b=1, **more): return nn.Linear(a, b + more.get('c', 0))"
    assert _model(write, text, a=2, c=3).out_features == 4
    with pytest.raises(UsageError, match=r"must be given a: --set-model a=VALUE"):
        _model(write, text)
    with pytest.raises(UsageError, match="takes no arguments"):
        _model(write, "model = nn.Linear(1, 1)", a=1)


def test_two_classes_are_two_candidates(write):
    with pytest.raises(UsageError, match="several models: A, B; say which: model.py:A"):
        _model(write, "class A(nn.Module): ...\nclass B(nn.Module): ...\n")


def test_a_file_that_bears_the_name_of_a_library_can_import_it(write):
    write("rich.py", "from rich.table import Table\nimport helper\nmodel = helper.x\n")
    write("helper.py", "x = 3\n")
    assert execute(parse_target("rich.py")).get("model") == 3


def test_the_folder_is_on_the_path_during_loading_only(write, work):
    import sys

    write("model.py", "import sys\nseen = sys.path[0]\nname = __name__\n")
    names = execute(parse_target("model.py"))
    assert names.get("seen") == str(work)
    assert str(work) not in sys.path
    assert names.get("name") == "initkit_model_model"


# --- output


def test_default_and_named_outputs(work):
    assert Outputs.of(None, "gnn").report == Path("gnn.report.json")
    assert Outputs.of("out/m.safetensors", "gnn").report == Path("out/m.report.json")


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)

    return write


def _fails(path: Path) -> None:
    path.write_text("half")
    raise FileError(f"cannot write {path}: No space left on device")


def test_both_files_or_neither(work, listing):
    outputs = Outputs.of("new/m.safetensors", "m")
    outputs.prepare()
    with pytest.raises(FileError, match=r"cannot write new/m.report.json: No space left"):
        outputs.write(_text("tensors"), _fails, force=False)
    outputs.discard()
    assert listing() == ["model.py"]
    outputs.prepare()
    outputs.write(_text("tensors"), _text("report"), force=False)
    outputs.discard()
    assert listing() == ["model.py", "new", "new/m.report.json", "new/m.safetensors"]
    assert "already written" in outputs.fate()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_second_move_that_fails_undoes_the_first(work, listing, monkeypatch, error):
    import os

    outputs = Outputs.of("m.safetensors", "m")
    outputs.write(_text("old tensors"), _text("old report"), force=False)
    real, moves = os.replace, []

    def replace(source: Any, place: Any) -> None:
        moves.append(place)
        if len(moves) == 2:
            raise error
        real(source, place)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises((FileError, KeyboardInterrupt)):
        outputs.write(_text("new tensors"), _text("new report"), force=True)
    assert Path("m.safetensors").read_text() == "old tensors"
    assert Path("m.report.json").read_text() == "old report"
    moves.clear()
    other = Outputs.of("n.safetensors", "n")
    with pytest.raises((FileError, KeyboardInterrupt)):
        other.write(_text("new tensors"), _text("new report"), force=False)
    assert listing() == ["m.report.json", "m.safetensors", "model.py"]


def test_a_page_in_another_folder_that_cannot_be_moved_undoes_the_files_before_it(work, listing, monkeypatch):
    import os

    outputs = Outputs.of("out/m.safetensors", "m", "pages/m.html")
    outputs.prepare()
    real = os.replace

    def replace(source: Any, place: Any) -> None:
        if Path(place).suffix == ".html":
            raise OSError(28, "No space left on device")
        real(source, place)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(FileError, match="nothing was written"):
        outputs.write(_text("tensors"), _text("report"), _text("page"), force=False)
    outputs.discard()
    assert listing() == ["model.py"]
    monkeypatch.undo()
    os.chdir(work)
    outputs.prepare()
    outputs.write(_text("tensors"), _text("report"), _text("page"), force=False)
    assert listing() == ["model.py", "out", "out/m.report.json", "out/m.safetensors", "pages", "pages/m.html"]
    assert outputs.fate() == "out/m.safetensors, out/m.report.json and pages/m.html were already written"


def test_a_file_that_appears_during_the_work_is_not_overwritten(work):
    outputs = Outputs.of("m.safetensors", "m")
    outputs.check(force=False)
    Path("m.report.json").write_text("somebody's")
    with pytest.raises(UsageError, match="exists"):
        outputs.write(_text("tensors"), _text("report"), force=False)
    assert Path("m.report.json").read_text() == "somebody's"
    assert not Path("m.safetensors").exists()


# --- failures, device


def test_failures():
    assert failure_of(UsageError("two\nlines")) == Failure(2, "usage", "two lines")
    assert failure_of(InitError("x")) == Failure(1, "work", "x")
    found = failure_of(UserCodeError("head", ("frame",), "hint"))
    assert found == Failure(1, "user code", "head", ("frame", "hint"))
    assert failure_of(RuntimeError("bug")) is None
    assert failure_of(ValueError("bug")) is None


def test_devices():
    import torch

    assert check_device("auto") == "auto"
    assert check_device("cpu") == "cpu"
    for text in ("gpu", "cuda:", "cuda:x", "cpu:0", "", "meta", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(UsageError, match="--device"):
            check_device(text)


# --- describe


@pytest.mark.parametrize(
    ("hint", "words", "bounds"),
    [
        (float, "number", ""),
        (Annotated[float, Gt(0), Lt(1)], "number", "> 0, < 1"),
        (Annotated[int, Ge(1)] | None, "whole number | null", ">= 1"),
        (Optional[str], "text | null", ""),  # noqa: UP045
        (Literal["a", "b"], "a | b", ""),
        (tuple[float, ...], "list of number", ""),
        (tuple[float, int], "[number, whole number]", ""),
        (Annotated[list[str], Len(1, 3)], "list of text", "at least 1 long, at most 3 long"),
        (dict[str, float], "object", ""),
        (Callable[[float], float], "function (file.py:name)", ""),
        (bool, "true or false", ""),
    ],
)
def test_types_in_words(hint, words, bounds):
    assert describe.words(hint) == words
    assert describe.bounds(hint) == bounds


def test_options_of_a_class():
    @dataclass(frozen=True)
    class Thing:
        """Do a thing.

        Source: First line,
            second line.

        More.
        """

        must: int
        rule: Callable[[float], float] | None = None
        widths: tuple[int, ...] = (1, 2)
        bibtex = ("  @a{}\n", "")

    thing: Any = Thing
    must, rule, widths = describe.options_of(thing)
    assert (must.required, must.shown_default) == (True, "(must be set)")
    assert (rule.takes_function, rule.shown_default) == (True, "null")
    assert widths.to_dict() == {"name": "widths", "type": "list of whole number", "range": None, "default": [1, 2]}
    assert describe.source_of(thing) == "First line, second line."
    assert describe.bibtex_of(thing) == ["@a{}"]
    assert describe.source_of(functools.partial) == ""


# --- tables


def test_plain_rows_are_one_line_each_in_columns():
    assert render.plain([("a", "", "x  y"), ("bbb", "c", "")]) == ["a    -  x  y", "bbb  c  -"]
    assert render.plain([]) == []


ENTRY = {"shape": [4, 3], "draw": "N(0, 1)", "why": "w", "std": 1.23456}


def test_rows_of_a_report():
    report = {
        "tensors": {
            "a": ENTRY,
            "b": ENTRY | {"frozen": True, "aliases": ["c"], "resized_from": [2], "chain": [{"recipe": "x/y"}]},
            "s": ENTRY | {"shape": [], "std": None, "why": "", "frozen": True},
        },
        "outputs": {"proto": ENTRY},
        "set": [{"path": "m.omega", "value": 30, "why": "o"}],
        "kept": {"k": "on purpose"},
        "untouched": ["u"],
    }
    assert tables.report_rows(report) == [
        ("a", "4×3", "N(0, 1)", "1.235", "w"),
        ("b", "4×3", "N(0, 1)", "1.235", "w (frozen; tied with c; resized from 2; after x/y)"),
        ("s", "scalar", "N(0, 1)", "", "frozen"),
        ("outputs/proto", "4×3", "N(0, 1)", "1.235", "w"),
        ("m.omega", "", "set to 30", "", "o"),
        ("k", "", "kept", "", "on purpose"),
        ("u", "", "untouched", "", ""),
    ]


def test_rows_of_a_plan():
    plan = {
        "items": [
            {"kind": "fill", "name": "a", "shape": [2], "draw": "0", "why": "w", "resize": [3], "frozen": True},
            {"kind": "keep", "name": "k", "why": "y"},
            {"kind": "set", "path": "p", "value": 1, "why": "s"},
            {"kind": "output", "name": "o", "shape": None, "draw": "d", "why": "z"},
            {"kind": "job", "name": "j", "words": "works"},
        ],
        "untouched": ["u"],
    }
    assert tables.plan_rows(plan) == [
        ("a", "2→3", "0", "w (frozen)"),
        ("k", "", "kept", "y"),
        ("p", "", "set to 1", "s"),
        ("outputs/o", "", "d", "z"),
        ("job:j", "", "job", "works"),
        ("u", "", "untouched", ""),
    ]


def test_notes(capsys):
    notes = {"rows": [{"a": 1, "b": 0.123456}] * 14, "pairs": {"k": None}, "text": "word", "none": []}
    report = {"tensors": {}, "outputs": {}, "set": [], "kept": {}, "untouched": [], "notes": notes}
    tables.show_report(report | {"recipes": [{"id": "x/y"}], "covered": 0.5, "subject": "Net", "seed": 1})
    out = capsys.readouterr().out
    assert "rows:\na  b\n1  0.12346\n" in out
    assert "... and 2 more rows, in the report" in out
    assert "pairs:\nk  -\n" in out
    assert "text:\nword\n" in out
    assert "done: x/y filled 50.0% of the parameters of Net with seed 1\n" in out
