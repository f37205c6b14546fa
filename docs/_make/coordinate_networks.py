"""Figures and tables of the starts of coordinate networks: pictures, sounds, propagation, speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import short, table

DEEP, SINE, SOUND = ("inr", "deep_gaussian"), ("inr", "sine_start"), ("inr", "sound")
PROPAGATION, SPEED = ("inr", "propagation"), ("inr", "moments_speed")
Row = dict[str, Any]
GREY, BLUE, ORANGE, GREEN, PINK = "#6b6b6b", "#0072B2", "#E69F00", "#009E73", "#CC79A7"
STARTS = {
    "default": "`inr/gauss` (torch's default)",
    "xavier": "Xavier",
    "theory": "`inr/vi3nr`",
    "theory x0.5": "`inr/vi3nr`, factor 0.5",
    "theory x1.5": "`inr/vi3nr`, factor 1.5",
    "theory x2": "`inr/vi3nr`, factor 2",
    "theory x4": "`inr/vi3nr`, factor 4",
    "first=keep": "`inr/vi3nr`, first=keep",
    "last=keep": "`inr/vi3nr`, last=keep",
    "bias=zero": "`inr/vi3nr`, bias=zero",
    "bias=0.5": "`inr/vi3nr`, bias=0.5",
    "probe": "`inr/vi3nr`, sigma_p=probe",
}


def verdicts(benchmark: tuple[str, str], only: Sequence[str] = ()) -> str:
    """What was expected before the run, and what came out."""
    rows = [
        [one["claim"], one["wanted"], f"{one['value']:.4g}", "yes" if one["holds"] else "**no**"]
        for one in record.need(*benchmark)["verdicts"]
        if not only or any(word in one["claim"] for word in only)
    ]
    return table(["expected", "threshold", "found", "met"], rows)


def _cell(row: Row | None, mark: str) -> str:
    if row is None or mark not in row["psnr"]:
        return "–"
    found = row["psnr"][mark]
    if len(found["values"]) == 1:
        return f"{found['mean']:.1f}"
    return f"{found['mean']:.1f} ± {found['std']:.1f}"


def deep_table() -> str:
    """PSNR of Gaussian networks of four and eight layers, a line a start."""
    rows = {(row["layers"], row["label"]): row for row in record.need(*DEEP)["rows"]}
    lines = [
        [words, *[_cell(rows.get((layers, label)), mark) for layers in (4, 8) for mark in ("100", "400")]]
        for label, words in STARTS.items()
    ]
    return table(["start", "4 layers, 100 steps", "400 steps", "8 layers, 100 steps", "400 steps"], lines)


def sine_table(labels: Sequence[str] = ()) -> str:
    """PSNR of sine networks on a picture after 400 steps, a line a start."""
    rows = {(row["data"], row["lr"], row["label"]): row for row in record.need(*SINE)["rows"]}
    chosen = list(dict.fromkeys(label for _, _, label in rows))
    lines = [
        [
            label,
            *[_cell(rows.get((*key, label)), "400") for key in (("camera", 1e-3), ("camera", 1e-4), ("grass", 1e-3))],
        ]
        for label in chosen
        if not labels or any(label.startswith(one) for one in labels)
    ]
    return table(["start", "camera, rate 10⁻³", "camera, rate 10⁻⁴", "grass, rate 10⁻³"], lines)


def sound_table() -> str:
    """PSNR of sine networks on sounds after 500 steps, a line a start."""
    found = record.need(*SOUND)["rows"]
    rows = {(row["data"], row["label"]): row for row in found}
    data = list(dict.fromkeys(row["data"] for row in found))
    labels = list(dict.fromkeys(row["label"] for row in found))
    lines = [[label, *[_cell(rows.get((one, label)), "500") for one in data]] for label in labels]
    return table(["start", *data], lines)


def propagation_table() -> str:
    """Signal and gradient through fifty layers."""
    lines = [
        [
            row["activation"],
            row["label"],
            *[f"{short(row[key]['middle'])} ({short(min(row[key]['values']))} – {short(max(row[key]['values']))})"
              for key in ("forward", "gradient")],
        ]
        for row in record.need(*PROPAGATION)["rows"]
    ]  # fmt: skip
    return table(["activation", "start", "std(z₅₀)/σ", "std of the input's gradient"], lines, numbers_from=2)


def moments_table() -> str:
    """Time and error of the moments of an activation."""
    lines = [
        [
            row["activation"],
            f"{row['closed_ms']:.2g}",
            f"{row['quadrature_ms']:.2g}",
            f"{row['monte_carlo_ms']:.3g}",
            f"{row['ratio']:.0f}",
            short(row["error_quadrature"]) if row["error_quadrature"] else "< 10⁻¹⁶",
            short(row["error_monte_carlo"]),
        ]
        for row in record.need(*SPEED)["rows"]
    ]
    header = ["activation", "as used, ms", "quadrature, ms", "a million numbers, ms", "ratio"]
    return table([*header, "error of the quadrature", "error of random numbers"], lines)


def share_table() -> str:
    """How much of winner's time is its FFT."""
    lines = [
        [
            f"{row['signal']}, {row['samples']:,} samples",
            f"{row['plan_ms']:.3g}",
            f"{row['fft_ms']:.3g}",
            f"{row['share']:.0%}",
        ]
        for row in record.need(*SPEED)["shares"]
    ]
    return table(["signal", "plan, ms", "FFT alone, ms", "share"], lines)


def shape_table() -> str:
    """Error of a torus' distance field near its surface, a line a start."""
    lines = [
        [row["label"], ", ".join(f"{one:.1f}" for one in row["error"])] for row in record.need("inr", "shape")["rows"]
    ]
    return table(["start", "mean error near the surface, in thousandths (seeds)"], lines)


def deep_pictures() -> Figure:
    """The photograph, two fits after equal steps, and where they are wrong."""
    fits = {"torch's default": "camera_default", "inr/vi3nr": "camera_theory"}
    return _pictures("camera", fits, record.need(*DEEP)["steps"])


def grass_pictures() -> Figure:
    """A broadband picture, two fits after equal steps, and where they are wrong."""
    fits = {"inr/siren": "grass_siren", "inr/winner": "grass_winner"}
    return _pictures("grass", fits, record.need(*SINE)["steps"])


def _pictures(target: str, fits: dict[str, str], steps: int) -> Figure:
    wanted = _read(target)
    figure, panels = pyplot.subplots(1, 5, figsize=(11.5, 2.55), layout="constrained")
    _show(panels[0], wanted, "target", vmin=0, vmax=255, cmap="gray")
    for k, (label, file) in enumerate(fits.items()):
        fitted = _read(file)
        error = np.abs(fitted - wanted)
        decibels = 10 * np.log10(255**2 / np.square(error).mean())
        _show(panels[1 + k], fitted, f"{label}, {decibels:.1f} dB", vmin=0, vmax=255, cmap="gray")
        _show(panels[3 + k], error, f"error of {label}", vmin=0, vmax=96, cmap="magma")
    figure.suptitle(f"after {steps} steps of Adam, seed 0", x=0.01, ha="left", fontsize=9)
    return figure


def _read(name: str) -> Any:
    pixels = pyplot.imread(record.RESULTS / "inr" / f"{name}.png")
    return np.rint(255 * pixels).astype(np.float64)


def _show(axes: Axes, values: Any, title: str, **options: Any) -> None:
    # Steps of eight gray levels are hardly seen, and make the file half as large.
    axes.imshow(8 * np.rint(values / 8), interpolation="none", **options)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_axis_off()


def deep_steps() -> Figure:
    """PSNR by step, four and eight layers."""
    shown = {"default": GREY, "theory": BLUE, "theory x2": ORANGE, "probe": GREEN}
    names = {"default": "torch's default", "theory": "vi3nr", "theory x2": "vi3nr, factor 2", "probe": "vi3nr, probe"}
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    rows = {(row["layers"], row["label"]): row for row in record.need(*DEEP)["rows"]}
    for axes, layers in zip(panels, (4, 8), strict=True):
        for label, colour in shown.items():
            _by_step(axes, rows[layers, label], colour, names[label], dashed=label == "probe")
        axes.set_title(f"{layers} Gaussian layers", loc="left")
        axes.set_xlabel("steps")
    panels[0].set_ylabel("PSNR, dB")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _by_step(axes: Axes, row: Row, colour: str, label: str, dashed: bool = False) -> None:
    marks = sorted(row["psnr"], key=int)
    values = np.array([row["psnr"][mark]["values"] for mark in marks])
    steps = [int(mark) for mark in marks]
    axes.plot(steps, values.mean(axis=1), color=colour, label=label, linestyle="--" if dashed else "-")
    for seed in values.T:
        axes.plot(steps, seed, ".", color=colour, markersize=4)


def spectra() -> Figure:
    """Power by frequency of the sounds and of what has been fitted to them."""
    found = record.need(*SOUND)["spectra"]
    bands = {(one["data"], one["label"]): one["bands"] for one in found}
    names = list(dict.fromkeys(one["data"] for one in found))
    shown = {"siren, first ω = 30": ORANGE, "siren, first ω = 3000": PINK, "winner, code": GREEN, "winner": BLUE}
    figure, panels = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.2), layout="constrained", squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        target = np.array(bands[name, "target"])
        at = (np.arange(len(target)) + 0.5) / len(target) / 2
        axes.fill_between(at, target, target.min() - 20, color="#dddddd", label="target", linewidth=0)
        for label, colour in shown.items():
            axes.plot(at, bands[name, label], color=colour, label=label, linewidth=1)
        axes.set_ylim(target.min() - 20, target.max() + 6)
        axes.set_title(name, loc="left")
        axes.set_xlabel("cycles a sample")
    panels[0][0].set_ylabel("power in a band, dB")
    panels[0][-1].legend(frameon=False, fontsize=7.5)
    return figure


def propagation() -> Figure:
    """What fifty layers make of signal and gradient, a dot a start."""
    rows = record.need(*PROPAGATION)["rows"]
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axes, key, title in zip(panels, ("forward", "gradient"), ("std(z₅₀)/σ", "gradient at the input"), strict=True):
        for k, row in enumerate(rows):
            ours = row["label"].startswith("vi3nr")
            axes.plot(
                row[key]["values"], [k] * len(row[key]["values"]), ".", color=BLUE if ours else GREY, markersize=6
            )
        axes.set_xscale("log")
        if key == "forward":
            axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
            axes.minorticks_off()
        axes.axvline(1, color="#444444", linewidth=0.8)
        axes.set_title(title, loc="left")
        axes.set_yticks(range(len(rows)), [f"{row['activation']}: {row['label']}" for row in rows], fontsize=8)
    panels[0].invert_yaxis()
    return figure


def sine_steps() -> Figure:
    """PSNR of sine networks by start: dots for seeds."""
    rows = {(row["data"], row["lr"], row["label"]): row for row in record.need(*SINE)["rows"]}
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for axes, lr in zip(panels, (1e-3, 1e-4), strict=True):
        labels = [label for data, rate, label in rows if data == "camera" and rate == lr]
        for k, label in enumerate(labels):
            values = rows["camera", lr, label]["psnr"]["400"]["values"]
            axes.plot([k] * len(values), values, "o", color=GREY if label == "siren" else BLUE, markersize=4)
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=7)
        axes.set_title(f"camera, learning rate {lr:g}", loc="left")
    panels[0].set_ylabel("PSNR after 400 steps, dB")
    return figure


Drawn = tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]
DRAWN: dict[str, Drawn] = {
    "inr/deep_gaussian.svg": ((DEEP,), deep_steps),
    "inr/camera.svg": ((DEEP,), deep_pictures),
    "inr/grass.svg": ((SINE,), grass_pictures),
    "inr/sine_start.svg": ((SINE,), sine_steps),
    "inr/sound.svg": ((SOUND,), spectra),
    "inr/propagation.svg": ((PROPAGATION,), propagation),
}
