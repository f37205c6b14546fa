"""The door of the ihmm plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit import Card, Need, hookimpl

if TYPE_CHECKING:
    from initkit.slots import Slot

SEQUENCES = Need(
    "sequences",
    loader="initkit_ihmm.sequences:load_sequences",
    help="an array (T, D), a list of them, or a path to .npy, .npz or .csv",
)
LENGTHS = Need("lengths", help="of the sequences in one array; their sum is T", optional=True)
HOMES = ("hmmlearn", "initkit_ihmm")
# A model can hold nothing of ours before one of these is imported; the package itself comes with this module.
LAYERS = ("hmmlearn", "initkit_ihmm.sampler")


def _card(name: str, target: str, summary: str) -> Card:
    return Card(name, f"initkit_ihmm.{target}", summary, needs=(SEQUENCES, LENGTHS), bits="machine", layers_from=LAYERS)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        _card(
            "portfolio",
            "portfolio:Portfolio",
            "Several clusterings, ten EM steps of the model from each, the likeliest kept: the start for finite HMMs.",
        ),
        _card(
            "overfit_merge",
            "overfit:OverfitMerge",
            "Too many clusters, a few EM steps, then states merged while the marginal likelihood gains: "
            "chooses K itself.",
        ),
        _card(
            "kmeans",
            "partitions:KMeans",
            "k-means on single steps, standardised: the plain clustering start.",
        ),
        _card(
            "windowed",
            "time_aware:Windowed",
            "k-means on windows' means, variances and correlations: for states that differ in more than their means.",
        ),
        _card(
            "jump",
            "time_aware:Jump",
            "The statistical jump model: k-means with a price on every change of state, exact over time.",
        ),
        _card(
            "segment",
            "time_aware:Segment",
            "Change points first, then clusters of segments by their means, variances and correlations.",
        ),
        _card(
            "gmm",
            "partitions:GMM",
            "A Gaussian mixture with full covariances: soft memberships, states of different shape and size.",
        ),
        _card(
            "hierarchical",
            "partitions:Hierarchical",
            "Agglomerative clustering of single steps: Ward's, complete or average linkage, cut at the number of "
            "states.",
        ),
        _card(
            "kmedoids",
            "partitions:KMedoids",
            "k-medoids (FasterPAM) on single steps: centres that are observations, under any distance.",
        ),
        _card(
            "spectral",
            "partitions:Spectral",
            "Spectral clustering on the graph of nearest neighbours, for states of odd shape; at most 5,000 steps.",
        ),
        _card(
            "hdbscan",
            "density:Hdbscan",
            "HDBSCAN: clusters where observations are dense, as many as there are; noise goes to the nearest mean.",
        ),
        _card(
            "dp_means",
            "density:DpMeans",
            "DP-means: k-means that opens a cluster for a step too far from all others, as a Dirichlet process would.",
        ),
        _card(
            "contig",
            "blocks:Contig",
            "Equal blocks of time, one after the other, in each sequence: strong where states are seldom visited "
            "again.",
        ),
        _card(
            "random_blocks",
            "blocks:RandomBlocks",
            "Means of a few random blocks of time as centres, every step to the nearest.",
        ),
        _card(
            "uniform",
            "blocks:Uniform",
            "Labels at random, each state as likely as the others: the usual start of samplers, and the one to beat.",
        ),
        _card(
            "single",
            "blocks:Single",
            "One state for all steps: what a sampler rarely leaves; for tests.",
        ),
    ]


@hookimpl
def initkit_slots(model: Any) -> list[Slot] | None:
    """The arrays of hmmlearn's estimators and of the beam sampler; nothing of anything else."""
    if not any(kind.__module__.partition(".")[0] in HOMES for kind in type(model).__mro__):
        return None
    from initkit_ihmm.hmm_slots import hmm_slots

    return hmm_slots(model)


@hookimpl
def initkit_example() -> str:
    """A Gaussian HMM on a yearly or daily series."""
    return str(Path(__file__).with_name("example.py"))
