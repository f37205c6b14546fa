"""What a file tells of a learned start: coordinates, network, and what it computed when it was learned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from initkit import JobContext
from initkit_inr.calling import Network
from initkit_inr.conventions import Convention
from initkit_inr.layers import LayerPlan

NOTE = "inr/start"
_PROBES = 4

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class StartFacts:
    """The facts of a learned start; they stand in the report and in the provenance of the saved file.

    Attributes:
        about: how it was learned: ``method``, ``inner_lr``, ``output_offset``...
        convention: of the coordinates, where they are known.
        network: a row for each layer: ``weight``, ``shape``, ``activation``; [] where they could not be read.
        probe: a few points with the network's output there: ``coords``, ``output``; [] where there is none.
    """

    about: dict[str, Any]
    convention: Convention | None = None
    network: Rows = field(default_factory=list)
    probe: Rows = field(default_factory=list)

    def note(self, ctx: JobContext, **more: Any) -> None:
        """Add the facts to the report, to be kept in the file."""
        convention = self.convention
        words = {} if convention is None else {"coordinates": str(convention), "order": convention.order}
        ctx.note(NOTE, {**self.about, **words, **more}, saved=True)
        ctx.note(f"{NOTE} axes", [] if convention is None else convention.rows(), saved=True)
        ctx.note(f"{NOTE} network", self.network, saved=True)
        ctx.note(f"{NOTE} probe", self.probe, saved=True)

    @classmethod
    def read(cls, notes: Mapping[str, Any]) -> StartFacts | None:
        """The facts of the last start among a file's notes; None where there is none."""
        about = _last(notes, NOTE)
        if not isinstance(about, dict):
            return None
        axes = _last(notes, f"{NOTE} axes")
        convention = Convention.from_rows(axes, about.pop("order", "")) if axes else None
        for of_the_report_alone in ("coordinates", "learned_in", "added_to_last_bias"):
            about.pop(of_the_report_alone, None)
        return cls(about, convention, _last(notes, f"{NOTE} network") or [], _last(notes, f"{NOTE} probe") or [])


def network_rows(layers: LayerPlan | None) -> Rows:
    """The layers as JSON values: names, widths and activations with their frequencies."""
    return [
        {
            "weight": layer.weight,
            "shape": [layer.n_out, layer.n_in],
            "activation": "none" if layer.activation is None else str(layer.activation),
        }
        for layer in layers or ()
    ]


def probe_rows(net: Network, params: Mapping[str, Tensor], coords: Tensor) -> Rows:
    """A few points with the network's output there, by which another model is known to compute the same."""
    places = sorted({round(i * (len(coords) - 1) / (_PROBES - 1)) for i in range(_PROBES)})
    chosen = coords[places]
    with torch.no_grad():
        out = net(params, chosen)
    if out.is_complex() or len(out) != len(chosen) or not bool(torch.isfinite(out).all()):
        return []
    pairs = zip(chosen.tolist(), out.reshape(len(chosen), -1).tolist(), strict=True)
    return [{"coords": _short(point), "output": _short(values)} for point, values in pairs]


def _short(values: list[float]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _last(notes: Mapping[str, Any], key: str) -> Any:
    """The note of a key, or the last one where several recipes of a run left one."""
    numbered = re.compile(rf"{re.escape(key)}(?: \((\d+)\))?")
    found = {int(match[1] or 1): name for name in notes if (match := numbered.fullmatch(name))}
    return notes[found[max(found)]] if found else None
