"""The door of the inr plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from initkit import Card, Need, Probe, hookimpl

COORDS = Need("coords", help="the points at which the signal is known, (..., d): an array or a tensor", optional=True)
SIGNAL = Need(
    "signal",
    loader="initkit_inr.signals:load_signal",
    help="the signal to be fitted, channels last: an array, an image or a wav file",
)
INPUTS = Need("inputs", help="what the model is called with: a tensor, or a tuple or dict of arguments", optional=True)
SIGNALS = Need(
    "signals",
    loader="initkit_inr.signal_files:load_signals",
    help="signals of one kind, (n, *grid) or (n, *grid, channels): an array, a list, or a folder of files",
    optional=True,
)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "vi3nr",
            "initkit_inr.vi3nr:Vi3nr",
            "Variance-informed start for any activation: preactivations of one size, gradients that keep theirs.",
            needs=(COORDS, replace(SIGNAL, optional=True), INPUTS),
        ),
        Card(
            "winner",
            "initkit_inr.winner:Winner",
            "Target-aware sine start (WINNER, SIREN²): noise as wide as the signal's spectrum in the first two layers.",
            needs=(COORDS, replace(SIGNAL, optional=True), INPUTS),
        ),
        Card(
            "fresh",
            "initkit_inr.fresh:Fresh",
            "First frequency from the target (FreSh): untrained outputs with the spectrum nearest to the signal's.",
            needs=(replace(COORDS, optional=False), SIGNAL),
        ),
        Card(
            "tuner",
            "initkit_inr.tuner:Tuner",
            "Sampled spectrum (TUNER): whole-numbered first frequencies, low ones densely, high ones sparsely.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "siren",
            "initkit_inr.siren:Siren",
            "SIREN: uniform weights that keep sine layers' distribution from layer to layer.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "finer",
            "initkit_inr.siren:Finer",
            "FINER: SIREN's weights, and a wide first bias that chooses among growing frequencies.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "gauss",
            "initkit_inr.defaults:Gauss",
            "Gaussian networks as their authors start them: torch's default, whatever the width of the Gaussian.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "wire",
            "initkit_inr.defaults:Wire",
            "Wavelet networks (WIRE) as their authors start them: torch's default, for complex layers too.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "weight_scaling",
            "initkit_inr.weight_scaling:WeightScaling",
            "SIREN with larger weights: all but the read-out times α, for faster fits.",
            needs=(COORDS, replace(SIGNAL, optional=True), INPUTS),
        ),
        Card(
            "sine_gradient",
            "initkit_inr.siren:SineGradient",
            "Gradient-preserving sine start: the Jacobian's gain is 1 at every hidden layer.",
            needs=(COORDS, INPUTS),
        ),
        Card(
            "meta",
            "initkit_inr.meta:Meta",
            "Meta-learned start: weights from which a few SGD steps fit a new signal of the kind they have seen.",
            needs=(SIGNALS, COORDS),
            bits="machine",
        ),
        Card(
            "strainer",
            "initkit_inr.strainer:Strainer",
            "Transferable features: layers fitted to several signals at once, under a new random read-out.",
            needs=(SIGNALS, COORDS),
            bits="machine",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """Sizes of preactivations, and the output's spectrum."""
    return [
        Probe(
            "preactivations",
            "initkit_inr.measuring:preactivations",
            "Preactivation sizes against what the weights predict; frequencies in the wrong place.",
        ),
        Probe(
            "spectrum",
            "initkit_inr.measuring:spectrum",
            "Spectrum of the untrained output beside the signal's.",
            needs=(replace(COORDS, optional=False), SIGNAL),
        ),
    ]


@hookimpl
def initkit_example() -> str:
    """A deep Gaussian network that becomes a photograph."""
    return str(Path(__file__).with_name("example.py"))
