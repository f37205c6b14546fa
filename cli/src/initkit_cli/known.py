"""The directory of known plugins, so that one which is not installed can say how it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A plugin that exists somewhere.

    Args:
        name: the word after ``--plugin``.
        distribution: what pip installs.
        line: what it initialises, in one line.
        signs: beginnings of words in the names of the packages and classes of its layers, as regular expressions.
    """

    name: str
    distribution: str
    line: str
    signs: tuple[str, ...] = ()

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {self.distribution}"


KNOWN = (
    Known(
        "gnn",
        "initkit-gnn",
        "Graph neural networks: scales that account for what the graph does to variance",
        signs=("torch_geometric",),
    ),
    Known(
        "inr",
        "initkit-inr",
        "Implicit neural representations: sine, Gaussian and Fourier feature networks",
        signs=("siren", "sine", "finer", "wire", "gabor"),
    ),
    Known(
        "ssm",
        "initkit-ssm",
        "State space models: HiPPO, S4, S4D, S5, LRU and Mamba layers",
        signs=("mamba", "s4", "s5", "lru", "rwkv", "xlstm", "recurrent_?gemma", "qwen3_next"),
    ),
    Known(
        "kan",
        "initkit-kan",
        "Kolmogorov-Arnold networks: splines and their residual branches",
        signs=("kan", "efficient_kan", "fastkan", "chebykan"),
    ),
    Known(
        "poincare",
        "initkit-poincare",
        "Hyperbolic networks and embeddings: isometries of the ball, trees as points",
        signs=("hypll", "geoopt", "poincare", "lorentz"),
    ),
    Known(
        "tokenizer",
        "initkit-tokenizer",
        "Embedding rows for a changed or extended tokenizer",
        signs=("transformers",),
    ),
    Known(
        "ihmm",
        "initkit-ihmm",
        "Infinite and finite hidden Markov models: states, transitions, emissions",
        signs=("hmmlearn", "initkit_ihmm"),
    ),
)


def known(name: str) -> Known | None:
    """The directory's entry of a name, or None."""
    return next((entry for entry in KNOWN if entry.name == name), None)
