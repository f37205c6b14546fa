"""Rational layers that start as a named activation, and the linear layers behind them."""

from __future__ import annotations

import fnmatch
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from initkit import Constant, Draw, Fill, Item, Job, Keep, Normal, OptionError, PlanError, Recipe, Values
from initkit.errors import did_you_mean, listed
from initkit_kan.base import note, seven
from initkit_kan.rational import (
    ALIASES,
    DENOMINATOR,
    IDENTITY,
    TARGETS,
    Coefficients,
    Fit,
    Form,
    fit_rational,
    mean_square,
    measured,
    named,
)
from initkit_kan.rationals import Fed, Rational, Wiring, coefficients, find_rationals, form_of, wiring

REPOSITORY_STD = 0.02
"""Standard deviation that the authors' models start every linear layer with, whatever the activation."""

KAT = """@inproceedings{yang2025kat,
  title = {Kolmogorov-Arnold Transformer},
  author = {Yang, Xingyi and Wang, Xinchao},
  booktitle = {International Conference on Learning Representations},
  year = {2025},
  eprint = {2409.10594},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class Kat(Recipe):
    """Rational layers that start as a named activation, and keep the variance of the linear layers behind them.

    The coefficients of F(x) = (a0 + ... + a5 x⁵)/(1 + Σ |b_i| |x|^i) are fitted to the activation in the form that the
    module computes. The linear layer that reads a rational one is drawn with::

        W ~ N(0, α/fan_in),   α = σ²/E[F(x)²],   x ~ N(0, σ²),   bias 0

    by quadrature, from the coefficients themselves. In a module with several rational layers the first one in the order
    of execution starts as the identity, as in the transformer's blocks ``act1 → fc1 → act2 → fc2``.

    Args:
        activation: a name, a function of tensors (fitted then, so that the bits are one machine's), or ``keep`` for the
            coefficients that are there.
        identity: globs of the rational layers that start as the identity; None follows the rule above.
        kernel: the denominator's form; ``auto`` finds it by calling the module. ``fallback`` is 1 + Σ |b_i| x^i, which
            the CPU code computes: its denominator can cross 0, so that the fit has even powers alone.
        linear: ``variance`` is the rule above, ``repo`` std 0.02 as in the authors' models, ``keep`` leaves the layers.
        sigma: σ.
        jitter: b of identities: the CPU code never trains denominators that start at 0.

    Source: Yang, Wang, Kolmogorov-Arnold Transformer, ICLR 2025 (arXiv 2409.10594). The released code's variance rule
    is overwritten by std 0.02, and its gelu coefficients were fitted to another denominator; here they are fitted anew.
    """

    bibtex: ClassVar[str] = KAT

    activation: str | Callable[[Any], Any] = "swish"
    identity: tuple[str, ...] | None = None
    kernel: Literal["auto", "kernel", "fallback", "sum"] = "auto"
    linear: Literal["variance", "repo", "keep"] = "variance"
    sigma: Annotated[float, Gt(0)] = 1.0
    jitter: Annotated[float, Ge(0)] = 0.0

    def check(self) -> None:
        """Check the options; the activation's name must be known.

        Raises:
            OptionError: it is not.
        """
        super().check()
        check_activation(self.id, self.activation, ("keep",))

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Names of the coefficients of rational layers."""
        if not isinstance(model, nn.Module):
            return []
        try:
            found = find_rationals(model)
        except PlanError:
            return []
        return [one.full(f"weight_{word}") for one in found for word in ("numerator", "denominator")]

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield the coefficients of each rational layer, then the linear layers behind it.

        Args:
            model: with rational layers.

        Raises:
            PlanError: there are none; channels do not split into the groups.
        """
        rationals = needed_rationals(model, self.id)
        traced = wiring(model, rationals)
        identities = self._identities(rationals, traced)
        rows, remarks, facts = [], list[str](), list[str]()
        done: set[str] = set()
        for one in rationals:
            form, known = module_form(one, self.kernel)
            if not known:
                facts.append(f"{one.title} cannot run here: taken to compute the kernels' form")
            start = one.name in identities
            yield from self._coefficients(one, form, start)
            if start and form != "kernel" and self.jitter == 0 and self.activation != "keep":
                facts.append(f"{one.title}: its code gives b = 0 no gradient; jitter=1e-4 lets denominators train")
            fed = [linear for linear in traced.fed.get(one.name, []) if linear.name not in done]
            row, squares = self._row(one, form, start)
            if not traced.fed.get(one.name):
                remarks.append(f"{one.title}: no linear layer was found behind it; its coefficients alone are set")
            for linear in fed:
                done.add(linear.name)
                if linear.norms:
                    facts.append(f"{linear.name}: {listed(linear.norms)} before it makes its input's scale irrelevant")
                yield from self._linear(one, linear, squares)
            rows.append({**row, "linear": ", ".join(linear.name for linear in fed)})
        if remarks:
            remarks += untraced_remarks(traced)
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        said = [*remarks, *facts]
        yield Job("layers", lambda ctx: note(ctx, self.id, rows, said), "adds the fits and gains to the report")

    def _identities(self, rationals: Sequence[Rational], traced: Wiring) -> set[str]:
        if self.activation == "keep":
            return set()
        if self.identity is None:
            return first_of_several(rationals, traced)
        names = [one.name for one in rationals]
        for glob in self.identity:
            if not fnmatch.filter(names, glob):
                raise PlanError(
                    f"recipe {self.id}, option identity={glob!r} matches no rational layer"
                    f"{did_you_mean(glob, names)}; there are {listed(names)}"
                )
        return {name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in self.identity)}

    def _target(self, start: bool) -> str | Callable[[Any], Any]:
        return "identity" if start else self.activation

    def _coefficients(self, one: Rational, form: Form, start: bool) -> Iterator[Item]:
        if self.activation == "keep":
            for word in ("numerator", "denominator"):
                yield Keep(one.full(f"weight_{word}"), "activation=keep")
            return
        yield from coefficient_fills(one, self._fit(form, start), described(self._target(start)), form)

    def _fit(self, form: Form, start: bool) -> Fit:
        fit = fitted(self._target(start), form)
        if not (start and self.jitter):
            return fit
        moved = Coefficients(IDENTITY.a, (self.jitter,) * DENOMINATOR)
        return measured(moved, TARGETS["identity"], form)

    def _row(self, one: Rational, form: Form, start: bool) -> tuple[dict[str, Any], list[float]]:
        """A line of the report, and E[F²] of each group."""
        row: dict[str, Any] = {"layer": one.name or "model", "groups": one.groups, "form": form}
        if self.activation == "keep":
            squares = [mean_square(a, b, form, self.sigma) for a, b in coefficients(one)]
        else:
            fit = self._fit(form, start)
            a, b = np.array(fit.coefficients.a), np.array(fit.coefficients.b)
            squares = [mean_square(a, b, form, self.sigma)] * one.groups
            row |= {
                "activation": described(self._target(start)),
                "rmse": seven(fit.rmse),
                "max_error": seven(fit.largest),
                "max_error_to_10": seven(fit.beyond),
            }
        low, high = min(squares), max(squares)
        if not low > 0:
            raise PlanError(f"{one.title}: its function is 0 everywhere; name an activation")
        row["mean_square"] = seven(low) if low == high else f"{seven(low)} to {seven(high)}"
        row["alpha"] = seven(self.sigma**2 / low) if low == high else "by group"
        return row, squares

    def _linear(self, one: Rational, linear: Fed, squares: list[float]) -> Iterator[Item]:
        weight, bias = f"{linear.name}.weight", f"{linear.name}.bias"
        if linear.fan_in % one.groups:
            raise PlanError(
                f"{linear.name}.weight: its {linear.fan_in} inputs do not split into the {one.groups} groups of "
                f"{one.title}; num_groups must divide the width"
            )
        if self.linear == "keep":
            return
        if self.linear == "repo":
            yield Fill(weight, Normal(REPOSITORY_STD), why="std 0.02, as in the authors' models")
        else:
            alphas = [seven(self.sigma**2 / square) for square in squares]
            yield Fill(weight, _draw(linear, alphas), why=_why(linear, alphas))
        if getattr(linear.module, "bias", None) is not None:
            yield Fill(bias, Constant(0.0), why="no offset")


def check_activation(recipe: str, activation: Any, others: Sequence[str]) -> None:
    """Refuse a name that is none of the named activations.

    Raises:
        OptionError: names what there is.
    """
    known = [*TARGETS, *ALIASES, *others]
    if isinstance(activation, str) and activation not in known:
        raise OptionError(
            f"recipe {recipe}, option activation={activation!r}: no such activation"
            f"{did_you_mean(activation, known)}; there are {', '.join(known)}, and any function"
        )


def needed_rationals(model: Any, recipe: str) -> list[Rational]:
    """The rational layers of a model.

    Raises:
        PlanError: there are none.
    """
    found = find_rationals(model) if isinstance(model, nn.Module) else []
    if not found:
        raise PlanError(
            f"recipe {recipe}: {type(model).__name__} has no rational layer (weight_numerator and weight_denominator, "
            "as in KAT_Group)"
        )
    return found


def untraced_remarks(traced: Wiring) -> list[str]:
    """What could not be followed, in words."""
    return [f"the forward of {name} could not be traced ({why})" for name, why in traced.untraced.items()]


def module_form(one: Rational, kernel: str) -> tuple[Form, bool]:
    """The form that a module computes, and whether that is known or taken for granted."""
    if kernel != "auto":
        return kernel, True  # type: ignore[return-value]
    found = form_of(one)
    return (found, True) if found is not None else ("kernel", False)


def first_of_several(rationals: Sequence[Rational], traced: Wiring) -> set[str]:
    """In each module that holds several rational layers, the first in the order of execution."""
    order = [*(name for name in traced.fed), *(one.name for one in rationals)]
    held: dict[str, list[str]] = {}
    for name in dict.fromkeys(order):
        held.setdefault(name.rpartition(".")[0], []).append(name)
    return {names[0] for names in held.values() if len(names) > 1}


def fitted(target: str | Callable[[Any], Any], form: Form) -> Fit:
    """Coefficients for an activation: from the tables if it is named, else by a fit."""
    if isinstance(target, str):
        return measured(named(target, form), TARGETS[ALIASES.get(target, target)], form)
    return fit_rational(target, form=form)


def coefficient_fills(one: Rational, fit: Fit, words: str, form: Form) -> Iterator[Fill]:
    """Yield the fills of both coefficient tensors."""
    a = torch.tensor([fit.coefficients.a] * one.rows, dtype=torch.float64)
    b = torch.tensor([fit.coefficients.b] * one.groups, dtype=torch.float64)
    why = f"{words}, {form} form: off by at most {fit.largest:.2g} on [-3, 3]"
    yield Fill(one.full("weight_numerator"), Values(a, f"a of {words}"), why=why)
    yield Fill(one.full("weight_denominator"), Values(b, f"b of {words}"), why=why)


def described(target: Any) -> str:
    """An activation in words."""
    return target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)


def _draw(linear: Fed, alphas: list[float]) -> Draw:
    if len(set(alphas)) == 1:
        return Normal(seven(math.sqrt(alphas[0] / linear.fan_in)))
    std = torch.tensor([seven(math.sqrt(alpha / linear.fan_in)) for alpha in alphas], dtype=torch.float64)
    columns: Tensor = std.repeat_interleave(linear.fan_in // len(alphas))
    weight: Any = linear.module.weight
    return Normal(columns.reshape(1, -1, *[1] * (weight.ndim - 2)))


def _why(linear: Fed, alphas: list[float]) -> str:
    low, high = min(alphas), max(alphas)
    alpha = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}, by group"
    return f"Var[W] = α/fan_in, α = 1/E[F²] = {alpha}, fan_in = {linear.fan_in}"
