"""A chain: arrays that the compiled sweep works on, and what is kept of it."""

from __future__ import annotations

import json
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from initkit_ihmm.beam import layout
from initkit_ihmm.beam.kernels.sweep import draw_path, slice_and_break, update
from initkit_ihmm.beam.problem import Problem
from initkit_ihmm.beam.state import BeamState
from initkit_ihmm.labels import Floats, Ints, LabelInit

TRACES = ("log_joint", "states", "alpha", "kappa", "gamma", "jumps", "entropy")


@dataclass(frozen=True, eq=False)
class Draw:
    """One kept draw.

    Args:
        labels: int16 (T,).
        beta: (K+1,).
        transitions: (K+1, K+1).
        theta: (K, P), compiled layout.
        sweep: its number, from 0.
    """

    labels: Any
    beta: Floats
    transitions: Floats
    theta: Floats
    sweep: int

    @property
    def K(self) -> int:
        """Number of states."""
        return len(self.theta)


class Chain:
    """A Markov chain over partitions and parameters.

    Args:
        problem: observations and priors.
        state: where it begins.
        rng: its only source of random numbers.
        burn: sweeps whose draws are not kept.
        thin: keep every so many draws after that.
        start: the labels that its first state was made of, for the record.
    """

    def __init__(
        self,
        problem: Problem,
        state: BeamState,
        rng: np.random.Generator,
        *,
        burn: int = 0,
        thin: int = 1,
        start: LabelInit | None = None,
    ) -> None:
        self.problem, self.rng, self.burn, self.thin = problem, rng, burn, thin
        self.start = start or LabelInit.of(state.labels, lengths=problem.lengths)
        self.traces: list[Floats] = []
        self.draws: list[Draw] = []
        self.warned: set[str] = set()
        self._buffer = np.empty(0)
        self.restore(state)

    def restore(self, state: BeamState) -> None:
        """Go on from a state."""
        room = self.problem.k_max + 1
        width, size = self.problem.sizes
        self.labels: Ints = np.array(state.labels, dtype=np.int64)
        self.scalars: Floats = np.array(state.scalars, dtype=np.float64)
        self.states = states = state.K
        self._beta, self._pi = np.zeros(room), np.zeros((room, room))
        self._theta, self._stats = np.zeros((room, width)), np.zeros((room, size))
        self._u = np.empty(self.problem.steps)
        self._beta[: states + 1] = state.beta
        self._pi[: states + 1, : states + 1] = state.transitions
        self._theta[:states] = state.theta
        self._hyper = self.problem.concentrations.hyper

    @property
    def state(self) -> BeamState:
        """A copy of where the chain is."""
        k = self.states
        return BeamState(
            self.labels.copy(),
            self._beta[: k + 1].copy(),
            self._pi[: k + 1, : k + 1].copy(),
            self._theta[:k].copy(),
            self.scalars.copy(),
        )

    def sweep(self) -> Floats:
        """One sweep; the values of :data:`TRACES` after it."""
        p = self.problem
        reachable = slice_and_break(
            self.rng, self.labels, p.first, self.states, self._beta, self._pi, self._theta, self.scalars, p.kind,
            p.prior, self._u,
        )  # fmt: skip
        if reachable == p.k_max:
            self._warn(
                "truncated",
                f"the sampler reached k_max={p.k_max} states: the draw is of a truncated model, raise k_max",
            )
        rounded = draw_path(
            self.rng,
            p.x,
            p.seen,
            p.first,
            self._u,
            self._pi,
            self._theta,
            p.kind,
            self._trellis(reachable),
            self.labels,
        )
        if rounded:
            self.warned.add("logarithms")
        trace = np.empty(len(TRACES))
        self.states = update(
            self.rng, p.x, p.seen, p.first, self.labels, reachable, self._beta, self._pi, self._theta, self.scalars,
            p.kind, p.prior, self._hyper, self._stats, trace,
        )  # fmt: skip
        trace[0] += p.constant
        return trace

    def run(self, sweeps: int, stop: threading.Event | None = None) -> int:
        """Do so many sweeps, or until the event is set; how many were done."""
        for done in range(sweeps):
            if stop is not None and stop.is_set():
                return done
            trace = self.sweep()
            number = len(self.traces)
            if number >= self.burn and (number - self.burn) % self.thin == 0:
                state = self.state
                labels = state.labels.astype(np.int16)
                self.draws.append(Draw(labels, state.beta, state.transitions, state.theta, number))
            self.traces.append(trace)
        return sweeps

    def _trellis(self, states: int) -> Any:
        cells = self.problem.steps * states
        dtype = np.float32 if 8 * cells > self.problem.max_mem else np.float64
        if self._buffer.size < cells or self._buffer.dtype != dtype:
            self._buffer = np.empty(0)  # the old one goes first
            self._buffer = np.empty(max(cells, self.problem.steps * min(states + 4, self.problem.k_max)), dtype=dtype)
        return self._buffer[:cells].reshape(self.problem.steps, states)

    def _warn(self, key: str, words: str) -> None:
        if key not in self.warned:
            self.warned.add(key)
            warnings.warn(words, UserWarning, stacklevel=3)

    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that it takes to go on, as arrays and as JSON values."""
        state = self.state
        arrays = {
            "labels": state.labels, "beta": state.beta, "transitions": state.transitions, "theta": state.theta,
            "scalars": state.scalars, "start": self.start.labels,
            "traces": np.array(self.traces).reshape(-1, len(TRACES)),
            "draws.labels": np.array([draw.labels for draw in self.draws], dtype=np.int16),
            "draws.states": np.array([draw.K for draw in self.draws], dtype=np.int64),
            "draws.sweep": np.array([draw.sweep for draw in self.draws], dtype=np.int64),
        }  # fmt: skip
        for name in ("beta", "transitions", "theta"):
            parts = [np.ravel(getattr(draw, name)) for draw in self.draws]
            arrays[f"draws.{name}"] = np.concatenate(parts) if parts else np.empty(0)
        rng = json.loads(json.dumps(self.rng.bit_generator.state, default=np.ndarray.tolist))
        return arrays, {"rng": rng, "method": self.start.method}

    def unpack(self, arrays: dict[str, Any], values: dict[str, Any]) -> None:
        """Go on from what :meth:`packed` gave."""
        self.restore(BeamState(*(arrays[name] for name in ("labels", "beta", "transitions", "theta", "scalars"))))
        self.rng.bit_generator.state = values["rng"]
        self.start = LabelInit.of(arrays["start"], lengths=self.problem.lengths, method=values["method"])
        self.traces = list(arrays["traces"])
        width, self.draws = self.problem.sizes[0], []
        places = {"beta": 0, "transitions": 0, "theta": 0}
        for n, states in enumerate(arrays["draws.states"].tolist()):
            found = {}
            shapes = {"beta": (states + 1,), "transitions": (states + 1, states + 1), "theta": (states, width)}
            for name, shape in shapes.items():
                size = int(np.prod(shape))
                found[name] = arrays[f"draws.{name}"][places[name] : places[name] + size].reshape(shape)
                places[name] += size
            self.draws.append(Draw(arrays["draws.labels"][n], **found, sweep=int(arrays["draws.sweep"][n])))

    def parameters(self, draw: Draw) -> dict[str, Floats]:
        """A draw's emission parameters by name."""
        return layout.unpacked_parameters(self.problem.kind, draw.theta, self.problem.dims)
