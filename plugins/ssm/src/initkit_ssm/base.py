"""What the plugin's recipes share: which layers they set, and what they say of the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from initkit import Fill, Item, Job, JobContext, Keep, PlanError, Recipe
from initkit.errors import listed
from initkit_ssm.layers import Found, Layer, find_layers

_LOW = (torch.bfloat16, torch.float16)
_DYNAMICS = ("rate", "freq", "dt", "nu", "theta", "gamma", "decay", "rate_b", "dt_b")


@dataclass(frozen=True)
class LayerRecipe(Recipe):
    """A recipe that sets every layer of some kinds, one after the other.

    A subclass names the ``kinds`` and yields the items of one layer in :meth:`layer_items`.

    Args:
        strict: whether a module with a state space layer's names that no adapter can describe is an error; if not, it
            is left and reported.
    """

    kinds: ClassVar[Sequence[str]] = ()
    """The kinds of layers that the recipe sets, see :mod:`initkit_ssm.layers`."""

    sets: ClassVar[Sequence[str]] = ()
    """The roles that the recipe sets; empty for all of a layer's."""

    strict: bool = True

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Names of the tensors that hold what the recipe sets."""
        if not isinstance(model, nn.Module):
            return []
        layers = find_layers(model, strict=False).of(cls.kinds)
        held = [where for layer in layers for role, where in layer.roles.items() if not cls.sets or role in cls.sets]
        return [name for where in held for name in where.tensors]

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield the items of each layer in registration order, keeps for what is not set, and remarks.

        Args:
            model: with layers of the recipe's kinds.

        Raises:
            PlanError: there is none, or one has a family's names but no adapter can describe it.
        """
        yield from self.items(model, self.layers(model))

    def layers(self, model: nn.Module) -> Found:
        """The layers found; PlanError where there is none of the recipe's kinds."""
        found = find_layers(model, self.strict)
        wanted = self.wanted(found)
        if not found.of(wanted):
            others = [f"{layer.title} is of kind {layer.kind}" for layer in found.layers]
            there = f"; {listed([*others, *found.unknown], 4)}" if others or found.unknown else ""
            raise PlanError(
                f"recipe {self.id}: {type(model).__name__} has no layer of the kinds {', '.join(wanted)}{there}; "
                "a layer class of one's own is taught with initkit_ssm.register"
            )
        return found

    def items(self, model: nn.Module, found: Found) -> Iterator[Item]:
        """The items of all layers, and the remarks as a note in the report."""
        yield from self.items_by(model, found, self.layer_items)

    def items_by(self, model: nn.Module, found: Found, of_layer: Callable[[Layer], Iterator[Item]]) -> Iterator[Item]:
        """The items of all layers, where ``of_layer`` yields those of one."""
        remarks, marks = list(found.unknown), dict[str, dict[str, bool]]()
        dtypes = {name: tensor.dtype for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        filled: dict[str, Fill] = {}
        for layer in found.of(self.wanted(found)):
            set_here: set[str] = set()
            for item in of_layer(layer):
                if isinstance(item, Fill):
                    set_here.add(item.name)
                    # Kernels of one layer, such as those of two directions, may share its D.
                    if item.draw == filled.setdefault(item.name, item).draw and item is not filled[item.name]:
                        continue
                yield item
            remarks += [*self.remarks(layer), *_low_precision(layer, set_here, dtypes)]
            marks |= _marks(layer, set_here)
            for role, where in layer.roles.items():
                yield from (
                    Keep(name, f"{role}: not part of this recipe") for name in where.tensors if name not in set_here
                )
        if marks:
            words = f"marks {len(marks)} tensors as set, dynamics as free of weight decay"
            yield Job("marks", lambda ctx: _mark(ctx, marks), words)
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        if remarks:
            rows = [{"remark": remark} for remark in remarks]
            yield Job("remarks", lambda ctx: _note(ctx, f"{self.id} remarks", rows), "adds remarks to the report")

    def wanted(self, found: Found) -> Sequence[str]:
        """The kinds that these options set in this model: ``kinds``, unless a subclass says otherwise."""
        return self.kinds

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """Yield the items of one layer."""
        raise NotImplementedError

    def remarks(self, layer: Layer) -> list[str]:
        """What a user should know of a layer after it is set."""
        return []


def _note(ctx: JobContext, key: str, rows: list[dict[str, str]]) -> dict[str, Tensor]:
    ctx.note(key, rows)
    return {}


def _marks(layer: Layer, names: set[str]) -> dict[str, dict[str, bool]]:
    """What optimizers and initialisation hooks of other libraries look for, by tensor.

    ``_no_weight_decay``: state-spaces' and its relatives' mark of dynamics. ``_no_reinit``: mamba_ssm's, on biases of
    dt. ``_is_hf_initialized``: transformers' initialisation leaves such a tensor.
    """
    marks = {name: {"_is_hf_initialized": True} for name in sorted(names)}
    for role, where in layer.roles.items():
        for name in where.tensors:
            if name in marks and (role in _DYNAMICS or role in ("D", "D_b", "time_decay")):
                marks[name]["_no_weight_decay"] = True
            if name in marks and role in ("dt", "dt_b"):
                marks[name]["_no_reinit"] = True
    return marks


def _mark(ctx: JobContext, marks: dict[str, dict[str, bool]]) -> dict[str, Tensor]:
    for name, flags in marks.items():
        ctx.mark(name, **flags)
    return {}


def _low_precision(layer: Layer, names: set[str], dtypes: dict[str, torch.dtype]) -> list[str]:
    """Warn of time constants stored in half types: rounding shifts them by up to 1.6 percent."""
    held = {
        name
        for role, where in layer.roles.items()
        if role in _DYNAMICS
        for name in where.tensors
        if name in names and dtypes.get(name) in _LOW
    }
    if not held:
        return []
    kinds = sorted({str(dtypes[name]).removeprefix("torch.") for name in held})
    return [
        f"{listed(sorted(held))} {'is' if len(held) == 1 else 'are'} stored in {', '.join(kinds)}: time constants are "
        "rounded by up to 1.6 %; keep these tensors in float32"
    ]
