"""The tensors of a model that have a vocabulary axis, and the numbers that must follow them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from initkit import PlanError
from initkit.errors import did_you_mean, listed
from initkit.slots import Slot, Slots, slots_of

Role = Literal["input", "head", "bias"]


@dataclass(frozen=True)
class VocabTensor:
    """A tensor with one row (or entry) a token.

    Args:
        name: of its slot.
        role: ``input``: what tokens are looked up in; ``head``: what logits come from; ``bias``: one number a token.
        axis: of the vocabulary.
        rows: its size.
        shape: of the tensor.
        tied: whether the head is the same tensor (of an input).
    """

    name: str
    role: Role
    axis: int
    rows: int
    shape: tuple[int, ...]
    tied: bool = False


@dataclass(frozen=True)
class VocabTensors:
    """All tensors of a model with a vocabulary axis.

    Args:
        rows: tokens that the model has room for.
        width: of an embedding.
        tensors: the input first.
        counts: dotted paths of attributes that hold the number of rows.
        outputs: names of the modules that give logits, the one in use last.
    """

    rows: int
    width: int
    tensors: tuple[VocabTensor, ...]
    counts: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    @property
    def input(self) -> VocabTensor:
        """What tokens are looked up in."""
        return self.tensors[0]

    @property
    def head(self) -> VocabTensor | None:
        """What logits come from, where it is a tensor of its own."""
        return next((tensor for tensor in self.tensors if tensor.role == "head"), None)

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        embedding: str = "",
        head: str = "",
        extra: Sequence[str] = (),
        other: Sequence[str] = (),
    ) -> VocabTensors:
        """Find them.

        Models of transformers say which module is which; elsewhere the largest embedding is the input, and a linear
        layer with as many outputs as it has rows is the head.

        Args:
            model: the subject.
            embedding: name of the input module, where it is not found.
            head: name of the output module, where it is not found.
            extra: names of further tensors with a vocabulary axis.
            other: names (or globs) of tensors that have a dimension of that size by chance.

        Raises:
            PlanError: there is no embedding; a tensor has a dimension of that size and no known part; a tensor is
                quantised, partitioned or shares memory with another without being the same parameter.
        """
        if not isinstance(model, nn.Module):
            raise PlanError(f"{type(model).__name__} is no nn.Module: a model with an embedding is needed")
        return _Finder(model, slots_of(model)).find(embedding, head, list(extra), list(other))


def input_rows(model: nn.Module) -> int:
    """Rows of the table that tokens are looked up in.

    Raises:
        PlanError: there is no embedding, or several.
    """
    finder = _Finder(model, slots_of(model))
    return int(finder.slot(copies(finder.input(""))[0], "weight").shape[0])


class _Finder:
    def __init__(self, model: nn.Module, slots: Slots) -> None:
        self.model, self.slots = model, slots
        self.names = {id(module): name for name, module in model.named_modules(remove_duplicate=False)}

    def find(self, embedding: str, head: str, extra: list[str], other: list[str]) -> VocabTensors:
        sources = copies(self.input(embedding))
        source = sources[0]
        weight = self.slot(source, "weight")
        if len(weight.shape) != 2 or 0 in weight.shape:
            raise PlanError(_unreadable(weight))
        rows, width = weight.shape
        outputs = copies(self._output(head, rows, width))
        found = [self._tensor(weight, "input", rows, tied=False)]
        found += [self._tensor(self.slot(module, "weight"), "input", rows) for module in sources[1:]]
        for module in outputs:
            out = self.slot(module, "weight")
            place = next((i for i, tensor in enumerate(found) if tensor.name == out.name), None)
            if place is not None:
                found[place] = self._tensor(out, "input", rows, tied=True)
            else:
                self._check_memory(weight, out)
                # A decoder's own embedding that its head is tied to is read as an input, too.
                reads = any(isinstance(owner, nn.Embedding) for owner in self._owners(out))
                found.append(self._tensor(out, "input" if reads else "head", rows, tied=reads))
        for name in extra:
            slot = self._named(name)
            if slot.name not in {tensor.name for tensor in found}:
                found.append(self._tensor(slot, "bias" if _is_bias(slot, rows) else "input", rows))
        found += self._rest(found, rows, outputs, other)
        for tensor in found:
            _check_kind(self.slots[tensor.name])
        modules = {id(owner): owner for tensor in found for owner in self._owners(self.slots[tensor.name])}
        counts = tuple(self._counts(list(modules.values()), rows))
        return VocabTensors(rows, width, tuple(found), counts, tuple(self.names[id(module)] for module in outputs))

    def input(self, name: str) -> nn.Module:
        if name:
            return self._module(name, "embedding")
        given = _asked(self.model, "get_input_embeddings")
        if given is not None:
            return given
        tables = [(name, module) for name, module in self.model.named_modules() if isinstance(module, nn.Embedding)]
        if not tables:
            raise PlanError(f"{type(self.model).__name__} has no embedding; name its module with embedding=NAME")
        most = max(module.num_embeddings for _, module in tables)
        largest = [(name, module) for name, module in tables if module.num_embeddings == most]
        if len({id(module.weight) for _, module in largest}) > 1:
            raise PlanError(
                f"{listed(name for name, _ in largest)} all have {most} rows; say with embedding=NAME which one holds "
                f"the tokens (and name others that do with extra_vocab_params)"
            )
        return largest[0][1]

    def _output(self, name: str, rows: int, width: int) -> nn.Module | None:
        if name:
            return self._module(name, "head_module")
        if callable(getattr(self.model, "get_output_embeddings", None)):
            return _asked(self.model, "get_output_embeddings")
        heads = [
            (name, module)
            for name, module in self.model.named_modules()
            if rows == (module.out_features if isinstance(module, nn.Linear) else getattr(module, "nf", None))
        ]
        if len({id(module.weight) for _, module in heads}) > 1:
            raise PlanError(
                f"{listed(name for name, _ in heads)} all have {rows} outputs; say which with head_module=NAME"
            )
        return heads[0][1] if heads else None

    def _rest(
        self, found: list[VocabTensor], rows: int, outputs: list[nn.Module], other: list[str]
    ) -> Iterator[VocabTensor]:
        """Biases of the head by their place; everything else with that size must be named."""
        known = {tensor.name for tensor in found}
        places = self._places(outputs)
        strange = []
        for slot in self.slots.values():
            names = (slot.name, *slot.aliases)
            if slot.name in known or rows not in slot.shape:
                continue
            if not slot.dtype.is_floating_point and not slot.saved:
                continue  # positions and masks that a model makes anew when it is loaded
            if any(fnmatch.fnmatchcase(name, glob) for name in names for glob in other):
                continue
            if _is_bias(slot, rows) and places & set(names):
                yield self._tensor(slot, "bias", rows)
            else:
                strange.append(f"{slot.name} {tuple(slot.shape)}")
        if strange:
            raise PlanError(
                f"{listed(strange)}: a dimension of {rows}, as many as the embedding has rows, and no known part; "
                f"name those with one row a token in extra_vocab_params, the others in other_params"
            )

    def _places(self, outputs: list[nn.Module]) -> set[str]:
        """Where a head keeps one number a token: in the module itself, in those around it, or at the top."""
        found = {"final_logits_bias"}
        for name, module in self.model.named_modules(remove_duplicate=False):
            if any(module is output for output in outputs):
                parts = name.split(".")
                found |= {".".join([*parts[:depth], "bias"]) for depth in range(1, len(parts) + 1)}
        return found

    def _tensor(self, slot: Slot, role: Role, rows: int, *, tied: bool = False) -> VocabTensor:
        axes = [axis for axis, size in enumerate(slot.shape) if size == rows]
        if not axes:
            raise PlanError(
                f"{slot.name} {tuple(slot.shape)}: no dimension has {rows}, as many as the embedding has rows"
            )
        # A square table has its tokens in rows, as nn.Embedding and nn.Linear have.
        return VocabTensor(slot.name, role, axes[0], rows, tuple(slot.shape), tied)

    def _owners(self, slot: Slot) -> Iterator[nn.Module]:
        """The modules that hold a tensor under one of its names."""
        for name in (slot.name, *slot.aliases):
            yield self.model.get_submodule(name.rpartition(".")[0])

    def slot(self, module: nn.Module, attribute: str) -> Slot:
        name = self.names.get(id(module))
        if hasattr(module, "base_layer") or hasattr(module, "token_adapter"):
            raise PlanError(
                f"{name} carries an adapter with a vocabulary axis of its own; merge it into the model first "
                f"(merge_and_unload), or train the whole module instead (modules_to_save)"
            )
        tensor = getattr(module, attribute, None)
        if name is None or not isinstance(tensor, torch.Tensor):
            raise PlanError(
                f"{name or type(module).__name__} ({type(module).__name__}) has no {attribute}; merge adapters into "
                f"the model first, or name the module with embedding= or head_module="
            )
        return self.slots.find(f"{name}.{attribute}" if name else attribute, "vocabulary")

    def _named(self, name: str) -> Slot:
        return self.slots.find(name, "extra_vocab_params or other_params")

    def _module(self, name: str, option: str) -> nn.Module:
        modules = dict(self.model.named_modules(remove_duplicate=False))
        if name not in modules:
            raise PlanError(f"{option}={name!r}: there is no such module{did_you_mean(name, modules)}")
        found: nn.Module = modules[name]
        return found

    def _check_memory(self, one: Slot, two: Slot) -> None:
        if not (one.present and two.present):
            return
        first, second = one.read(), two.read()
        if first.numel() and first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr():
            raise PlanError(
                f"{one.name} and {two.name} share their memory but are two parameters, so one would lose the other "
                f"when it grows; make them one: head.weight = embedding.weight"
            )

    def _counts(self, modules: list[nn.Module], rows: int) -> Iterator[str]:
        """Attributes that hold the number of rows: of both modules, of the configuration and of the models inside."""
        for module in modules:
            for attribute in ("num_embeddings", "out_features", "nf"):
                if getattr(module, attribute, None) == rows:
                    yield f"{self.names[id(module)]}.{attribute}".lstrip(".")
        seen: set[int] = set()
        for name, module in self.model.named_modules():
            prefix = f"{name}." if name else ""
            if isinstance(vars(module).get("vocab_size"), int) and module.vocab_size == rows:
                yield f"{prefix}vocab_size"
            config = vars(module).get("config")
            if config is None or isinstance(config, dict):
                continue
            for part in ("", "text_config.", "decoder.", "encoder."):
                inner = config if not part else getattr(config, part.rstrip("."), None)
                if inner is None or id(inner) in seen or not hasattr(inner, "vocab_size"):
                    continue
                seen.add(id(inner))
                if inner.vocab_size == rows or (name == "" and part == "" and isinstance(inner.vocab_size, int)):
                    yield f"{prefix}config.{part}vocab_size"
                further = [key for key, value in sorted(vars(inner).items()) if "vocab_size" in key and value == rows]
                yield from (f"{prefix}config.{part}{key}" for key in further if key != "vocab_size")


def copies(module: nn.Module | None) -> list[nn.Module]:
    """A module, or the copies of it that PEFT keeps where it is trained whole: the original and one an adapter."""
    trained = getattr(module, "modules_to_save", None)
    if module is None or not isinstance(trained, nn.ModuleDict):
        return [] if module is None else [module]
    original = module.get_submodule("original_module")
    return [original, *trained.values()]


def _is_bias(slot: Slot, rows: int) -> bool:
    return sum(size != 1 for size in slot.shape) == 1 and rows in slot.shape


def _asked(model: nn.Module, method: str) -> nn.Module | None:
    function = getattr(model, method, None)
    if not callable(function):
        return None
    try:
        found = function()
    except (NotImplementedError, AttributeError):
        return None
    return found if isinstance(found, nn.Module) else None


def _check_kind(slot: Slot) -> None:
    if not (slot.dtype.is_floating_point and slot.dtype.itemsize >= 2):
        raise PlanError(f"{slot.name}: {slot.dtype} is a quantised type; change the vocabulary before quantising")


def _unreadable(slot: Slot) -> str:
    if 0 in slot.shape:
        return (
            f"{slot.name} {tuple(slot.shape)}: it is empty here, so it is partitioned (ZeRO-3); change the vocabulary "
            f"before deepspeed.initialize, or inside deepspeed.zero.GatheredParameters"
        )
    return (
        f"{slot.name} {tuple(slot.shape)}: an embedding has two dimensions; quantised ones must be changed before that"
    )
