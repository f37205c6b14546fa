"""The door of the gnn plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit import Card, Need, Probe, hookimpl

if TYPE_CHECKING:
    from initkit.slots import Slot

GRAPH = Need(
    "graph", loader="initkit_gnn.files:load_graph", help="a PyG Data, an edge_index or a sparse adjacency matrix"
)

PYG = ("torch_geometric",)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "virgo",
            "initkit_gnn.virgo:Virgo",
            "Variance-stable message passing: scale each layer by what the graph does to variance.",
            needs=(GRAPH,),
            layers_from=PYG,
        ),
        Card(
            "calibrated",
            "initkit_gnn.calibrated:Calibrated",
            "Layer-sequential calibration: scale each layer until its output has the target size on the graph.",
            needs=(GRAPH,),
            bits="machine",
            layers_from=PYG,
        ),
        Card(
            "mlpinit",
            "initkit_gnn.mlpinit:MlpInit",
            "MLP warm start: train the model's own weights on labelled nodes without edges, then hand them to the GNN.",
            needs=(GRAPH,),
            bits="machine",
            layers_from=PYG,
        ),
        Card(
            "orthogonal",
            "initkit_gnn.orthogonal:Orthogonal",
            "Semi-orthogonal weights with gain sqrt(2) in message-passing layers.",
            bits="machine",
            layers_from=PYG,
        ),
        Card(
            "residual_aggregation",
            "initkit_gnn.residual_aggregation:ResidualAggregation",
            "Normal weights of variance c_w/fan_in, for residual aggregation and residual connections.",
            needs=(replace(GRAPH, optional=True),),
            layers_from=PYG,
        ),
        Card(
            "xavier",
            "initkit_gnn.baselines:Xavier",
            "Xavier (Glorot) weights in message-passing layers: variance 2/(fan_in + fan_out).",
            layers_from=PYG,
        ),
        Card(
            "kaiming",
            "initkit_gnn.baselines:Kaiming",
            "Kaiming (He) weights in message-passing layers: variance gain²/fan.",
            layers_from=PYG,
        ),
        Card(
            "pyg_default",
            "initkit_gnn.pyg_default:PygDefault",
            "What PyTorch Geometric and PyTorch start each layer with, from reproducible streams.",
            layers_from=PYG,
        ),
        Card(
            "rni",
            "initkit_gnn.rni:Rni",
            "Random node features: columns that let message passing tell nodes apart.",
            needs=(GRAPH,),
            layers_from=PYG,
        ),
        Card(
            "rfp",
            "initkit_gnn.rfp:Rfp",
            "Random features propagated through the graph: the way of a power iteration as positional features.",
            needs=(GRAPH,),
            bits="machine",
            layers_from=PYG,
        ),
        Card(
            "graph_partition",
            "initkit_gnn.graph_partition:GraphPartition",
            "Embedding tables that start from a partition of the graph: each node where its block is.",
            needs=(GRAPH,),
            bits="machine",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """Over-smoothing, and what the graph does to variance."""
    return [
        Probe(
            "smoothing",
            "initkit_gnn.smoothing:smoothing",
            "Dirichlet energy by depth: do node states become alike?",
            needs=(GRAPH,),
        ),
        Probe(
            "factors",
            "initkit_gnn.factors:factors",
            "What each layer's aggregation does to the variance of signal and gradient.",
            needs=(GRAPH,),
        ),
    ]


@hookimpl
def initkit_slots(model: Any) -> list[Slot] | None:
    """The vectors of gensim's models; nothing of anything else."""
    if not any(kind.__module__.partition(".")[0] == "gensim" for kind in type(model).__mro__):
        return None
    from initkit_gnn.gensim_slots import gensim_slots, is_gensim

    return gensim_slots(model) if is_gensim(model) else None


@hookimpl
def initkit_example() -> str:
    """A deep GCN on the karate club."""
    return str(Path(__file__).with_name("example.py"))
