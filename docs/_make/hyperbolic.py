"""Figures and tables of the poincare plugin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from tables import short, table

Row = dict[str, Any]
AREA = "poincare"
RADIUS, MAPS, TREES, TRAINING, CLAMP, DISC, DEPTH = (
    (AREA, name) for name in ("radius_by_depth", "maps", "trees", "training", "clamp", "disc", "depth_training")
)
COLOURS = {
    "hypll": "#6b6b6b",
    "hnnpp": "#D55E00",
    "nn.Linear": "#a0a0a0",
    "variance": "#E69F00",
    "identity": "#0072B2",
    "identity, dirac_half": "#8fbfe0",
    "identity, mean": "#56B4E9",
    "orthogonal": "#CC79A7",
    "calibrated": "#009E73",
    "old": "#000000",
    "geoopt example": "#E69F00",
    "published": "#D55E00",
    "poincare/mobius_orthogonal": "#0072B2",
    "poincare/lorentz_identity": "#0072B2",
    "uniform": "#6b6b6b",
    "sarkar": "#0072B2",
    "sarkar, rate/10": "#56B4E9",
}
NAMES = {
    "hypll": "hypll's own start",
    "hnnpp": "`poincare/hnnpp`",
    "nn.Linear": "torch's default",
    "old": "identity with the old λ",
    "identity, dirac_half": "`poincare/identity`, dirac_half",
    "identity, mean": "`poincare/identity`, mean",
    "geoopt example": "geoopt's example",
    "published": "published (U ±0.02)",
    "uniform": "`poincare/embedding_uniform`",
    "sarkar": "`poincare/sarkar`",
    "sarkar, rate/10": "`poincare/sarkar`, a tenth of the rate",
}


def name(label: str) -> str:
    """A label as it stands in tables."""
    if label in NAMES:
        return NAMES[label]
    head, comma, rest = label.removeprefix("poincare/").partition(",")
    return f"`poincare/{head}`{comma}{rest}"


def plain(label: str) -> str:
    """A label as it stands in pictures."""
    return name(label).replace("`", "").replace("poincare/", "")


def made_with(benchmark: str) -> str:
    """One line: seeds and versions of a benchmark."""
    found = record.need(AREA, benchmark)
    seeds, versions = found["seeds"], found["versions"]
    shown = ", ".join(
        f"{one} {versions[one]}" for one in ("geoopt", "hypll", "numpy", "python", "torch") if one in versions
    )
    return f"Seeds {seeds[0]}–{seeds[-1]}; {shown}." if len(seeds) > 1 else f"Seed {seeds[0]}; {shown}."


# Radius by depth.


def _rows(layers: str, width: int, start: float | None = None) -> list[Row]:
    return [
        row
        for row in record.need(*RADIUS)["rows"]
        if row["layers"] == layers and row["width"] == width and start in (None, row["start"])
    ]


def _curves(axes: Axes, rows: Sequence[Row], strong: Sequence[str], key: str = "radius") -> None:
    for row in rows:
        label = row["label"]
        x = range(len(row[key]))
        colour = COLOURS[label] if not strong or label in strong else "#d0d0d0"
        axes.fill_between(
            x, [p["low"] for p in row[key]], [p["high"] for p in row[key]], color=colour, alpha=0.15, linewidth=0
        )
        dash = (0, (4, 2)) if label in ("orthogonal", "old") else "-"
        axes.plot(x, [p["mean"] for p in row[key]], color=colour, linewidth=1.8, linestyle=dash, label=plain(label))
    axes.set_xlabel("layer")


def radius(strong: Sequence[str] = ()) -> Figure:
    """Mean radius by depth: linear layers of two widths, and convolutions."""
    figure, panels = pyplot.subplots(1, 3, figsize=(11.5, 3.8), layout="constrained")
    for axes, width in zip(panels, (8, 64), strict=False):
        _curves(axes, _rows("linear", width), strong)
        axes.set_title(f"linear layers, width {width}", loc="left")
    conv = [row for row in _rows("conv", 32, 1.0) if row["label"] != "orthogonal"]
    _curves(panels[2], conv, strong)
    panels[2].set_title("3x3 convolutions, 32 channels", loc="left")
    for axes in panels:
        axes.set_yscale("log")
        axes.set_ylim(1e-4, 12)
        axes.set_xticks([0, 5, 10, 15, 20])
    panels[0].set_ylabel("mean hyperbolic radius")
    panels[1].legend(loc="lower left", frameon=False, fontsize=8)
    panels[2].legend(loc="lower left", frameon=False, fontsize=8)
    return figure


def convolutions() -> Figure:
    """Radius and direction through convolutions."""
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    rows = [row for row in _rows("conv", 32, 1.0) if row["label"] != "orthogonal"]
    _curves(panels[0], rows, ())
    panels[0].set_yscale("log")
    panels[0].set_ylim(1e-4, 12)
    panels[0].set_ylabel("mean hyperbolic radius")
    _curves(panels[1], rows, (), key="cosine")
    panels[1].set_ylabel("cosine with the input")
    panels[0].legend(loc="lower left", frameon=False, fontsize=8)
    panels[0].set_title("32 channels, 3x3, start at radius 1", loc="left")
    for axes in panels:
        axes.set_xticks([0, 5, 10, 15, 20])
    return figure


def maps(kind: str) -> Figure:
    """Radius by depth of Möbius or Lorentz layers."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4), layout="constrained")
    _curves(axes, [row for row in record.need(*MAPS)["rows"] if row["layers"] == kind], ())
    axes.set_yscale("log")
    axes.set_ylabel("mean hyperbolic radius")
    axes.set_xticks([0, 5, 10, 15, 20])
    axes.set_title(f"{kind} layers, width 64, start at radius 2", loc="left")
    axes.legend(frameon=False, fontsize=8)
    return figure


def radius_table(layers: str, width: int, start: float, labels: Sequence[str] = ()) -> str:
    """Mean radius after 1, 5, 10 and 20 layers, with the range over seeds after the last."""
    rows = _rows(layers, width, start)
    cosines = any("cosine" in row for row in rows)
    lines = []
    for row in rows:
        if labels and row["label"] not in labels:
            continue
        places = [row["radius"][i]["mean"] for i in (1, 5, 10)]
        last = row["radius"][20]
        line = [name(row["label"]), *(short(value) for value in places)]
        line.append(f"{short(last['mean'])} ({short(last['low'])} – {short(last['high'])})")
        if cosines:
            line.append(f"{row['cosine'][10]['mean']:.3f}")
        lines.append(line)
    header = ["start", "1 layer", "5", "10", "20 (range over seeds)"]
    return table([*header, *(["cosine at 10"] if cosines else [])], lines)


def funnel_table() -> str:
    """Mean radius behind widths 128, 64, 32, 16, 8."""
    lines = []
    for label in dict.fromkeys(row["label"] for row in _rows("funnel", 128)):
        cells = []
        for start in (1.0, 3.0):
            last = next(row for row in _rows("funnel", 128, start) if row["label"] == label)["radius"][-1]
            cells.append(f"{short(last['mean'])} ({short(last['low'])} – {short(last['high'])})")
        lines.append([name(label), *cells])
    return table(["start", "from radius 1", "from radius 3"], lines)


def maps_table(kind: str) -> str:
    """Mean radius of Möbius or Lorentz layers after 1, 5, 10 and 20 layers."""
    lines = []
    for row in record.need(*MAPS)["rows"]:
        if row["layers"] == kind:
            last = row["radius"][20]
            cells = [short(row["radius"][i]["mean"]) for i in (1, 5, 10)]
            spread = f"{short(last['mean'])} ({short(last['low'])} – {short(last['high'])})"
            lines.append([name(row["label"]), *cells, spread])
    return table(["start", "1 layer", "5", "10", "20 (range over seeds)"], lines)


# Training.


def depth_table() -> str:
    """Test accuracy of hypll networks by depth."""
    rows = record.need(*DEPTH)["rows"]
    depths = list(dict.fromkeys(row["depth"] for row in rows))
    lines = []
    for label in dict.fromkeys(row["label"] for row in rows):
        found = {row["depth"]: row for row in rows if row["label"] == label}
        cells = [f"{100 * found[d]['test_mean']:.1f} ± {100 * found[d]['test_std']:.1f}" for d in depths]
        lines.append([name(label), *cells])
    return table(["start", *(f"{d} layers" for d in depths)], lines)


def training() -> Figure:
    """MAP by epoch."""
    found = record.need(*TRAINING)
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for row in found["rows"]:
        colour = COLOURS[row["label"]]
        axes.fill_between(
            found["at"], [p["low"] for p in row["map"]], [p["high"] for p in row["map"]], color=colour, alpha=0.15
        )
        axes.plot(found["at"], [p["mean"] for p in row["map"]], color=colour, linewidth=2, label=plain(row["label"]))
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean average precision")
    axes.set_title(f"{found['tree']}, {found['settings']['dim']} dimensions", loc="left")
    axes.legend(frameon=False, loc="lower right")
    return figure


def training_table() -> str:
    """MAP at some epochs."""
    found = record.need(*TRAINING)
    chosen = [epoch for epoch in (0, 5, 20, 60, 100) if epoch in found["at"]]
    lines = []
    for row in found["rows"]:
        at = dict(zip(found["at"], row["map"], strict=True))
        cells = [f"{at[e]['mean']:.3f} ({at[e]['low']:.3f} – {at[e]['high']:.3f})" for e in chosen]
        lines.append([name(row["label"]), *cells, f"{row['loss'][-1]:.3f}"])
    return table(["start", *(f"epoch {epoch}" for epoch in chosen), "loss at the end"], lines)


# Tables of points.


def clamp() -> Figure:
    """Share of points on the projection boundary by dimension."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    rows = record.need(*CLAMP)["rows"]
    colours = {"hypll HEmbedding": "#6b6b6b", "geoopt random_normal": "#E69F00", "poincare/wrapped_normal": "#0072B2"}
    labels = list(dict.fromkeys(row["label"] for row in rows))
    dims = list(dict.fromkeys(row["dim"] for row in rows))
    for i, label in enumerate(labels):
        values = [100 * row["share_mean"] for row in rows if row["label"] == label]
        axes.bar([x + 0.27 * (i - 1) for x in range(len(dims))], values, 0.25, color=colours[label], label=label)
    axes.set_xticks(range(len(dims)), [f"d = {dim}" for dim in dims])
    axes.set_ylabel("points on the boundary, %")
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False)
    return figure


def clamp_table() -> str:
    """Share of points on the boundary and mean radius."""
    lines = [
        [
            f"`{row['label']}`" if "/" in row["label"] else row["label"],
            str(row["dim"]),
            f"{100 * row['share_mean']:.1f} % ({100 * row['share_low']:.1f} – {100 * row['share_high']:.1f})",
            f"{row['radius_mean']:.3f} ± {row['radius_std']:.3f}",
        ]
        for row in record.need(*CLAMP)["rows"]
    ]
    return table(["start", "dimensions", "points on the boundary", "mean radius"], lines)


def disc() -> Figure:
    """The example's tree in the disc, in a float32 table and in a float64 one."""
    found = record.need(*DISC)
    figure, panels = pyplot.subplots(1, 2, figsize=(9.6, 5.1), layout="constrained")
    for axes, row in zip(panels, [row for row in found["rows"] if row["points"]], strict=True):
        _draw_disc(axes, found, row)
        axes.set_title(
            f"{row['dtype']}: τ = {row['tau']:.3g}, MAP {row['map']:.3f}, d_avg {row['d_avg']:.3f}", loc="left"
        )
    return figure


def disc_table() -> str:
    """What the disc holds of the example's tree, by dtype and order of children."""
    lines = [
        [
            row["dtype"],
            f"`{row['children']}`",
            f"{row['tau']:.4g}",
            f"{row['d_avg']:.3f}",
            f"{row['d_wc']:.3g}",
            f"{row['map']:.3f}",
        ]
        for row in record.need(*DISC)["rows"]
    ]
    return table(["table", "children", "τ", "d_avg", "d_wc", "MAP"], lines, numbers_from=2)


def _draw_disc(axes: Axes, found: Row, row: Row) -> None:
    axes.add_patch(Circle((0, 0), 1, facecolor="#fafafa", edgecolor="#888888", linewidth=0.8))
    points = row["points"]
    branch = _branches(found["parents"], found["levels"])
    palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b", "#8c6d31"]
    for node, parent in enumerate(found["parents"]):
        colour = palette[branch[node] % len(palette)]
        if parent >= 0:
            xs, ys = zip(*geodesic(points[node], points[parent]), strict=True)
            axes.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.8)
    for node, (x, y) in enumerate(points):
        axes.plot([x], [y], "o", color=palette[branch[node] % len(palette)], markersize=3.2, markeredgewidth=0)
    for node, level in enumerate(found["levels"]):
        if level <= 1:
            x, y = points[node]
            axes.annotate(found["names"][node], (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_aspect("equal")
    axes.set_xlim(-1.03, 1.03)
    axes.set_ylim(-1.03, 1.03)
    axes.axis("off")


def _branches(parents: Sequence[int], levels: Sequence[int]) -> list[int]:
    """The number of each node's ancestor two steps below the root (its own, above that)."""

    def top(node: int) -> int:
        while levels[node] > 2:
            node = parents[node]
        return node

    tops = [top(node) for node in range(len(parents))]
    numbers = {node: i for i, node in enumerate(dict.fromkeys(tops))}
    return [numbers[node] for node in tops]


def geodesic(p: Sequence[float], q: Sequence[float], steps: int = 12) -> list[tuple[float, float]]:
    """Points on the shortest path between two points of the disc, by Möbius sums."""
    a, b = complex(*p), complex(*q)
    toward = (b - a) / (1 - a.conjugate() * b)
    length = abs(toward)
    if length == 0:
        return [(a.real, a.imag)]
    found = []
    for i in range(steps + 1):
        step = toward / length * math.tanh(math.atanh(min(length, 1 - 1e-12)) * i / steps)
        point = (a + step) / (1 + a.conjugate() * step)
        found.append((point.real, point.imag))
    return found


def trees_table() -> str:
    """Distortion and MAP of embedded trees."""
    lines = []
    for row in record.need(*TREES)["rows"]:
        if "d_avg" not in row:
            lines.append([row["tree"], str(row["dim"]), "–", row["at"], "–", "–", _range(row["map"], 4)])
            continue
        cells = [_range(row["d_avg"], 4), _range(row["d_wc"], 3), _range(row["map"], 4)]
        lines.append([row["tree"], str(row["dim"]), f"{row['tau']:g}", row["at"], *cells])
    return table(["tree", "dimensions", "τ", "", "d_avg", "d_wc", "MAP"], lines, numbers_from=4)


def _range(value: Row, digits: int) -> str:
    def shown(x: float) -> str:
        return f"{x:.0f}" if x >= 100 else f"{x:.{digits}f}"

    low, high = shown(value["low"]), shown(value["high"])
    return shown(value["mean"]) if low == high else f"{shown(value['mean'])} ({low} – {high})"


def tree_facts() -> str:
    """One line about the trees."""
    facts = record.need(*TREES)["trees"]
    return "; ".join(
        f"{fact['tree']}: {fact['nodes']} nodes, height {fact['height']:g} from the centre, at most {fact['degree']} "
        "neighbours"
        for fact in facts
    )


def speed_table() -> str:
    """Seconds to embed random trees."""
    found = record.need(AREA, "tree_speed")
    lines = []
    for row in found["rows"]:
        maps = row.get("map")
        shown = f"{sum(maps) / len(maps):.3f}" if maps else "–"
        label = name("sarkar") if row["label"] == "poincare/sarkar" else row["label"]
        lines.append([label, f"{row['nodes']:,}".replace(",", " "), f"{row['seconds']:.2f} s", shown])
    return table(["", "nodes", "time", "MAP"], lines)


DRAWN = {
    "poincare/radius.svg": ((RADIUS,), radius),
    "poincare/identity.svg": ((RADIUS,), lambda: radius(["identity", "hypll", "old"])),
    "poincare/orthogonal.svg": ((RADIUS,), lambda: radius(["orthogonal", "hypll", "variance"])),
    "poincare/convolutions.svg": ((RADIUS,), convolutions),
    "poincare/mobius.svg": ((MAPS,), lambda: maps("Möbius")),
    "poincare/lorentz.svg": ((MAPS,), lambda: maps("Lorentz")),
    "poincare/training.svg": ((TRAINING,), training),
    "poincare/clamp.svg": ((CLAMP,), clamp),
    "poincare/disc.svg": ((DISC,), disc),
}
