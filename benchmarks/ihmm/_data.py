"""Series whose states are known: generated ones, and recordings of a watch that ship in the package aeon."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

GENERATED = ("A_sep", "B_overlap", "C_k8", "D_t4", "E_cov", "F_rare")
STATES = {"A_sep": 4, "B_overlap": 4, "C_k8": 8, "D_t4": 3, "E_cov": 3, "F_rare": 5, "BasicMotions": 4}
Series = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def chain(rng: np.random.Generator, steps: int, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A Markov chain from a uniform first state."""
    states = len(rows)
    z = np.empty(steps, dtype=np.int64)
    z[0] = rng.integers(states)
    u, sums = rng.random(steps), np.cumsum(rows, axis=1)
    for t in range(1, steps):
        z[t] = min(np.searchsorted(sums[z[t - 1]], u[t]), states - 1)
    return z


def persistent(states: int, stay: float) -> np.ndarray[Any, Any]:
    """Rows that stay with one probability and go anywhere else alike."""
    rows = np.full((states, states), (1 - stay) / (states - 1))
    np.fill_diagonal(rows, stay)
    return rows


def circle(states: int, radius: float) -> np.ndarray[Any, Any]:
    angles = 2 * np.pi * np.arange(states) / states
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def generated(name: str, seed: int) -> Series:
    """Observations (T, D) and true states (T,)."""
    rng = np.random.default_rng(1000 + seed)
    if name in ("A_sep", "B_overlap"):
        z = chain(rng, 1000, persistent(4, 0.95))
        return circle(4, 4.0 if name == "A_sep" else 1.5)[z] + rng.standard_normal((1000, 2)), z
    if name == "C_k8":
        z = chain(rng, 2000, persistent(8, 0.98))
        means = 3 * np.random.default_rng(77).standard_normal((8, 3))
        return means[z] + rng.standard_normal((2000, 3)), z
    if name == "D_t4":
        z = chain(rng, 1000, persistent(3, 0.95))
        means = np.linspace(1.5, -1.5, 3)[:, None].repeat(2, axis=1)
        noise = rng.standard_normal((1000, 2)) * np.sqrt(0.5)
        return means[z] + noise * np.sqrt(4 / rng.chisquare(4, 1000))[:, None], z
    if name == "E_cov":
        z = chain(rng, 1500, persistent(3, 0.98))
        factors = np.linalg.cholesky(np.array([[[1, 0.9], [0.9, 1]], [[1, -0.9], [-0.9, 1]], [[0.3, 0], [0, 0.3]]]))
        return np.einsum("tij,tj->ti", factors[z], rng.standard_normal((1500, 2))), z
    rows = 0.95 * np.eye(5) + 0.05 * np.array([0.4, 0.3, 0.2, 0.08, 0.02])
    z = chain(rng, 2000, rows)
    return circle(5, 3.0)[z] + rng.standard_normal((2000, 2)), z


def motions(seed: int) -> Series | None:
    """BasicMotions: a watch's accelerometer and gyroscope, forty recordings of four activities in random order.

    None where aeon's data are not installed (``pip install --no-deps aeon``).
    """
    found = importlib.util.find_spec("aeon")
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0], "datasets", "data", "BasicMotions", "BasicMotions_TRAIN.ts")
    lines = file.read_text().split("@data", 1)[1].strip().splitlines()
    cases, names = [], []
    for line in lines:
        *columns, name = line.strip().split(":")
        cases.append(np.array([[float(cell) for cell in column.split(",")] for column in columns]).T)
        names.append(name)
    order = np.random.default_rng(seed).permutation(len(cases))
    numbers = {name: i for i, name in enumerate(sorted(set(names)))}
    z = np.repeat([numbers[names[i]] for i in order], [len(cases[i]) for i in order])
    return np.concatenate([cases[i] for i in order]), z


def series(name: str, seed: int) -> Series | None:
    return motions(seed) if name == "BasicMotions" else generated(name, seed)
