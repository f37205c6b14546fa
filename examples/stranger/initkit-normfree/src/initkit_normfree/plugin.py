"""The door of the plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from initkit import Card, Probe, hookimpl


@hookimpl
def initkit_recipes() -> list[Card]:
    """The cards, the default first."""
    return [
        Card(
            "tfixup",
            "initkit_normfree.tfixup:TFixup",
            "Transformers without layer normalisation and warm-up: Xavier, scaled down with depth.",
        )
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """The cards of the probes."""
    return [
        Probe(
            "residuals",
            "initkit_normfree.residuals:residuals",
            "How much each Transformer layer adds to what passes through it.",
            needs=["inputs"],
        )
    ]


@hookimpl
def initkit_example() -> str:
    """A deep Transformer without layer normalisation."""
    return str(Path(__file__).with_name("example.py"))
