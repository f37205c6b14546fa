"""Signal and gradient by depth: do they reach the other end, and are units alive?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from initkit.probes import Level, Plot, Table, Verdict
from initkit.probing.record import LayerRecord
from initkit.probing.scene import Scene

GROWTH = (0.9, 1.1)
"""A factor a layer outside this range changes the scale beyond use in a deep network."""

DEEP = 10
"""Layers from which on a growth outside :data:`GROWTH` is worth a word by itself."""

WIDE, LOST = 10.0, 1e4
"""Ratios of the largest to the smallest second moment over depth: worth a look; lost."""

SATURATING = frozenset({"tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign"})
"""Activations whose idle units are saturated rather than dead."""

_NAMED = 6  # layers in one sentence

IDLE, ASLEEP = 0.2, 0.9
"""Shares of dead or saturated units: worth a look; the layer is off."""


def signal(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the table of layers, in the order of execution, and what it means.

    Forward: second moment and mean of each layer's output z. Backward: mean of (dL/dz)². Both over samples and units.
    """
    layers = scene.layers
    if not layers:
        return
    words = "loss" if scene.recorded.loss is not None else "a random direction of the output"
    yield Table(
        "layers",
        [_row(layer) for layer in layers],
        words=f"one pass in training mode without dropout; the gradient is that of {words}",
        plot=Plot(
            "line",
            "layer",
            ("forward m2", "backward m2"),
            log=("y",),
            labels={"forward m2": "signal: mean z²", "backward m2": "gradient: mean (dL/dz)²"},
        ),
        compare=("forward m2", "backward m2", "rank", "idle"),
    )
    yield from _over_depth("signal", "variance", [x for x in layers if x.outer], [x.m2 for x in layers if x.outer])
    reached = [x for x in layers if x.outer and x.backward is not None]
    yield from _over_depth("gradient", "gradient", reached[::-1], [x.backward or 0.0 for x in reached[::-1]])
    yield from _idle(layers)


def growth(values: Sequence[float]) -> float:
    """Factor a layer: exp of the slope of log values against depth; 1 for fewer than two positive values."""
    points = [(i, math.log(v)) for i, v in enumerate(values) if v > 0 and math.isfinite(v)]
    if len(points) < 2:
        return 1.0
    mean_x = math.fsum(x for x, _ in points) / len(points)
    mean_y = math.fsum(y for _, y in points) / len(points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / math.fsum((x - mean_x) ** 2 for x, _ in points)
    return math.exp(min(max(slope, -700.0), 700.0))


def times(ratio: float) -> str:
    """``3.71x``, ``250x``, ``1.6e+05x``."""
    return f"{ratio:.3g}x" if ratio < 1000 or ratio >= 1e5 else f"{ratio:,.0f}x"


def _row(layer: LayerRecord) -> dict[str, object]:
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "forward m2": layer.m2,
        "mean": layer.mean,
        "backward m2": layer.backward,
        "rank": layer.rank,
        "of": layer.full or None,
        "idle": layer.idle,
    }


def _over_depth(key: str, noun: str, layers: Sequence[LayerRecord], m2: Sequence[float]) -> Iterator[Table | Verdict]:
    if len(m2) < 2:
        return
    first, last, count = m2[0], m2[-1], len(m2)
    broken = next((x.name for x, v in zip(layers, m2, strict=True) if not math.isfinite(v)), None)
    if broken is not None:
        yield Verdict("FAIL", f"the {key} holds NaN or infinite values from here on", broken)
        return
    silent = next((x.name for x, v in zip(layers, m2, strict=True) if v == 0), None)
    if silent is not None:
        yield Verdict("FAIL", f"the {key} is exactly zero here: nothing gets through", silent)
        return
    spread, factor = max(m2) / min(m2), growth(m2)
    way = "last to first" if key == "signal" else "first to last"
    rows = [
        {"measure": f"{key}: {way} layer", "value": last / first},
        {"measure": f"{key}: largest to smallest over depth", "value": spread},
        {"measure": f"{key}: factor a layer", "value": factor},
    ]
    yield Table("depth", rows, words="second moments over depth", compare=("value",))
    ends = "before the head" if key == "signal" else "before the first layers"
    change = f"{noun} {{}} {{}} over {count} layers"
    off = not GROWTH[0] <= factor <= GROWTH[1]
    if spread >= LOST:
        if factor < 1:
            yield Verdict("FAIL", f"{change.format('falls', times(spread))}: {key} dies {ends}")
        else:
            yield Verdict("FAIL", f"{change.format('grows', times(spread))}: {key} explodes")
    elif spread >= WIDE or (off and count > DEEP):
        verb = "falls" if last < first else "grows"
        extent = max(last / first, first / last)
        uneven = f"; the extremes are {times(spread)} apart" if spread > 1.5 * extent else ""
        yield Verdict("WARN", f"{change.format(verb, times(extent))} (factor {factor:.3g} a layer){uneven}")
    else:
        yield Verdict("PASS", f"{noun} stays within {times(spread)} over {count} layers")


def _idle(layers: Sequence[LayerRecord]) -> Iterator[Verdict]:
    known = [x for x in layers if x.idle is not None]
    asleep = [x for x in known if (x.idle or 0.0) > ASLEEP]
    drowsy = [x for x in known if IDLE < (x.idle or 0.0) <= ASLEEP]
    levels: tuple[tuple[Level, list[LayerRecord]], ...] = (("FAIL", asleep), ("WARN", drowsy))
    for level, some in levels:
        if some:
            kinds = sorted({"saturated" if x.activation in SATURATING else "dead" for x in some})
            each = ", ".join(f"{x.name} {x.idle or 0.0:.0%}" for x in some[:_NAMED])
            more = f" and {len(some) - _NAMED} more layers" if len(some) > _NAMED else ""
            yield Verdict(level, f"units are {' or '.join(kinds)} on all samples: {each}{more}")
    if known and all((x.idle or 0.0) <= IDLE for x in known):
        yield Verdict(
            "PASS", f"at most {max(x.idle or 0.0 for x in known):.0%} of a layer's units are dead or saturated"
        )
