"""Measurements of hyperbolic networks for ``initkit inspect``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from initkit import NotMeasured, Plot, Scene, Table, Verdict
from initkit._names import walk
from initkit.errors import listed
from initkit_poincare import conformal
from initkit_poincare.curvature import curvature_of, is_ball
from initkit_poincare.layers import GYROPLANE, Layer, all_layers
from initkit_poincare.radii import Gauge, dtype_of
from initkit_poincare.tables import all_tables

FALLEN, LOW = 1e-2, 0.3
"""Shares of the first radius below which points have fallen to the origin, or are on their way."""
CROWDED, MANY = 0.2, 0.01
"""Shares of points on the projection boundary that are too many, or worth a look."""


def radius(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the mean hyperbolic radius of what goes into the first hyperbolic layer and of what each layer gives.

    Args:
        scene: of a model with hyperbolic layers, and inputs.
    """
    layers = _maps(scene)
    if not layers:
        return
    rows, last = _radii(scene, layers)
    yield Table(
        "radius",
        rows,
        words="mean distance from the origin, by layer in the order of execution",
        plot=Plot("line", "layer", ("radius",), log=("y",), labels={"radius": "mean hyperbolic radius"}),
    )
    first, end = rows[0]["radius"], rows[-1]["radius"]
    depth = len(rows) - 1
    if any(row["radius"] is None for row in rows):
        bad = next(row["layer"] for row in rows if row["radius"] is None)
        yield Verdict("FAIL", "points lie on or beyond the sphere: distances are infinite or NaN", bad)
    elif end < FALLEN * first:
        yield Verdict(
            "FAIL", f"points fall to the origin: mean radius {first:.3g} becomes {end:.2g} over {depth} layers"
        )
    elif end > 0.95 * last:
        yield Verdict("WARN", f"points pile up on the projection boundary: mean radius {end:.3g} of at most {last:.3g}")
    elif end < LOW * first:
        yield Verdict("WARN", f"the mean radius falls from {first:.3g} to {end:.3g} over {depth} layers")
    else:
        yield Verdict("PASS", f"the mean radius stays: {first:.3g} comes in, {end:.3g} goes out of {depth} layers")


def clamp(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the share of each table's points that sit on the projection boundary of their library.

    Args:
        scene: of a model with tables of points on a ball.
    """
    rows: list[dict[str, Any]] = []
    for table in all_tables(scene.model):
        c = curvature_of(table.ball, table.label).c
        points = scene.slots[table.name].read().to(torch.float64)
        edge = (1 - table.clamp()) / math.sqrt(c)
        norms = points.norm(dim=1)
        reach = 2 / math.sqrt(c) * torch.atanh((math.sqrt(c) * norms).clamp_max(1 - 1e-16))
        share = float((norms >= edge * (1 - 1e-5)).double().mean())
        rows.append({"table": table.name, "points": table.rows, "share": share, "mean_radius": float(reach.mean())})
    if not rows:
        return
    yield Table("clamp", rows, words="share of points on the projection boundary (1-ε)/√c", compare=("share",))
    for row in rows:
        level = "FAIL" if row["share"] >= CROWDED else "WARN" if row["share"] >= MANY else "PASS"
        same = ": they have one norm, and clipped gradients" if level != "PASS" else ""
        words = f"{row['share']:.0%} of {row['points']} points sit on the projection boundary{same}"
        yield Verdict(level, words, str(row["table"]))  # type: ignore[arg-type]


def curvature(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the curvature in force on each ball of a model.

    Args:
        scene: of a model with balls.
    """
    rows = []
    notes = []
    for name, ball, user in _balls(scene.model):
        found = curvature_of(ball, name or "the model")
        rows.append({"manifold": name, "c": float(f"{found.c:.7g}"), "learnable": found.learnable, "used_by": user})
        if found.raw is not None:
            notes.append(Verdict("NOTE", f"the parameter says {found.raw:.5g}, in force is c = {found.c:.5g}", name))
    if rows:
        yield Table("curvature", rows, words="curvature -c in force")
        yield from notes or [Verdict("PASS", f"c = {listed(str(c) for c in dict.fromkeys(row['c'] for row in rows))}")]


def columns(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield weight-normalised columns whose direction is zero.

    With length 0 too, both gradients are 0 for ever; with another length the direction's gradient is divided by 10⁻¹⁵.

    Args:
        scene: of a model with weight-normalised hyperbolic layers.
    """
    rows: list[dict[str, Any]] = []
    for layer in all_layers(scene.model):
        if layer.gain is None:
            continue
        empty = scene.slots[layer.weight].read().to(torch.float64).norm(dim=0) == 0
        dead = empty & (scene.slots[layer.gain].read() == 0)
        rows.append({"layer": layer.name, "columns": layer.m, "empty": int(empty.sum()), "dead": int(dead.sum())})
    if not rows:
        return
    yield Table("columns", rows, words="columns of weight_v that are zero", compare=("empty", "dead"))
    for row in rows:
        dead, unstable = row["dead"], row["empty"] - row["dead"]
        if dead:
            words = f"{dead} of {row['columns']} columns are dead: direction and length are zero and get no gradient"
            yield Verdict("FAIL", words, str(row["layer"]))
        if unstable:
            words = f"{unstable} of {row['columns']} directions are zero: their gradients are divided by 1e-15"
            yield Verdict("FAIL", words, str(row["layer"]))
    if not any(row["empty"] for row in rows):
        yield Verdict("PASS", "every weight-normalised column can learn")


def conformal_factor(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield which λ each kind of layer computes with.

    Args:
        scene: of a model with HNN++-type linear layers or convolutions.
    """
    seen: set[type] = set()
    for layer in all_layers(scene.model):
        if layer.kind not in GYROPLANE or type(layer.module) in seen:
            continue
        seen.add(type(layer.module))
        finding = conformal.conformal_factor(layer)
        kind = type(layer.module).__name__
        if finding == "old":
            words = f"{kind} computes with λ = 2(1 - c‖x‖²) in place of 2/(1 - c‖x‖²): no weights make it an isometry"
            yield Verdict("FAIL", words, layer.name)
        elif finding == "exact":
            yield Verdict("PASS", f"{kind} with half a unit matrix gives back what comes in", layer.name)
        else:
            yield Verdict("NOTE", f"{kind} could not be called with a point, or is of an unknown kind", layer.name)


def _maps(scene: Scene) -> list[Layer]:
    return [layer for layer in all_layers(scene.model) if layer.kind != "classifier"]


def _radii(scene: Scene, layers: list[Layer]) -> tuple[list[dict[str, Any]], float]:
    inputs = scene.given_inputs()
    rows: list[dict[str, Any]] = []
    largest = math.inf
    with contextlib.ExitStack() as stack:
        for layer in layers:

            def keep(module: nn.Module, args: Any, kwargs: Any, out: Any, layer: Layer = layer) -> None:
                nonlocal largest
                gauge = Gauge.of(layer)
                given = args[0] if args else next(iter(kwargs.values()))
                if not rows:
                    rows.append({"layer": "input", "radius": _finite(gauge.mean(given))})
                rows.append({"layer": layer.name, "radius": _finite(gauge.mean(out))})
                largest = gauge.largest(dtype_of(out))

            hook: Callable[..., None] = keep
            stack.callback(layer.module.register_forward_hook(hook, with_kwargs=True).remove)
        with scene.undisturbed() as model:
            scene.call(model, inputs)
    if not rows:
        raise NotMeasured("no hyperbolic layer was called with these inputs")
    return rows, largest


def _balls(model: Any) -> list[tuple[str, Any, str]]:
    found: dict[int, tuple[str, Any, str]] = {}
    for _, name, module in walk(model) if isinstance(model, nn.Module) else []:
        if is_ball(module) and isinstance(module, nn.Module):
            found.setdefault(id(module), (name, module, name.rpartition(".")[0]))
    for layer in all_layers(model):
        if is_ball(layer.ball):
            found.setdefault(id(layer.ball), (layer.name, layer.ball, layer.name))
    for table in all_tables(model):
        found.setdefault(id(table.ball), (table.name, table.ball, table.name))
    return list(found.values())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
