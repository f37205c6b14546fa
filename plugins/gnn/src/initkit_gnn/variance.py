"""Virgo: weight variances that keep signals and gradients alive on a given graph.

Source: Li, Song, Song, Wipf, "On the Initialization of Graph Neural Networks", ICML 2023 (arXiv 2312.02622),
written for any sequence of layer operators M_1 .. M_L:

    c_k = ||M_k .. M_1 x_bar||^2          forward:   v_l = gain^2 / d_in(l) * c_(l-1) / c_l
    b_k = ||M_(L-k+1)^T .. M_L^T 1||^2    backward:  v_L = N / ((C - 1) b_1)
                                                     v_(L-k) = gain^2 / d_out(L-k) * b_k / b_(k+1)

In the paper and its code all M are the GCN matrix and the first layer's v is 2 / d_in, without c_0 / c_1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from initkit.errors import NeedError, OptionError
from initkit_gnn.csr import total
from initkit_gnn.graph import Graph
from initkit_gnn.operators import Operator, operator
from initkit_gnn.signals import NOISE, Signal, input_signal

Variant = Literal["backward", "forward", "harmonic", "mean"]
Source = Literal["model", "gcn"]

_SMALL, _LARGE = 1e-30, 1e30  # energies outside are scaled back to about N


@dataclass(frozen=True)
class Layer:
    """A message-passing layer as the engine sees it.

    Attributes:
        fan_in: d_in, the features of a node before its weight matrix.
        fan_out: d_out, the features after it.
        operator: what :func:`initkit_gnn.operators.operator` takes: a name, an ``Operator``, a sparse matrix or a
            pair of functions.
        options: options of a named operator, such as ``{"eps": 0.1}``.
    """

    fan_in: int
    fan_out: int
    operator: Any = "gcn"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variances:
    """Weight variances of L layers, rounded to 7 significant digits, and what they were made of.

    Attributes:
        variance: v_1 .. v_L of the variant asked for.
        forward, backward: those of the two directions; None where the variant does not need it.
        log_c: logarithms of c_0 .. c_L, None without the forward direction.
        log_b: logarithms of b_0 = N, b_1 .. b_L, None without the backward direction.
        signal: the input signal that was used.
        notes: what the user should know, one sentence each.
    """

    variance: tuple[float, ...]
    forward: tuple[float, ...] | None
    backward: tuple[float, ...] | None
    log_c: tuple[float, ...] | None
    log_b: tuple[float, ...] | None
    signal: Signal
    notes: tuple[str, ...]

    @property
    def forward_factors(self) -> tuple[float, ...] | None:
        """c_l / c_(l-1) for l = 1..L: what each layer's aggregation does to the signal's energy."""
        return None if self.log_c is None else _ratios(self.log_c)

    @property
    def backward_factors(self) -> tuple[float, ...] | None:
        """The same for gradients on their way back, in the order of the layers: b_k / b_(k-1) for layer L-k+1."""
        return None if self.log_b is None else _ratios(self.log_b)[::-1]


def virgo_variances(
    graph: Graph,
    layers: Sequence[Layer],
    num_classes: int,
    *,
    variant: Variant = "backward",
    operator: Source = "model",
    gain: float = math.sqrt(2),
    signal: Signal = "mean",
    neighbour_correlation: float = 1.0,
) -> Variances:
    """Compute the weight variances of consecutive message-passing layers.

    Args:
        graph: the graph, with features where ``signal`` reads them.
        layers: in the order in which they run.
        num_classes: C, the width of the model's prediction; 1 is treated as 2.
        variant: ``forward``, ``backward``, their ``harmonic`` mean 2 / (1/v_f + 1/v_b) or their ``mean``.
        operator: ``model`` follows each layer's own operator; ``gcn`` is the authors' choice, the GCN matrix for
            every layer and v_1 = gain^2 / d_in forward.
        gain: of the activation between the layers, as ``torch.nn.init.calculate_gain`` has it.
        signal: see :func:`initkit_gnn.signals.input_signal`; where it vanishes (centred features), ones are used.
        neighbour_correlation: r in [0, 1], see :mod:`initkit_gnn.operators`; 1 is Virgo.

    Raises:
        OptionError: an option out of range.
        NeedError: a layer through which nothing flows, or operators that do not fit the graph.
    """
    _check(layers, num_classes, variant, operator, gain, neighbour_correlation)
    notes: list[str] = []
    steps = _operators(graph, layers, operator)
    forward = backward = log_c = log_b = None
    if variant != "backward":
        log_c, signal = _forward_energies(graph, steps, signal, neighbour_correlation, notes)
        forward = _forward(layers, log_c, gain**2, first=operator == "model")
    if variant != "forward":
        if num_classes == 1:
            notes.append("one output: the factor C - 1 of the last layer is taken as 1")
        if log_c is not None and signal == "ones" and _same_both_ways(steps):
            log_b = log_c
        else:
            ones = torch.ones(graph.num_nodes, dtype=torch.float64, device=graph.device)
            log_b = _alive(ones, steps[::-1], True, neighbour_correlation)
        backward = _backward(layers, log_b, gain**2, graph.num_nodes, max(1, num_classes - 1))
    chosen = _combined(variant, forward, backward)
    return Variances(
        variance=_rounded(chosen),
        forward=None if forward is None else _rounded(forward),
        backward=None if backward is None else _rounded(backward),
        log_c=None if log_c is None else tuple(log_c),
        log_b=None if log_b is None else tuple(log_b),
        signal=signal,
        notes=tuple(notes),
    )


def round_scale(value: float) -> float:
    """Round to 7 significant digits, as every scale that is computed from data."""
    return float(f"{value:.6e}")


def log_energies(
    start: Tensor, operators: Sequence[Operator], *, transposed: bool = False, correlation: float = 1.0
) -> Iterator[float]:
    """Yield log ||a_0||^2, log ||a_1||^2, ..., a_0 = ``start`` and a_k the amplitude after operator k.

    Amplitudes are scaled back whenever their energy leaves [1e-30, 1e30], so neither depth nor weights overflow.
    -inf stands for an energy of zero, after which nothing more comes.

    Raises:
        NeedError: an operator gave NaN or infinity.
    """
    a, carried = start, 0.0
    for k in range(len(operators) + 1):
        if k:
            a = operators[k - 1].step(a, transposed=transposed, correlation=correlation)
        energy = total(a.square())
        if not _SMALL <= energy <= _LARGE:
            largest = float(a.abs().max())
            if largest == 0:
                yield -math.inf
                return
            if not math.isfinite(largest):
                where = f"operator {operators[k - 1].label!r}" if k else "the signal"
                raise NeedError(f"graph: {where} gives NaN or infinite values; scale the edge weights down")
            a = a / largest
            carried += 2 * math.log(largest)
            energy = total(a.square())
        yield math.log(energy) + carried


def _check(
    layers: Sequence[Layer], num_classes: int, variant: str, source: str, gain: float, correlation: float
) -> None:
    if variant not in get_args(Variant):
        raise OptionError(f"variant={variant!r} is unknown; choose one of {', '.join(get_args(Variant))}")
    if source not in get_args(Source):
        raise OptionError(f"operator={source!r} is unknown; choose one of {', '.join(get_args(Source))}")
    if not 0 <= correlation <= 1:
        raise OptionError(f"neighbour_correlation={correlation} is out of range; choose a number from 0 to 1")
    if not (gain > 0 and math.isfinite(gain)):
        raise OptionError(f"gain={gain} is out of range; it must be a positive number")
    if num_classes < 1:
        raise OptionError(f"num_classes={num_classes} is out of range; it must be at least 1")
    if not layers:
        raise OptionError("layers is empty; give at least one message-passing layer")
    for number, layer in enumerate(layers, 1):
        if layer.fan_in < 1 or layer.fan_out < 1:
            raise OptionError(f"layer {number} has fans {layer.fan_in} and {layer.fan_out}; both must be at least 1")


def _operators(graph: Graph, layers: Sequence[Layer], source: Source) -> list[Operator]:
    if source == "gcn":
        return [operator(graph, "gcn")] * len(layers)
    return [operator(graph, layer.operator, **layer.options) for layer in layers]


def _forward_energies(
    graph: Graph, steps: Sequence[Operator], signal: Signal, correlation: float, notes: list[str]
) -> tuple[list[float], Signal]:
    """Return log c_0 .. log c_L and the signal that was used in the end."""
    start, mean_square, note = input_signal(graph, signal)
    if note is not None:
        notes.append(note)
        signal = "ones"
    if signal != "ones":
        energies = log_energies(start, steps, correlation=correlation)
        found = [next(energies, -math.inf), next(energies, -math.inf)]
        if mean_square > 0 and found[1] >= math.log(NOISE * graph.num_nodes) + math.log(mean_square):
            found += energies
            return _all_alive(found, steps, False), signal
        notes.append(
            f"the {signal} of the features is zero up to rounding (centred features?): the constant signal 1 is used"
        )
        start = torch.ones_like(start)
    return _alive(start, steps, False, correlation), "ones"


def _alive(start: Tensor, steps: Sequence[Operator], transposed: bool, correlation: float) -> list[float]:
    found = list(log_energies(start, steps, transposed=transposed, correlation=correlation))
    return _all_alive(found, steps, transposed)


def _all_alive(found: list[float], steps: Sequence[Operator], transposed: bool) -> list[float]:
    if found[-1] == -math.inf:
        done = len(found) - 1
        number = len(steps) - done + 1 if transposed else done
        what = "gradient" if transposed else "signal"
        raise NeedError(
            f"graph: no {what} gets through message-passing layer {number} ({steps[done - 1].label}): all that its "
            "nodes aggregate is zero; add edges, self-loops or a root weight, or leave the layer out"
        )
    return found


def _same_both_ways(steps: Sequence[Operator]) -> bool:
    return all(step is steps[0] for step in steps) and steps[0].self_transposed


def _forward(layers: Sequence[Layer], log_c: Sequence[float], gain2: float, *, first: bool) -> list[float]:
    found = []
    for i, layer in enumerate(layers):
        factor = _exp(log_c[i] - log_c[i + 1]) if i > 0 or first else 1.0
        found.append(gain2 / layer.fan_in * factor)
    return found


def _backward(
    layers: Sequence[Layer], log_b: Sequence[float], gain2: float, num_nodes: int, others: int
) -> list[float]:
    last = _exp(math.log(num_nodes / others) - log_b[1])
    before = [gain2 / layers[-1 - k].fan_out * _exp(log_b[k] - log_b[k + 1]) for k in range(1, len(layers))]
    return [*before[::-1], last]


def _combined(variant: Variant, forward: list[float] | None, backward: list[float] | None) -> list[float]:
    if forward is None or backward is None:
        return forward or backward or []
    if variant == "harmonic":
        return [2 / (1 / f + 1 / b) for f, b in zip(forward, backward, strict=True)]
    return [(f + b) / 2 for f, b in zip(forward, backward, strict=True)]


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round_scale(v) for v in values)


def _ratios(logs: Sequence[float]) -> tuple[float, ...]:
    return tuple(_exp(after - before) for before, after in itertools.pairwise(logs))


def _exp(log: float) -> float:
    if abs(log) > 600:
        raise NeedError(
            f"graph: one layer changes energies by the factor e^{log:.0f}; scale the edge weights to about 1"
        )
    return math.exp(log)
