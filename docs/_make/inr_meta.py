"""Figures and tables of starts that are learned from signals: faces, a published start, speed beside peers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import short, table

FACES, LEARNIT, SPEED = ("inr", "meta"), ("inr", "learnit"), ("inr", "meta_speed")
Row = dict[str, Any]
STARTS = {
    "siren": "`inr/siren`",
    "maml": "`inr/meta` (MAML)",
    "fomaml": "`inr/meta`, method=fomaml",
    "reptile": "`inr/meta`, method=reptile",
    "reptile K=12": "`inr/meta`, method=reptile, inner_steps=12",
    "mean face": "fit to the mean of the training faces",
    "strainer": "`inr/strainer`",
    "strainer, zero biases": "`inr/strainer`, bias=zero",
    "learnit": "`inr/meta`, learned=the published start",
    "maml, 625 of 49 x 49 points": "`inr/meta`, points_per_step=625, faces enlarged to 49 × 49",
}
NAMES = {
    "siren": "siren",
    "mean face": "mean face",
    "strainer": "strainer",
    "reptile K=12": "meta, Reptile (12 steps)",
    "fomaml": "meta, first-order MAML",
    "maml": "meta, MAML",
}
# Okabe and Ito's palette; plain starts are grey.
COLOURS = {
    "siren": "#6b6b6b",
    "mean face": "#a0a0a0",
    "strainer": "#009E73",
    "reptile K=12": "#E69F00",
    "fomaml": "#CC79A7",
    "maml": "#0072B2",
}


def faces_table(labels: Sequence[str] = ()) -> str:
    """PSNR of unseen faces by step, a line a start and optimizer."""
    rows = [row for row in record.need(*FACES)["rows"] if not labels or row["label"] in labels]
    return _psnr_table(rows, ("0", "1", "2", "4", "8", "32"), lambda row: f"{row['seconds']:.1f} s")


def learnit_table() -> str:
    """PSNR of a face by step from the published start and from plain ones."""
    rows = record.need(*LEARNIT)["rows"]
    steps = ("0", "1", "2", "4", "8")
    return _psnr_table(rows, steps, lambda row: f"{row['size']} × {row['size']}", "pixels")


def _psnr_table(
    rows: Sequence[Row], steps: Sequence[str], last: Callable[[Row], str], header: str = "time to learn"
) -> str:
    lines = [
        [
            STARTS[row["label"]],
            f"{row['optimiser']}, {row['lr']:g}",
            *[_spread(row["psnr"][step]) for step in steps],
            last(row),
        ]
        for row in rows
    ]
    marks = [f"{step} steps" if step != "1" else "1 step" for step in steps]
    return table(["start", "fitted by", *marks, header], lines, numbers_from=2)


def _spread(found: dict[str, Any]) -> str:
    one = len(found["values"]) == 1 or found["std"] == 0
    return f"{found['mean']:.1f}" if one else f"{found['mean']:.1f} ± {found['std']:.1f}"


def faces_expectations() -> str:
    """What was expected before the runs, seed by seed."""
    lines = [
        [
            one["words"],
            f"at least {one['least']:g}",
            ", ".join(f"{value:.1f}" for value in one["found"]),
            "yes" if one["met"] else "**no**",
        ]
        for one in record.need(*FACES)["expected"]
    ]
    return table(["expected", "threshold", "found, by seed", "met"], lines)


def learnit_expectations() -> str:
    """What the published start reached elsewhere, and here."""
    lines = [
        [one["words"], f"{one['wanted']:.2f}", f"{one['found']:.2f}", "yes" if one["met"] else "**no**"]
        for one in record.need(*LEARNIT)["expected"]
    ]
    return table(["reproduced", "known", "found", "met"], lines)


def sizes_table() -> str:
    """PSNR after two steps at other resolutions, coordinates in the same range."""
    rows = record.need(*FACES)["sizes"]
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    at = {(row["label"], row["size"]): row for row in rows}
    labels = list(dict.fromkeys(row["label"] for row in rows))
    lines = [[STARTS[label], *[_spread(at[label, size]) for size in sizes]] for label in labels]
    return table(["start", *[f"{size} × {size}" for size in sizes]], lines)


def speed_table() -> str:
    """Time of an outer iteration beside peers."""
    lines = []
    for row in record.need(*SPEED)["rows"]:
        where = [str(row["width"]), str(row["tasks"]), row["label"]]
        if "left_out" in row:
            lines.append([*where, row["left_out"], "", ""])
            continue
        ratios = f"{row['ratio']:.2f} ({min(row['ratios']):.2f} – {max(row['ratios']):.2f})"
        apart = short(row["difference"]) if row["difference"] else "0"
        lines.append([*where, f"{row['milliseconds']:.1f} ms", ratios, apart])
    header = ["width", "signals", "", "an outer iteration", "over `initkit, loop`", "largest difference"]
    return table(header, lines, numbers_from=3)


def memory_table() -> str:
    """Most memory of one outer iteration beside peers."""
    rows = record.need(*SPEED)["memory"]
    at = {(row["label"], row["inner_steps"]): row for row in rows}
    steps = sorted({row["inner_steps"] for row in rows})
    lines = []
    for label in dict.fromkeys(row["label"] for row in rows):
        found = [at.get((label, count), {}) for count in steps]
        lines.append([label, *[f"{one['peak_mb']:,} MB" if "peak_mb" in one else "–" for one in found]])
    return table(["", *[f"K = {count}" for count in steps]], lines)


def gpu_words() -> str:
    """Vectorised tasks on a GPU, or why there are no figures."""
    found = record.need(*SPEED)["gpu"]
    if "left_out" in found:
        return f"On a GPU `vectorize=auto` takes vmap. That is not measured here: {found['left_out']}."
    ratios = ", ".join(
        f"{row['loop_over_vmap']:.1f} ({row['width']} wide, {row['tasks']} signals)" for row in found["rows"]
    )
    return f"On one {found['name']} the loop takes that many times as long as vmap: {ratios}."


def made_with(name: str) -> str:
    """One line: seeds, versions, machine."""
    found = record.need("inr", name)
    shown = ("python", "torch", "torchopt", "higher") if name == "meta_speed" else ("python", "torch")
    words = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if k in shown)
    seeds = found["seeds"]
    first = f"Seeds {seeds[0]}–{seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"
    return f"{first}; {words}; one thread of {found['machine']['cpu'] or 'an unnamed CPU'}."


def faces_curves() -> Figure:
    """PSNR of unseen faces by step: a line a start, dots for seeds."""
    found = record.need(*FACES)
    tuned = {label: tuple(one["tuned"]) for label, one in found["pictures"]["starts"].items()}
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for row in found["rows"]:
        label = row["label"]
        if tuned.get(label) != (row["optimiser"], row["lr"]):
            continue
        steps = sorted(int(step) for step in row["psnr"])
        at = [max(step, 0.5) for step in steps]  # step 0 has a place on the logarithmic axis
        values = np.array([row["psnr"][str(step)]["values"] for step in steps])
        words = f"{NAMES[label]}: {row['optimiser']} {row['lr']:g}"
        axes.plot(at, values.mean(1), color=COLOURS[label], label=words, linewidth=2 if label == "maml" else 1.4)
        for seed in values.T:
            axes.plot(at, seed, ".", color=COLOURS[label], markersize=4)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4, 8, 32], ["0", "1", "2", "4", "8", "32"])
    axes.minorticks_off()
    axes.set_ylim(0, 60)
    axes.set_xlabel("steps of gradient descent")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(f"20 unseen faces, {len(found['seeds'])} seeds (MAML after 32 steps is far above)", loc="left")
    axes.legend(frameon=False, fontsize=8)
    return figure


def faces_pictures(labels: Sequence[str] = tuple(NAMES)) -> Figure:
    """Two unseen faces after 0, 2, 8 and 32 steps, a line a start."""
    pictures = record.need(*FACES)["pictures"]
    size, count = pictures["size"], len(pictures["targets"])
    steps = sorted(next(iter(pictures["starts"].values()))["steps"], key=int)
    columns = count * (len(steps) + 1)
    figure, panels = pyplot.subplots(
        len(labels), columns, figsize=(0.72 * columns + 1.6, 0.72 * len(labels) + 0.3), squeeze=False
    )
    figure.subplots_adjust(left=1.6 / (0.72 * columns + 1.6), right=1, top=0.93, bottom=0, wspace=0.06, hspace=0.06)
    for line, label in zip(panels, labels, strict=True):
        shown = pictures["starts"][label]["steps"]
        for face in range(count):
            places = line[face * (len(steps) + 1) : (face + 1) * (len(steps) + 1)]
            for axes, step in zip(places, steps, strict=False):
                _show(axes, unpacked(shown[step][face], size))
            _show(places[-1], unpacked(pictures["targets"][face], size))
        line[0].text(-0.15, 0.5, NAMES[label], transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    for place, axes in enumerate(panels[0]):
        step = place % (len(steps) + 1)
        axes.set_title(f"{steps[step]} steps" if step < len(steps) else "target", fontsize=8)
    return figure


def strainer_pictures() -> Figure:
    """The same of plain starts and shared layers."""
    return faces_pictures(("siren", "mean face", "strainer", "maml"))


def astronaut() -> Figure:
    """A face from the published start and from plain ones after 0, 2 and 8 steps."""
    pictures = record.need(*LEARNIT)["pictures"]
    size, starts = pictures["size"], pictures["starts"]
    steps = sorted(next(iter(starts.values())), key=int)
    figure, panels = pyplot.subplots(len(starts), len(steps) + 1, figsize=(4.9, 3.1), squeeze=False)
    figure.subplots_adjust(left=0.27, right=1, top=0.92, bottom=0, wspace=0.05, hspace=0.05)
    names = {"learnit": "published start,\nSGD", "siren, SGD": "siren, SGD", "siren, Adam": "siren, Adam 0.0001"}
    for line, (label, shown) in zip(panels, starts.items(), strict=True):
        for axes, step in zip(line, steps, strict=False):
            _show(axes, unpacked(shown[step], size))
        _show(line[-1], unpacked(pictures["target"], size))
        line[0].text(-0.1, 0.5, names[label], transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    for place, axes in enumerate(panels[0]):
        axes.set_title(f"{steps[place]} steps" if place < len(steps) else "target", fontsize=8)
    return figure


def unpacked(text: str, size: int) -> npt.NDArray[np.uint8]:
    """An image that a benchmark put into its figures, (size, size) or (size, size, 3)."""
    levels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(size, size, -1)
    return levels[..., 0] if levels.shape[-1] == 1 else levels


def _show(axes: Axes, image: npt.NDArray[np.uint8]) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


Drawn = tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]
# file: (benchmarks it shows, how it is drawn)
DRAWN: dict[str, Drawn] = {
    "inr/meta.svg": ((FACES,), faces_curves),
    "inr/meta_faces.svg": ((FACES,), faces_pictures),
    "inr/strainer.svg": ((FACES,), strainer_pictures),
    "inr/learnit.svg": ((LEARNIT,), astronaut),
}
