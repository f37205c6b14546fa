"""The page: one file that needs nothing else, says everything, and escapes it."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

import torch
from torch import nn

import initkit
from initkit import Constant, FileError, Fill, InitError, Job, Keep, Normal, OptionError, Output, Recipe, Set
from initkit.page import histograms, numbers

EVIL = "</script><script>alert('x')</script>&<i>"
VOID = {"meta", "wbr", "br", "link", "img"}


class Reader(HTMLParser):
    """Elements, ids and text; that every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script") and data.strip():
            self.words.append((self.open[-1], data.strip()))

    @property
    def text(self) -> str:
        return " ".join(data for _, data in self.words)

    def headings(self, level: str) -> list[str]:
        return [data for tag, data in self.words if tag == level]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@dataclass(frozen=True)
class Everything(Recipe):
    """Every kind of item.

    Args:
        std: of the weights.
    """

    std: float = 0.25

    def plan(self, model: nn.Module) -> Iterator[Any]:
        yield Keep("spare", why=f"not for us {EVIL}")
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1:
                yield Fill(name, Normal(self.std), why=f"Var[w] = {self.std**2:.4g} {EVIL}")
            elif name.endswith("bias"):
                yield Fill(name, Constant(0.0), why="no offset")
        yield Set("omega", 30.0, why="frequency")
        yield Output("features", Normal(1.0), (20, 4), why="features of the nodes")

        def measure(ctx: Any) -> dict[str, Any]:
            ctx.note("factors", [{"layer": f"l{i}", "factor": i / 3, "none": None, "ok": True} for i in range(40)])
            ctx.note("words", f"just words {EVIL}")
            ctx.note("pairs", {"a": 1, "b": 0.5})
            return {}

        yield Job("measure", measure, "measures")


class Net(nn.Module):
    """Two layers that are tied, one that is frozen, and spare parts."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(blocks))
        self.head = nn.Linear(6, 3)
        self.tied = self.blocks[0]
        self.head.weight.requires_grad_(False)
        self.spare = nn.Parameter(torch.zeros(3))
        self.lonely = nn.Parameter(torch.zeros(3))
        self.phase = nn.Parameter(torch.zeros(4, 2, dtype=torch.complex64))
        self.omega = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = torch.tanh(block(x))
        out: torch.Tensor = self.head(x)
        return out


@pytest.fixture(scope="module")
def made() -> tuple[Net, initkit.Report]:
    torch.manual_seed(0)
    model = Net()
    return model, initkit.apply(model, Everything())


@pytest.fixture(scope="module")
def looked() -> initkit.Inspection:
    torch.manual_seed(0)
    return initkit.inspect(Net(), torch.randn(16, 6), recipes=Everything(), targets=torch.arange(16) % 3)


def comparison() -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    names = ("default", "x/a", f"x/b {EVIL}")
    for k, name in enumerate(names):
        for seed in range(5):
            losses: list[float | None] = [
                (2 + 0.1 * seed) * math.exp(-0.01 * (k + 1) * step) + 0.01 for step in range(200)
            ]
            diverged = 50 + seed if k == 2 and seed > 2 else None
            if diverged:
                losses = [*losses[:diverged], None]
            runs.append({"start": name, "seed": seed, "losses": losses, "score": None, "diverged_at": diverged})
    return {
        "format": 1,
        "subject": "Net",
        "steps": 200,
        "seeds": [0, 1, 2, 3, 4],
        "level": 0.3,
        "interrupted": True,
        "versions": {"torch": "0"},
        "starts": [{"name": name, "recipes": [] if name == "default" else [{"id": name}]} for name in names],
        "runs": runs,
        "table": [
            {"start": name, "step": step, "mean": 1 / step, "low": None, "high": None, "n": 1}
            for name in names[:2]
            for step in (1, 200)
        ],
        "summary": [
            {
                "start": name,
                "final": 0.5 if name != names[2] else None,
                "low": 0.4,
                "high": 0.6,
                "area": None,
                "steps_to_level": None,
                "reached": 0,
                "diverged": 0,
                "score": None,
                "score_low": None,
                "score_high": None,
            }
            for name in names
        ],
        "tests": [
            {
                "start": names[1],
                "against": "default",
                "measure": "loss",
                "difference": -0.1,
                "low": None,
                "high": None,
                "p": None,
                "wins": 1,
                "n": 1,
            }
        ],
        "verdicts": [{"level": "NOTE", "words": f"no difference {EVIL}", "where": names[1]}],
    }


def page(tmp_path: Path, **parts: Any) -> tuple[str, Reader]:
    path = tmp_path / "page.html"
    initkit.write_page(path, **parts)
    text = path.read_text(encoding="utf-8")
    return text, Reader(text)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="initkit-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def check(text: str, reader: Reader) -> None:
    """What must be true of every page."""
    # Nothing is fetched: the only addresses are names of namespaces, the only references lead into the page.
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text)
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    assert [attributes.get("type") for attributes in reader.of("script")] == ["application/json"]
    # Names of parts are unique, and what is referred to is there.
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"|aria-labelledby="([^"]+)"', text))
    assert {next(filter(None, names)) for names in wanted} <= set(ids)
    # Drawings have words, tables have heads, there is one title.
    assert all(svg.get("aria-label") for svg in reader.of("svg"))
    assert all(head.get("scope") for head in reader.of("th"))
    assert all(table.get("aria-label") for table in reader.of("table"))
    assert len(reader.headings("h1")) == 1
    assert reader.of("html")[0]["lang"] == "en"
    # What was given as text stays text.
    assert not reader.of("i")


def test_a_report_with_its_model(tmp_path: Path, made: tuple[Net, initkit.Report]) -> None:
    model, report = made
    text, reader = page(tmp_path, report=report, model=model)
    check(text, reader)
    assert reader.headings("h1") == ["Net"]
    assert reader.headings("h2") == ["Tensors", "Notes"]
    for words in ("std", "0.25", "omega", "30", "lonely", "just words", "frozen", "tied with tied.weight", "no offset"):
        assert words in reader.text
    names = [text.replace("<wbr>", "") for text in re.findall(r'<span class="name">(.*?)</span>', text)]
    assert names == [*report, "outputs/features"]
    smallest = report["head.weight"].min
    assert smallest is not None
    assert smallest < 0
    assert f"−{-smallest:#.4g}" in reader.text
    # Weights, complex ones and outputs have histograms; constants need none.
    sparks = [svg for svg in reader.of("svg") if svg["class"] == "spark"]
    assert len(sparks) == 5
    data = data_of(text)
    assert data["report"] == report.to_dict()
    assert sum(data["histograms"]["head.weight"]["counts"]) == 18
    assert sum(data["histograms"]["phase"]["counts"]) == 16  # by components
    assert sum(data["histograms"]["outputs/features"]["counts"]) == 80
    # A long table is folded, and says how much.
    assert "20 more rows" in reader.text


def test_the_same_work_gives_the_same_bytes(
    tmp_path: Path, made: tuple[Net, initkit.Report], looked: initkit.Inspection
) -> None:
    model, report = made
    parts = {"report": report, "model": model, "inspection": looked, "comparison": comparison()}
    first, _ = page(tmp_path, **parts)
    second, _ = page(tmp_path, **parts)
    assert first == second
    assert not re.search(r"20\d\d-\d\d-\d\d", first)


def test_histograms_show_the_report_s_values_and_no_others(tmp_path: Path) -> None:
    model = Net()
    report = initkit.apply(model, Everything())
    with torch.no_grad():
        model.head.weight.zero_()
    text, reader = page(tmp_path, report=report, model=model)
    assert "head.weight" not in data_of(text)["histograms"]
    assert "1 changed since it was written" in reader.text


def test_a_parametrised_tensor_is_drawn_as_it_is_computed(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Normed(Recipe):
        """One weight."""

        def plan(self, model: nn.Module) -> Iterator[Any]:
            yield Fill("weight", Normal(0.3), why="normed")

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(5, 7))
    text, _ = page(tmp_path, report=initkit.apply(layer, Normed()), model=layer)
    assert sum(data_of(text)["histograms"]["weight"]["counts"]) == 35


def test_many_tensors_are_folded_and_the_rest_of_the_histograms_counted(tmp_path: Path) -> None:
    model = Net(blocks=100)
    report = initkit.apply(model, Everything())
    text, reader = page(tmp_path, report=report, model=model)
    check(text, reader)
    assert len(data_of(text)["histograms"]) == histograms.MOST_TENSORS
    assert "43 more tensors not drawn" in reader.text  # 100 blocks, head, phase and features are 103
    assert f"{len(report) + 1 - 20} more tensors" in reader.text
    assert len(text) < 10**6


def test_an_inspection_before_and_after(tmp_path: Path, looked: initkit.Inspection) -> None:
    text, reader = page(tmp_path, inspection=looked)
    check(text, reader)
    assert reader.headings("h2")[:3] == ["How it starts", "Signal and gradient by layer", "Over depth"]
    assert "Tensors" in reader.headings("h2")  # the report of the recipes that were tried
    assert reader.headings("h3")[:2] == ["Before", "After"]
    for verdict in (*looked.verdicts, *(looked.before.verdicts if looked.before else ())):
        assert verdict.words in reader.text
    charts = [str(svg["aria-label"]) for svg in reader.of("svg") if svg["class"] == "chart"]
    assert charts[0].startswith("Lines: signal: mean z² by layer. before: from")
    assert "after: from" in charts[0]
    assert data_of(text)["inspection"] == looked.to_dict()


def test_an_inspection_alone_and_without_inputs(tmp_path: Path) -> None:
    alone = initkit.inspect(Net(), torch.randn(8, 6))
    text, reader = page(tmp_path, inspection=alone)
    check(text, reader)
    assert "Before" not in reader.headings("h3")
    assert "Not measured" in reader.headings("h2")

    def only(scene: Any, **_: Any) -> Iterator[Any]:
        rows = [{"name": "a", "value": float("nan"), "more": None}, {"name": EVIL, "value": float("-inf"), "more": 7}]
        yield initkit.Table("odd", rows, words=EVIL)
        yield initkit.Table("empty", [])
        yield initkit.Verdict("FAIL", EVIL, EVIL)

    text, reader = page(tmp_path, inspection=initkit.inspect(Net(), probes=only))
    check(text, reader)
    assert "NaN" in reader.text
    assert "−∞" in reader.text
    assert "no rows" in reader.text


def test_a_comparison(tmp_path: Path) -> None:
    text, reader = page(tmp_path, comparison=comparison())
    check(text, reader)
    assert reader.headings("h1") == ["Net"]
    assert f"default and x/a and x/b {EVIL}" in reader.text
    assert reader.headings("h2") == ["Training"]
    assert reader.headings("h3") == [
        "Loss at steps, with the 95 % interval of its mean",
        "In all",
        "Paired t-tests over the seeds",
    ]
    assert "2 of 5 runs" in reader.text
    assert "Interrupted" in reader.text
    assert "dotted: loss 0.3" in reader.text
    assert "logarithmic" in reader.text
    (chart,) = (svg for svg in reader.of("svg") if svg["class"] == "chart")
    assert str(chart["aria-label"]).startswith("Training curves, loss by step. default: from 2.21 to")


def test_a_comparison_in_which_every_run_diverged(tmp_path: Path) -> None:
    found = comparison()
    for run in found["runs"]:
        run["losses"], run["diverged_at"] = [None], 0
    text, reader = page(tmp_path, comparison={**found, "table": [], "tests": []})
    check(text, reader)
    assert "No run has a finite loss." in reader.text


def test_json_forms_serve_as_well(tmp_path: Path, made: tuple[Net, initkit.Report], looked: initkit.Inspection) -> None:
    report = json.loads(made[1].to_json())
    text, reader = page(tmp_path, report=report, inspection=json.loads(looked.to_json()), title=f"Mine {EVIL}")
    check(text, reader)
    assert reader.headings("h1") == [f"Mine {EVIL}"]
    assert "histograms" not in data_of(text)


def test_there_must_be_something_to_show(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give report=, inspection= or comparison="):
        initkit.write_page(tmp_path / "page.html")


def test_a_page_is_written_whole_or_not_at_all(
    tmp_path: Path, made: tuple[Net, initkit.Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileError, match="cannot write"):
        initkit.write_page(tmp_path / "nowhere" / "page.html", report=made[1])
    path = tmp_path / "page.html"
    path.write_text("old")
    for module, name in (("matplotlib", "Matplotlib"), ("jinja2", "Jinja")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(InitError, match=rf'pages need {name}: pip install "initkit-core\[html\]"'):
                initkit.write_page(path, report=made[1])
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_the_templates_lie_in_the_package() -> None:
    folder = Path(str(sys.modules["initkit.page"].__file__)).parent / "templates"
    assert {path.name for path in folder.iterdir()} >= {"page.html", "parts.html", "style.css"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (True, "yes"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.5, "0.5000"),
        (-2.853e-6, "−2.853×10⁻⁶"),
        (123456.0, "1.235×10⁵"),
        (1234.0, "1234"),
        (1234567, "1 234 567"),
        ("nan", "NaN"),
        ("name", "name"),
        ([1, 2], "1, 2"),
    ],
)
def test_numbers(value: Any, words: str) -> None:
    assert numbers.text_of(value) == words


def test_a_histogram_of_a_large_tensor_is_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "MOST_NUMBERS", 1000)
    matrix = torch.arange(50.0).repeat(100)  # every 50th number is the same
    found = histograms.histogram(matrix)
    assert found is not None
    assert (found.sampled, found.size) == (1000, 5000)
    assert sum(found.counts) == 1000
    assert min(found.counts) > 10
    assert histograms.histogram(torch.ones(3)) is None
    assert histograms.histogram(torch.tensor([math.nan, math.inf])) is None


def test_a_note_that_says_how_is_drawn(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Noting(Recipe):
        """Notes a series."""

        def plan(self, model: nn.Module) -> Iterator[initkit.Item]:
            rows = [{"step": i, "value": float(i % 3), "state": f"state {i % 2}"} for i in range(9)]
            plot = initkit.Plot("scatter", "step", ("value",), group="state")
            table = initkit.Table("series", rows, words="a series by its states", plot=plot)

            def run(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
                ctx.note("series", table)
                return {}

            yield Job("note", run, "notes a series")
            yield Fill("weight", Normal(0.1), why="drawn")

    report = initkit.apply(nn.Linear(3, 2), Noting())
    assert report.notes["series"][4] == {"step": 4, "value": 1.0, "state": "state 0"}
    initkit.write_page(tmp_path / "page.html", report=report)
    page = Reader((tmp_path / "page.html").read_text())
    assert "a series by its states" in page.text
    assert any(tag == "svg" and "state 1" in (attrs["aria-label"] or "") for tag, attrs in page.tags)
