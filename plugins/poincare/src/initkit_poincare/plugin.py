"""The door of the poincare plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit import Card, Need, Probe, hookimpl

if TYPE_CHECKING:
    from initkit.slots import Slot

TREE = Need(
    "tree",
    loader="initkit_poincare.tree_files:load_tree",
    help="edges (child, parent) with optional weights, a parent array, a networkx graph or a Tree",
)
NODES = Need(
    "nodes", loader="initkit_poincare.tree_files:load_nodes", help="the node of each row of the table", optional=True
)
INPUTS = Need("inputs", help="a batch as the model's forward takes it")


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "identity",
            "initkit_poincare.identity:Identity",
            "Hyperbolic layers that start as the identity: half a unit matrix, an exact isometry of the ball.",
        ),
        Card(
            "orthogonal",
            "initkit_poincare.orthogonal:Orthogonal",
            "Random isometries of the ball: half a random orthogonal matrix in each hyperbolic layer.",
            bits="machine",
        ),
        Card(
            "mobius_orthogonal",
            "initkit_poincare.mobius_orthogonal:MobiusOrthogonal",
            "Orthogonal weights in Möbius linear layers: an exact isometry without the factor one half.",
            bits="machine",
        ),
        Card(
            "lorentz_identity",
            "initkit_poincare.lorentz_identity:LorentzIdentity",
            "Lorentz layers that start as the identity on space coordinates.",
            bits="machine",
        ),
        Card(
            "calibrated",
            "initkit_poincare.calibrated:Calibrated",
            "Radius calibration: scale each hyperbolic layer until the mean radius is what comes in, on a batch.",
            needs=(INPUTS,),
            bits="machine",
        ),
        Card(
            "variance",
            "initkit_poincare.variance:Variance",
            "Normal weights of variance 1/(4·out) in hyperbolic layers: the radius is kept on average.",
        ),
        Card(
            "hnnpp",
            "initkit_poincare.hnnpp:HnnPlusPlus",
            "The published start of Hyperbolic Neural Networks++: normal weights of variance 1/(2·in·out).",
        ),
        Card(
            "embedding_uniform",
            "initkit_poincare.embedding_uniform:EmbeddingUniform",
            "Poincaré embeddings that start in a tiny cube about the origin.",
        ),
        Card(
            "wrapped_normal",
            "initkit_poincare.wrapped_normal:WrappedNormal",
            "Points of the ball from a wrapped normal distribution of a chosen centre and radius.",
            bits="machine",
        ),
        Card(
            "sarkar",
            "initkit_poincare.sarkar:Sarkar",
            "Embedding tables that start from a tree: every edge equally long, branches as far apart as can be.",
            needs=(TREE, NODES),
            bits="machine",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """Radius by depth, points on the clamp, curvature, dead columns."""
    return [
        Probe("radius", "initkit_poincare.probes:radius", "Hyperbolic radius by depth: do points fall to the origin?"),
        Probe(
            "clamp", "initkit_poincare.probes:clamp", "Share of points that sit on the library's projection boundary."
        ),
        Probe(
            "curvature", "initkit_poincare.probes:curvature", "The curvature that is really in force on each manifold."
        ),
        Probe("columns", "initkit_poincare.probes:columns", "Weight-normalised columns that can never learn."),
        Probe("conformal_factor", "initkit_poincare.probes:conformal_factor", "Layers that compute with 2(1 - c|x|²)."),
    ]


@hookimpl
def initkit_slots(model: Any) -> list[Slot] | None:
    """The tensors inside hypll's manifold parameters; nothing of anything else."""
    if "hypll" not in sys.modules:
        return None
    from initkit_poincare.manifold_slots import manifold_slots

    return manifold_slots(model)


@hookimpl
def initkit_example() -> str:
    """A Poincaré embedding of a real tree."""
    return str(Path(__file__).with_name("example.py"))
