"""Save a started model: safetensors with its provenance, and the report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from initkit._files import write_text, write_whole
from initkit._names import unwrapped
from initkit.errors import FileError, listed
from initkit.report import FORMAT, Report
from initkit.slots import slots_of

METADATA_KEY = "initkit"
OUTPUTS = "outputs/"


def save(model: Any, path: str | os.PathLike[str], *, report: Report | None = None) -> None:
    """Write the model's tensors, and the report's outputs, to one safetensors file.

    Tied tensors are stored once; their other names stand in the metadata key ``initkit``, canonical JSON that also
    holds recipes, options, seed and versions. The same tensors and report give the same bytes.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        path: of the file; an existing one is replaced in one step.
        report: of :func:`initkit.apply`.

    Raises:
        FileError: the file cannot be written, or a tensor has no values.
    """
    slots = slots_of(unwrapped(model))
    held = [slot for slot in slots.values() if slot.saved]
    hollow = [slot.name for slot in held if not slot.present and (slot.is_meta() or slot.lazy)]
    if hollow:
        raise FileError(f"cannot save {listed(hollow)}: without values (on the meta device, or of unknown shape)")
    tensors = {slot.name: _storable(slot.read()) for slot in held if slot.present}
    provenance: dict[str, Any] = {"format": FORMAT}
    if report is not None:
        provenance |= report.provenance()
        tensors |= {OUTPUTS + name: _storable(value) for name, value in report.outputs.items()}
    provenance["aliases"] = {alias: slot.name for slot in held for alias in slot.aliases}
    text = json.dumps(provenance, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata={METADATA_KEY: text}))


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the report as JSON, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    write_text(Path(path), report.to_json())


def _storable(tensor: torch.Tensor) -> torch.Tensor:
    # safetensors refuses shared and strided storage; a copy on the CPU has neither.
    return tensor.detach().to("cpu", copy=True).contiguous().resolve_conj().resolve_neg()
