"""One adapter a family: its tensors by name, their shapes, and how scales are laid out in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn
from torch.nn import functional

from initkit import PlanError
from initkit_kan.bases import Array, Basis, BSpline, Chebyshev, GaussianRbf, Pairs
from initkit_kan.grids import as_meant, knots
from initkit_kan.layers import Adapter, Layer, holds, rank, same_shape, tensor, values
from initkit_kan.moments import UNIFORM, Residual, residual_moments


def pykan(name: str, module: nn.Module) -> Layer | None:
    """pykan's KANLayer: in-first tensors, a mask, and scales of both branches."""
    if not holds(module, "coef", "scale_base", "scale_sp"):
        return None
    n, o, count = rank(name, module, "coef", "(n, o, G+k)")
    for other in ("scale_base", "scale_sp"):
        same_shape(name, module, other, (n, o), f"coef has shape {(n, o, count)}")
    order = _order(name, module, "k", count)
    same_shape(name, module, "grid", (n, count + order + 1), f"coef has shape {(n, o, count)} and k = {order}")
    mask = None
    if holds(module, "mask"):
        same_shape(name, module, "mask", (n, o), f"coef has shape {(n, o, count)}")
        stored = (values(name, module, "mask") != 0).astype(float)
        mask = None if bool(stored.all()) else stored
    keeps = {"grid": "the knots", "mask": "says which connections there are"}
    return Layer(
        name=name,
        module=module,
        family="pykan",
        n=n,
        o=o,
        count=count,
        make_basis=_spline(name, module, order),
        residual=_residual(name, module, "base_fun"),
        coefficients="coef",
        arrange=_same,
        residual_weights="scale_base",
        arrange_residual=_same,
        scales={"scale_sp": _same},
        keeps={key: why for key, why in keeps.items() if holds(module, key)},
        mask=mask,
        order=order,
    )


def efficient_kan(name: str, module: nn.Module) -> Layer | None:
    """efficient-kan's KANLinear, and flashkan's KANLayer: out-first tensors."""
    if not holds(module, "base_weight", "spline_weight"):
        return None
    o, n, count = rank(name, module, "spline_weight", "(o, n, M)")
    same_shape(name, module, "base_weight", (o, n), f"spline_weight has shape {(o, n, count)}")
    shared: dict[str, Any] = {
        "name": name,
        "module": module,
        "n": n,
        "o": o,
        "count": count,
        "residual": _residual(name, module, "base_activation"),
        "coefficients": "spline_weight",
        "arrange": _out_first,
        "residual_weights": "base_weight",
        "arrange_residual": np.transpose,
    }
    if holds(module, "grid_starts"):
        same_shape(name, module, "grid_starts", (count,), f"spline_weight has shape {(o, n, count)}")
        keeps = {"grid_starts": "the knots"}
        return Layer(family="flashkan", make_basis=_cubic(name, module, count), keeps=keeps, **shared)
    order = _order(name, module, "spline_order", count)
    grid = (n, count + order + 1)
    same_shape(name, module, "grid", grid, f"spline_weight has shape {(o, n, count)} and spline_order = {order}")
    scales: dict[str, Callable[[Array], Array]] = {}
    if holds(module, "spline_scaler"):
        same_shape(name, module, "spline_scaler", (o, n), f"spline_weight has shape {(o, n, count)}")
        scales["spline_scaler"] = np.transpose
    return Layer(
        family="efficient_kan",
        make_basis=_spline(name, module, order),
        scales=scales,
        keeps={"grid": "the knots"},
        order=order,
        **shared,
    )


def inkan(name: str, module: nn.Module) -> Layer | None:
    """inKAN's KANLayer: one packed tensor, columns of splines first, then of the residual branch."""
    count = getattr(module, "n_bases", None)
    if not holds(module, "weight", "grid_starts") or not isinstance(count, int):
        return None
    surface = getattr(module, "dim", 1) == 2
    o, columns = rank(name, module, "weight", "(o, n·M + n)")
    n = 2 if surface else int(getattr(module, "in_features", columns // (count + 1)))
    splines = count**2 if surface else n * count
    same_shape(name, module, "weight", (o, splines + n), f"n = {n} and M = {count}")
    same_shape(name, module, "grid_starts", (count,), f"n_bases is {count}")
    cubic = _cubic(name, module, count)

    def arrange(scales: Array) -> Array:
        """(1 or n, 1 or o, 1 or M) to (1 or o, spline columns)."""
        if surface:
            return np.broadcast_to(scales[0], (scales.shape[1], splines))
        return _columns(scales, n, count)

    return Layer(
        name=name,
        module=module,
        family="inkan",
        n=n,
        o=o,
        count=splines if surface else count,
        make_basis=(lambda: Pairs(cubic())) if surface else cubic,
        residual=_residual(name, module, "base_activation"),
        coefficients="weight",
        arrange=arrange,
        residual_weights="weight",
        arrange_residual=lambda scales: np.broadcast_to(scales, (n, scales.shape[1])).T,
        keeps={"grid_starts": "the knots"},
        surface=surface,
    )


def fastkan(name: str, module: nn.Module) -> Layer | None:
    """fastkan's FastKANLayer: Gaussian bumps, their weights in a Linear with feature-major columns."""
    linear, rbf = module._modules.get("spline_linear"), module._modules.get("rbf")
    if linear is None or rbf is None or not holds(linear, "weight") or not holds(rbf, "grid"):
        return None
    (count,) = rank(name, rbf, "grid", "(M)")
    o, columns = rank(name, linear, "weight", "(o, n·M)")
    n, rest = divmod(columns, count)
    if rest:
        raise PlanError(
            f"{name or 'model'} ({type(module).__name__}): spline_linear.weight has shape {(o, columns)}, but "
            f"{columns} columns are no multiple of the {count} centres of rbf.grid"
        )
    base = module._modules.get("base_linear")
    if base is not None:
        same_shape(f"{name}.base_linear", base, "weight", (o, n), f"spline_linear.weight has shape {(o, columns)}")
    norm = module._modules.get("layernorm")
    offsets = [
        f"{child}.bias"
        for child, part in (("spline_linear", linear), ("base_linear", base))
        if part is not None and part._parameters.get("bias") is not None
    ]
    keeps = {"rbf.grid": "the centres"}
    if norm is not None:
        keeps |= {
            f"layernorm.{key}": "of the layer norm" for key, value in norm._parameters.items() if value is not None
        }

    def basis() -> Basis:
        title = f"{name or 'model'} ({type(module).__name__})"
        width = getattr(rbf, "denominator", None)
        if width is None or not float(width) > 0:
            raise PlanError(f"{title}: rbf.denominator is {width}, expected a width > 0")
        centres = as_meant(values(name, rbf, "grid"), tensor(name, rbf, "grid").dtype)
        return GaussianRbf(tuple(float(c) for c in centres), float(width))

    return Layer(
        name=name,
        module=module,
        family="fastkan",
        n=n,
        o=o,
        count=count,
        make_basis=basis,
        residual=_residual(name, module, "base_activation") if base is not None else None,
        coefficients="spline_linear.weight",
        arrange=lambda scales: _columns(scales, n, count),
        residual_weights="base_linear.weight" if base is not None else None,
        arrange_residual=np.transpose,
        zeros=offsets,
        keeps=keeps,
        normalised=norm is not None,
    )


def chebykan(name: str, module: nn.Module) -> Layer | None:
    """ChebyKAN's ChebyKANLayer: polynomials of tanh x, no residual branch."""
    if not holds(module, "cheby_coeffs"):
        return None
    n, o, count = rank(name, module, "cheby_coeffs", "(n, o, degree+1)")
    return Layer(
        name=name,
        module=module,
        family="chebykan",
        n=n,
        o=o,
        count=count,
        make_basis=lambda: Chebyshev(count - 1),
        residual=None,
        coefficients="cheby_coeffs",
        arrange=_same,
        keeps={key: "the degrees" for key in ("arange",) if holds(module, key)},
    )


ADAPTERS: tuple[Adapter, ...] = (pykan, efficient_kan, inkan, fastkan, chebykan)


def _spline(name: str, module: nn.Module, order: int) -> Callable[[], Basis]:
    def make() -> Basis:
        title = f"{name or 'model'} ({type(module).__name__})"
        dtype = tensor(name, module, "grid").dtype
        return BSpline(knots(title, values(name, module, "grid"), order, dtype), order)

    return make


def _cubic(name: str, module: nn.Module, count: int) -> Callable[[], Basis]:
    """Uniform cubic splines that start at ``grid_starts`` and are 4/inv_h wide, whatever spline_order says."""

    def make() -> Basis:
        title = f"{name or 'model'} ({type(module).__name__})"
        step = getattr(module, "inv_h", None)
        if step is None or not float(step) > 0:
            raise PlanError(f"{title}: inv_h is {step}, expected the reciprocal of the knots' distance")
        stored = tensor(name, module, "grid_starts").dtype
        width = 1 / float(step)
        starts = values(name, module, "grid_starts")
        first = float(starts[0])
        row: Array = first + width * np.arange(count + 4, dtype=np.float64)
        if not np.allclose(starts, row[:count], rtol=0, atol=width / 4):
            raise PlanError(f"{title}: grid_starts are not 1/inv_h = {width:.4g} apart")
        return BSpline(knots(title, row[None, :], 3, stored), 3)

    return make


def _order(name: str, module: nn.Module, attribute: str, count: int) -> int:
    title = f"{name or 'model'} ({type(module).__name__})"
    order = getattr(module, attribute, None)
    if not isinstance(order, int):
        raise PlanError(f"{title}: its attribute {attribute}, the order of the splines, is {order!r}")
    if order < 1 or count - order < 1:
        raise PlanError(
            f"{title}: {attribute} = {order} and {count} coefficients a connection; the recipe needs an order of 1 or "
            "more and a grid of 1 interval or more"
        )
    return order


def _residual(name: str, module: nn.Module, attribute: str) -> Residual | None:
    """The residual branch; None where it is zero everywhere (pykan's base_fun='zero'). SiLU where nothing says."""
    found: Any = getattr(module, attribute, None)
    if found is None:
        return functional.silu
    if not callable(found):
        raise PlanError(f"{name or 'model'} ({type(module).__name__}): its {attribute} is {found!r}, no function")
    r0, _ = residual_moments(found, UNIFORM)
    if not np.isfinite(r0).all():
        raise PlanError(f"{name or 'model'} ({type(module).__name__}): its {attribute} is not finite on (-1, 1)")
    return found if r0[0] > 0 else None


def _same(scales: Array) -> Array:
    return scales


def _out_first(scales: Array) -> Array:
    return scales.transpose(1, 0, 2)


def _columns(scales: Array, n: int, count: int) -> Array:
    """(1 or n, 1 or o, 1 or M) to (1 or o, n·M) with column i·M + m."""
    wide = np.broadcast_to(scales, (n, scales.shape[1], count))
    return wide.transpose(1, 0, 2).reshape(scales.shape[1], n * count)
