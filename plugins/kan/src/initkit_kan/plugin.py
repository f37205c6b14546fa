"""The door of the kan plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from initkit import Card, Need, Probe, hookimpl

INPUTS = Need("inputs", help="what the model is called with, for input=batch", optional=True)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "power",
            "initkit_kan.power:Power",
            "Powers of the number of terms: small splines on a lively residual branch.",
        ),
        Card(
            "lecun",
            "initkit_kan.variance:Lecun",
            "LeCun's rule for basis functions: every term gets an equal share of the input's variance.",
            needs=(INPUTS,),
        ),
        Card(
            "glorot",
            "initkit_kan.variance:Glorot",
            "Glorot's rule for basis functions: a compromise between signals and gradients, one scale for all "
            "functions.",
            needs=(INPUTS,),
        ),
        Card(
            "glorot_fine",
            "initkit_kan.variance:GlorotFine",
            "Glorot's rule for each basis function of its own: functions that are rarely active get larger "
            "coefficients.",
            needs=(INPUTS,),
        ),
        Card(
            "iso",
            "initkit_kan.iso:Iso",
            "The residual branch carries the variance; splines get a share that cannot blow up gradients.",
            needs=(INPUTS,),
        ),
        Card(
            "kat",
            "initkit_kan.kat:Kat",
            "Rational layers that start as a named activation, and keep the variance of the linear layers behind them.",
        ),
        Card(
            "from_mlp",
            "initkit_kan.from_mlp:FromMlp",
            "A rational network that computes what a trained MLP or ViT does: weights copied, activations fitted.",
            needs=(Need("mlp", help="the trained network whose function is kept"),),
        ),
        Card(
            "default",
            "initkit_kan.default:Default",
            "What each library starts its layers with, from reproducible streams: resets, and the baseline of "
            "comparisons.",
            bits="machine",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """Grids, branches and denominators."""
    return [
        Probe(
            "grid",
            "initkit_kan.coverage:grid",
            "Share of inputs outside the grids, where splines neither act nor learn.",
        ),
        Probe("branches", "initkit_kan.branches:branches", "Variance that splines and residual branches carry."),
        Probe(
            "rational",
            "initkit_kan.denominators:rational_forms",
            "Which activation rational layers start as, and coefficients that were fitted to another denominator.",
        ),
    ]


@hookimpl
def initkit_example() -> str:
    """A network of rational layers on the digits of scikit-learn; it needs no library of such layers."""
    return str(Path(__file__).with_name("example_kat.py"))
