"""Starts that were learned before, put into a model that they fit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from initkit import CommitError, FileError, Fill, Item, Job, JobContext, NeedError, PlanError
from initkit.errors import did_you_mean
from initkit_inr import learnit
from initkit_inr.calling import Network
from initkit_inr.conventions import Convention
from initkit_inr.layers import LayerPlan
from initkit_inr.start_facts import StartFacts, network_rows
from initkit_inr.starts import trained_names
from initkit_inr.tasks import read_coords

_PROVENANCE = "initkit"


@dataclass(frozen=True)
class Learned:
    """A learned start.

    Attributes:
        path: of its file.
        tensors: parameters by name; or by place in a chain of layers, ``0.weight``, where ``chain`` is set.
        facts: what the file says of it.
        chain: whether the layers go by their order alone.
    """

    path: str
    tensors: dict[str, Tensor]
    facts: StartFacts
    chain: bool = False

    @classmethod
    def read(cls, path: str) -> Learned:
        """Read a file that initkit saved, or learnit's checkpoint (``.npz``, or its pickle without running it).

        Raises:
            FileError: it is neither, or no learned start.
        """
        if not os.path.isfile(path):
            raise FileError(f"cannot read the start {path}: there is no such file")
        if os.path.splitext(path)[1] in (".npz", ".pkl", ".pickle"):
            pairs = learnit.read_learnit(path)
            tensors = {
                f"{i}.{kind}": t
                for i, pair in enumerate(pairs)
                for kind, t in zip(("weight", "bias"), pair, strict=True)
            }
            return cls(path, tensors, learnit.facts_of(pairs), chain=True)
        try:
            with safe_open(path, framework="pt") as file:
                provenance = json.loads((file.metadata() or {}).get(_PROVENANCE, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError) as error:
            raise FileError(f"cannot read the start {path}: it is no sound safetensors file ({error})") from None
        facts = StartFacts.read(provenance.get("notes", {}))
        if facts is None:
            raise FileError(
                f"cannot read the start {path}: its provenance tells of no learned start (save a model with the report "
                "of inr/meta or inr/strainer); initkit.load reads any other file"
            )
        for alias, name in provenance.get("aliases", {}).items():
            tensors.setdefault(alias, tensors[name])
        return cls(path, tensors, facts)

    def items(
        self, model: nn.Module, layers: LayerPlan | None, coords: Any, recipe: str, leave: Sequence[str] = ()
    ) -> Iterator[Item]:
        """Check that it fits, and yield its fills.

        Args:
            model: the network.
            layers: its layers, where they can be read.
            coords: what it will be called with.
            recipe: id, for messages.
            leave: names that are not filled.

        Raises:
            NeedError: the coordinates are missing or lie otherwise than when it was learned.
            PlanError: the network is another.
        """
        self._check_coords(coords)
        if self.chain and layers is None:
            raise PlanError(
                f"recipe {recipe}: the model's layers cannot be read; say activation=sine:{learnit.OMEGA:g}"
            )
        if layers is not None:
            self._check_network(layers)
        names = self._by_name(model, layers)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            return self._fitted(ctx, names, layers, recipe, leave)

        yield (job := Job("learned", run, f"the start learned in {os.path.basename(self.path)}"))
        for name in names:
            if name not in leave:
                yield Fill(name, job[name], why=f"learned before on coordinates {self.facts.convention}")

    def _check_coords(self, coords: Any) -> None:
        convention = self.facts.convention
        if convention is None:
            return
        if coords is None:
            raise NeedError(
                f"the start in {self.path} is for coordinates on {convention}: give coords=..., those that the model "
                "will be called with, so that they can be compared"
            )
        words = convention.differs(Convention.of(read_coords(coords)))
        if words:
            raise NeedError(f"coords do not fit the start in {self.path}: {words}")

    def _check_network(self, layers: LayerPlan) -> None:
        network = self.facts.network
        if not network:
            return
        if len(network) != len(layers):
            raise PlanError(f"the start in {self.path} is for {len(network)} layers, the model has {len(layers)}")
        for theirs, mine, layer in zip(network, network_rows(layers), layers, strict=True):
            if theirs["shape"] != mine["shape"]:
                raise PlanError(
                    f"{layer.label} has shape {tuple(mine['shape'])}, in the start of {self.path} it is "
                    f"{tuple(theirs['shape'])}"
                )
            if theirs["activation"] != mine["activation"]:
                raise PlanError(
                    f"{layer.label} is followed by the activation {mine['activation']}, in the start of {self.path} by "
                    f"{theirs['activation']}"
                )

    def _by_name(self, model: nn.Module, layers: LayerPlan | None) -> dict[str, Tensor]:
        tensors = self.tensors
        if self.chain:
            assert layers is not None
            tensors = {}
            for layer in layers:
                if layer.bias is None:
                    raise PlanError(f"{layer.label} has no bias, the start in {self.path} has one")
                tensors[layer.weight] = self.tensors[f"{layer.index}.weight"]
                tensors[layer.bias] = self.tensors[f"{layer.index}.bias"]
        named = dict(model.named_parameters())
        found = {}
        for name in trained_names(model):
            if name not in tensors:
                raise PlanError(f"the start in {self.path} has no {name}{did_you_mean(name, tensors)}")
            if tensors[name].shape != named[name].shape:
                mine, theirs = tuple(named[name].shape), tuple(tensors[name].shape)
                raise PlanError(f"{name} has shape {mine}, in the start of {self.path} {theirs}")
            found[name] = tensors[name]
        return found

    def _fitted(
        self, ctx: JobContext, names: dict[str, Tensor], layers: LayerPlan | None, recipe: str, leave: Sequence[str]
    ) -> dict[str, Tensor]:
        """The tensors, with the constant that the learner added to its read-out put into the last bias if need be."""
        net = Network(ctx, recipe, list(names))
        values = {name: net.own(value) for name, value in names.items()}
        note: dict[str, Any] = {"learned_in": os.path.basename(self.path)}
        with ctx.undisturbed():
            shift, has = self._shift(net, values)
            if any(shift):
                bias = layers[-1].bias if layers else None
                if bias is None:
                    raise CommitError(
                        f"{recipe}: the start in {self.path} is for a network that adds "
                        f"{self.facts.about['output_offset']} to its read-out, this one adds another number and has "
                        "no last bias to hold the difference"
                    )
                values[bias] = values[bias] + torch.tensor(shift, device=net.device, dtype=net.dtype)
                note |= {"output_offset": has, "added_to_last_bias": shift}
            self._check_probe(net, values, recipe)
        # Under another decoder the network computes something else.
        (replace(self.facts, probe=[]) if leave else self.facts).note(ctx, **note)
        return values

    def _shift(self, net: Network, values: dict[str, Tensor]) -> tuple[list[float], list[float] | None]:
        """What the learner added to its read-out and this model does not, and what this model adds."""
        wanted, convention = self.facts.about.get("output_offset"), self.facts.convention
        if wanted is None or convention is None:
            return [], None
        ends = torch.tensor([convention.low, convention.high], device=net.device, dtype=net.dtype)
        has = net.offset(values, ends)
        if has is None or len(wanted) not in (1, len(has)):
            return [], has
        theirs = wanted * len(has) if len(wanted) == 1 else wanted
        shift = [float(f"{a - b:.7g}") for a, b in zip(theirs, has, strict=True)]
        return (shift if any(abs(v) > 1e-6 for v in shift) else []), has

    def _check_probe(self, net: Network, values: dict[str, Tensor], recipe: str) -> None:
        probe = self.facts.probe
        if not probe:
            return
        coords = torch.tensor([row["coords"] for row in probe], device=net.device, dtype=net.dtype)
        wanted = torch.tensor([row["output"] for row in probe], device=net.device, dtype=net.dtype)
        out = net(values, coords)
        if out.is_complex() or out.numel() != wanted.numel():
            raise CommitError(
                f"{recipe}: the model gives {tuple(out.shape)}, the start in {self.path} {tuple(wanted.shape)}"
            )
        apart = (out.reshape(wanted.shape) - wanted).abs()
        if float(apart.max()) > 1e-2 * (1 + float(wanted.abs().max())):
            row = int(apart.amax(1).argmax())
            at = [round(v, 4) for v in probe[row]["coords"]]
            raise CommitError(
                f"{recipe}: with the weights of {self.path} the model gives {out.reshape(wanted.shape)[row].tolist()} "
                f"at {at}, but {wanted[row].tolist()} when they were learned: what it does around its layers differs"
            )
