"""A rational network that computes what a trained MLP does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from initkit import Fill, Item, Job, NeedError, PlanError, Recipe, Values
from initkit.errors import listed
from initkit_kan.base import note, seven
from initkit_kan.kat import (
    KAT,
    check_activation,
    coefficient_fills,
    described,
    first_of_several,
    fitted,
    module_form,
    needed_rationals,
    untraced_remarks,
)
from initkit_kan.rational import Fit, Form
from initkit_kan.rationals import Fed, Rational, Wiring, wiring
from initkit_kan.sources import activation_before, known_name


@dataclass(frozen=True)
class FromMlp(Recipe):
    """A rational network that computes what a trained MLP or ViT does: weights copied, activations fitted.

    Each linear layer behind a rational one is copied from the layer of ``mlp`` that has its name, or, where none does,
    from the one that stands in its place; the rational layer becomes the activation that this layer reads there, or
    the identity where it reads none. Everything else of the same name and shape (embeddings, attention, norms, heads)
    is copied too. The output is that of ``mlp`` up to the error of the fit, which the report gives.

    Args:
        activation: of ``mlp``; ``auto`` finds it by tracing its forward; else a name or a function of tensors.
        kernel: the denominator's form, see ``kat``.

    Source: Yang, Wang, Kolmogorov-Arnold Transformer, ICLR 2025 (arXiv 2409.10594), who start models from a ViT so.
    """

    bibtex: ClassVar[str] = KAT

    activation: str | Callable[[Any], Any] = "auto"
    kernel: Literal["auto", "kernel", "fallback", "sum"] = "auto"

    def check(self) -> None:
        """Check the options; the activation's name must be known.

        Raises:
            OptionError: it is not.
        """
        super().check()
        check_activation(self.id, self.activation, ("auto",))

    def plan(self, model: nn.Module, *, mlp: Any) -> Iterator[Item]:
        """Yield coefficients and copies.

        Args:
            model: with rational layers.
            mlp: the trained network, an ``nn.Module`` with its values.

        Raises:
            PlanError: the model has no rational layers, or no linear layer behind one.
            NeedError: ``mlp`` has no layer of the shape asked for.
        """
        rationals = needed_rationals(model, self.id)
        if not isinstance(mlp, nn.Module):
            raise NeedError(f"recipe {self.id}: mlp is {type(mlp).__name__}, expected the trained nn.Module")
        traced = wiring(model, rationals)
        blind = [one.title for one in rationals if not traced.fed.get(one.name)]
        if blind:
            said = f" ({'; '.join(untraced_remarks(traced))})" if traced.untraced else ""
            raise PlanError(f"recipe {self.id}: no linear layer was found behind {listed(blind)}{said}")
        sources = _sources(traced, mlp, self.id)
        firsts = first_of_several(rationals, traced)
        rows: list[dict[str, Any]] = []
        copied: set[str] = set()
        for one in rationals:
            form, _ = module_form(one, self.kernel)
            fit, words = self._fit(one, traced, sources, mlp, form, firsts)
            yield from coefficient_fills(one, fit, words, form)
            rows.append(_row(one, fit, words, form, [sources[fed.name] for fed in traced.fed[one.name]]))
            copied |= {one.full("weight_numerator"), one.full("weight_denominator")}
            for fed in traced.fed[one.name]:
                for item in _copies(fed, mlp, sources[fed.name]):
                    if item.name not in copied:
                        copied.add(item.name)
                        yield item
        yield from _others(model, mlp, copied)
        yield Job("layers", lambda ctx: note(ctx, self.id, rows, []), "adds the fits to the report")

    def _fit(
        self, one: Rational, traced: Wiring, sources: dict[str, str], mlp: nn.Module, form: Form, firsts: set[str]
    ) -> tuple[Fit, str]:
        if self.activation != "auto":
            target = "identity" if one.name in firsts else self.activation
            return fitted(target, form), described(target)
        found = activation_before(mlp, sources[traced.fed[one.name][0].name])
        if found is None:
            return fitted("identity", form), "identity"
        name = known_name(found)
        return fitted(name if name is not None else found, form), name or described(found)


def _sources(traced: Wiring, mlp: nn.Module, recipe: str) -> dict[str, str]:
    """The layer of ``mlp`` for each linear layer, by name, or by place where no name fits."""
    wanted = list({fed.name: fed for linears in traced.fed.values() for fed in linears}.values())
    there = {name: module for name, module in mlp.named_modules() if getattr(module, "weight", None) is not None}
    if all(fed.name in there for fed in wanted):
        found = {fed.name: fed.name for fed in wanted}
    else:
        linears = [name for name, module in there.items() if isinstance(module, type(wanted[0].module))]
        if len(linears) != len(wanted):
            raise NeedError(
                f"recipe {recipe}: mlp has no {listed([fed.name for fed in wanted if fed.name not in there], 3)}, and "
                f"its {len(linears)} linear layers ({listed(linears, 4)}) cannot be matched by place with the "
                f"{len(wanted)} behind rational layers; give the part that corresponds, or rename"
            )
        found = {fed.name: name for fed, name in zip(wanted, linears, strict=True)}
    for fed in wanted:
        mine, theirs = _shape(fed.module), _shape(there[found[fed.name]])
        if mine != theirs:
            raise NeedError(
                f"recipe {recipe}: {fed.name}.weight has shape {mine}, but mlp's {found[fed.name]}.weight has {theirs}"
            )
    return found


def _shape(module: Any) -> tuple[int, ...]:
    return tuple(module.weight.shape)


def _copies(fed: Fed, mlp: nn.Module, source: str) -> Iterator[Fill]:
    theirs: Any = mlp.get_submodule(source)
    for word in ("weight", "bias"):
        mine: Any = getattr(fed.module, word, None)
        if mine is None:
            if getattr(theirs, word, None) is not None and bool(getattr(theirs, word).any()):
                raise NeedError(f"mlp's {source} has a bias, but {fed.name} has none to take it")
            continue
        value = getattr(theirs, word, None)
        yield _copy(f"{fed.name}.{word}", torch.zeros_like(mine) if value is None else value, f"{source}.{word}")


def _others(model: nn.Module, mlp: nn.Module, copied: set[str]) -> Iterator[Fill]:
    theirs = {**dict(mlp.named_parameters()), **dict(mlp.named_buffers())}
    for name, mine in (*model.named_parameters(), *model.named_buffers()):
        value = theirs.get(name)
        if name not in copied and value is not None and value.shape == mine.shape and value.dtype == mine.dtype:
            yield _copy(name, value, name)


def _copy(name: str, value: Tensor, source: str) -> Fill:
    if value.is_meta:
        raise NeedError(f"mlp's {source} is on the meta device and holds no values")
    return Fill(name, Values(value.detach().cpu(), f"mlp's {source}"), why=f"copied from {source} of mlp")


def _row(one: Rational, fit: Fit, words: str, form: Form, sources: list[str]) -> dict[str, Any]:
    return {
        "layer": one.name or "model",
        "form": form,
        "activation": words,
        "rmse": seven(fit.rmse),
        "max_error": seven(fit.largest),
        "max_error_to_10": seven(fit.beyond),
        "copied from": ", ".join(sources),
    }
