"""Drawings: what stands in the axes, from tables of every kind."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib.figure import Figure

from initkit import InitError, Inspection, Plot, Table
from initkit.drawing import figure_of
from initkit.drawing.curves import curves_of, draw_curves, is_logarithmic
from initkit.drawing.panels import number, panels
from initkit.drawing.style import BEFORE, SERIES, apart, new_figure, short, shortened, styled, thinned, tick_words


def inspection(*tables: Table, before: Inspection | None = None) -> Inspection:
    found = Inspection("Net", 0, {"torch": "0"}, before=before)
    for one in tables:
        found.add(one, "core/x")
    return found


def layers(*values: float | None, name: str = "layers") -> Table:
    rows = [{"layer": f"block.{i}", "m2": v, "grad": 1.0 + i} for i, v in enumerate(values)]
    return Table(name, rows, plot=Plot("line", "layer", ("m2", "grad"), log=("y",), labels={"m2": "signal"}))


def of(table: Table, before: Table | None = None) -> list[Any]:
    found = inspection(table, before=None if before is None else inspection(before)).to_dict()
    return panels(table.name, found["tables"][table.name], found.get("before", {}).get("tables", {}).get(table.name))


def test_before_and_after_share_the_axes_and_each_column_has_its_own() -> None:
    signal, gradient = of(layers(1.0, 0.5), layers(1.0, 0.1))
    assert [one.label for one in signal.series] == ["before", "after"]
    assert [one.colour for one in signal.series] == [BEFORE, SERIES[0]]
    assert (signal.y_label, gradient.y_label) == ("signal", "grad")
    assert signal.series[0].y == (1.0, 0.1)
    assert signal.names == ("block.0", "block.1")


def test_without_before_the_columns_share_the_axes_and_are_told_apart_by_words_and_colour() -> None:
    (panel,) = of(layers(1.0, 0.5))
    assert [(one.label, one.colour) for one in panel.series] == [("signal", SERIES[0]), ("grad", SERIES[1])]


def test_groups_are_series_and_what_was_before_keeps_its_group_s_colour() -> None:
    rows = [{"k": i, "e": 1.0 + i, "op": op} for op in ("a", "b") for i in range(3)]
    table = Table("energy", rows, plot=Plot("line", "k", ("e",), group="op"))
    (panel,) = of(table, table)
    assert [(one.label, one.earlier) for one in panel.series] == [
        ("a before", True),
        ("b before", True),
        ("a", False),
        ("b", False),
    ]
    assert panel.series[0].colour == panel.series[2].colour != panel.series[3].colour
    assert panel.names == ()


def test_cells_that_are_no_number_leave_a_gap_and_a_table_of_them_is_not_drawn() -> None:
    assert [math.isnan(number(value)) for value in (None, "inf", True, float("nan"), 2)] == [True] * 4 + [False]
    signal, _ = of(layers(1.0, None, float("inf")), layers(1.0))
    assert math.isfinite(signal.series[1].y[0])
    assert all(math.isnan(value) for value in signal.series[1].y[1:])
    nothing = Table("none", [{"x": "a", "y": None}], plot=Plot("bars", "x", ("y",)))
    assert of(nothing) == of(Table("empty", [], plot=Plot("bars", "x", ("y",)))) == of(Table("plain", [{"a": 1}])) == []


def test_an_axis_without_positive_numbers_is_not_logarithmic() -> None:
    zero = Table("t", [{"x": 1, "y": 0.0}, {"x": 2, "y": -1.0}], plot=Plot("line", "x", ("y",), log=("y",)))
    assert of(zero)[0].log == ()


def test_rows_stand_in_their_order_where_the_column_of_x_is_missing() -> None:
    (panel,) = of(Table("t", [{"y": 3.0}, {"y": 4.0}], plot=Plot("line", "step", ("y",))))
    assert panel.series[0].x == (0.0, 1.0)
    assert panel.names == ()


EVERY = [
    layers(1.0, 0.5, 0.0, None),
    Table(
        "plane",
        [{"re": 0.5, "im": 0.1}, {"re": -0.5, "im": None}],
        plot=Plot("scatter", "re", ("im",), equal=True),
    ),
    Table(
        "heads", [{"h": f"a.very.long.name.of.a.head.{i}", "v": i} for i in range(50)], plot=Plot("bars", "h", ("v",))
    ),
    Table("bars", [{"k": i, "v": i, "w": -i} for i in range(5)], plot=Plot("bars", "k", ("v", "w"), log=("x",))),
    Table("taus", [{"edge": i / 2, "n": i} for i in range(6)], plot=Plot("histogram", "edge", ("n",))),
    Table("many", [{"x": i, "y": i, "g": g} for g in range(9) for i in range(3)], plot=Plot("line", "x", ("y",), "g")),
    Table("one", [{"x": "only", "y": 1.0}], plot=Plot("line", "x", ("y",), log=("y",))),
    Table("numbers", [{"x": 1}]),
]


@pytest.mark.parametrize("compared", [False, True])
def test_every_kind_is_drawn_and_belongs_to_no_window(compared: bool) -> None:
    found = inspection(*EVERY, before=inspection(*EVERY) if compared else None)
    figure = found.plot()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    drawn = [axes for axes in figure.axes if axes.has_data()]
    assert len(drawn) == (9 if compared else 7)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_points_of_the_complex_plane_have_one_scale() -> None:
    (axes,) = figure_of(inspection(EVERY[1])).axes
    assert axes.get_aspect() == 1.0


def test_an_inspection_without_plots_gives_a_figure_that_says_so() -> None:
    assert [text.get_text() for text in figure_of(inspection(Table("t", [{"x": 1}]))).texts] == ["nothing to draw"]


def test_matplotlib_s_settings_are_left_alone_and_have_no_say() -> None:
    with matplotlib.rc_context({"lines.linewidth": 9.0}):
        (axes,) = figure_of(inspection(EVERY[6])).axes
        assert axes.lines[0].get_linewidth() == 1.8
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_without_matplotlib_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InitError, match=r'^drawings need Matplotlib: pip install "initkit-core\[html\]"$'):
        inspection(EVERY[0]).plot()


def test_a_panel_says_in_words_what_it_shows() -> None:
    (panel,) = of(Table("t", [{"x": 1, "y": 2.0}, {"x": 2, "y": 0.5}], plot=Plot("line", "x", ("y",))))
    assert panel.describe() == "Lines: y by x. y: from 2 to 0.5, at least 0.5 and at most 2."


def test_labels() -> None:
    assert short("encoder.layers.11.attention", 12) == "encod…ention"
    layers = [f"encoder.layers.{i}.query" for i in range(3)]
    assert shortened([*layers, "head"]) == ["…0.query", "…1.query", "…2.query", "head"]
    assert shortened(["convs.0", "convs.1"]) == ["convs.0", "convs.1"]
    assert shortened(["a.b"], 2) == ["…b"]
    assert shortened([]) == []
    assert thinned(5, 9) == [0, 1, 2, 3, 4]
    for count in (10, 16, 100, 101):
        chosen = thinned(count, 9)
        assert chosen[0] == 0
        assert chosen[-1] == count - 1
        assert len(chosen) <= 9
    assert apart([0.5, 0.5, 0.51], 0.1) == pytest.approx([0.5, 0.6, 0.7])
    assert max(apart([1.0, 1.0], 0.1)) == 1.0
    assert [tick_words(0.1, 10)(v, 0) for v in (0.01, 1, 100)] == ["0.01", "1", "100"]
    assert [tick_words(1e-6, 1)(v, 0) for v in (1e-6, 2e-3, 1.0, 0.0)] == ["10⁻⁶", "2·10⁻³", "1", ""]


def runs(start: str, *losses: list[float], diverged: int | None = None) -> list[dict[str, Any]]:
    return [
        {"start": start, "seed": i, "losses": one, "diverged_at": diverged if i == 0 else None}
        for i, one in enumerate(losses)
    ]


def test_curves_are_means_with_t_intervals_over_the_runs_that_got_there() -> None:
    found = curves_of(
        {
            "starts": [{"name": "default"}, {"name": "a"}, {"name": "never"}],
            "runs": [*runs("default", [2.0, 1.0], [4.0, 1.0]), *runs("a", [3.0], [1.0, 0.5], diverged=1)],
        }
    )
    default, other = found
    assert [one.start for one in found] == ["default", "a"]
    assert (default.colour, other.colour) == (BEFORE, SERIES[0])
    assert default.mean == (3.0, 1.0)
    half = 12.706204736 * math.sqrt(2) / math.sqrt(2)  # t(0.975, 1) s/√n
    assert default.low[0] == pytest.approx(3 - half)
    assert default.high[0] == pytest.approx(3 + half)
    assert other.mean == (2.0, 0.5)
    assert (other.low[1], other.high[1]) == (0.5, 0.5)
    assert other.diverged == (1,)


def test_curves_are_logarithmic_where_losses_are_positive_and_far_apart() -> None:
    def curves(*losses: float) -> Any:
        return curves_of({"starts": [{"name": "a"}], "runs": runs("a", list(losses))})

    assert is_logarithmic(curves(10.0, 1.0))
    assert not is_logarithmic(curves(2.0, 1.0))
    assert not is_logarithmic(curves(10.0, -1.0))
    long = curves(*[1.0 / (i + 1) for i in range(3000)])
    assert len(long[0].steps) <= 400
    assert (long[0].steps[0], long[0].steps[-1]) == (1, 3000)
    with styled():
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        draw_curves(long, axes, level=0.5)
    assert axes.get_yscale() == "log"
