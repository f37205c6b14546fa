"""Basis functions of one input and their slopes, in float64: what layers of every family are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
FINEST = 0.25
"""Widest panel on which the quadrature takes a basis that is not a polynomial there."""


class Basis(ABC):
    """M functions of one input.

    Attributes:
        count: M.
        rows: 1 where all features share the functions, else the number of features.
    """

    count: int
    rows: int = 1

    @abstractmethod
    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values and slopes at x.

        Args:
            x: (rows or n, points), float64.

        Returns:
            Two tensors (rows or n, points, M), float64.
        """

    @abstractmethod
    def breaks(self, low: float, high: float) -> Array:
        """Ends of the panels, (rows, panels + 1), on which the functions are smooth and inside [low, high]."""

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """Tells the basis from others; equal for equal functions."""


@dataclass(frozen=True, eq=False)
class BSpline(Basis):
    """B-splines of one order on extended knots, zero outside them; half-open intervals, 0/0 = 0.

    Args:
        knots: (1 or n, M + order + 1), non-decreasing.
        order: k, the degree; at least 1.
    """

    knots: Array
    order: int

    @property
    def count(self) -> int:  # type: ignore[override]
        """M = G + k."""
        return int(self.knots.shape[1] - self.order - 1)

    @property
    def rows(self) -> int:  # type: ignore[override]
        """1, or the number of features where each has knots of its own."""
        return int(self.knots.shape[0])

    @property
    def domain(self) -> tuple[Array, Array]:
        """Ends of the grid proper, (rows,) each: where the splines sum to 1."""
        return self.knots[:, self.order], self.knots[:, self.count]

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """By the recursion of Cox and de Boor.

        B'_(m,k) = k (B_(m,k-1)/(t_(m+k) - t_m) - B_(m+1,k-1)/(t_(m+k+1) - t_(m+1))).
        """
        t = torch.from_numpy(self.knots).to(x.device).unsqueeze(1)
        x = x.unsqueeze(-1)
        values = ((x >= t[..., :-1]) & (x < t[..., 1:])).to(torch.float64)
        slopes = values
        for k in range(1, self.order + 1):
            rise = _reciprocal(t[..., k:-1] - t[..., : -(k + 1)])
            fall = _reciprocal(t[..., k + 1 :] - t[..., 1:-k])
            if k == self.order:
                slopes = k * (values[..., :-1] * rise - values[..., 1:] * fall)
            left, right = (x - t[..., : -(k + 1)]) * rise, (t[..., k + 1 :] - x) * fall
            values = left * values[..., :-1] + right * values[..., 1:]
        return values, slopes

    def breaks(self, low: float, high: float) -> Array:
        """The knots: the splines are polynomials between them, and 0 beyond."""
        return np.clip(self.knots, low, high)

    @property
    def key(self) -> Hashable:
        """Order and knots."""
        return "spline", self.order, self.knots.shape, self.knots.tobytes()


@dataclass(frozen=True)
class Chebyshev(Basis):
    """T_d(tanh x) for d = first..degree, by the recurrence (acos has infinite slopes at ±1).

    Args:
        degree: of the last polynomial.
        first: degree of the first one.
    """

    degree: int
    first: int = 0

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of polynomials."""
        return self.degree - self.first + 1

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """T_(d+1) = 2u T_d - T_(d-1) with u = tanh x, slopes times 1 - u²."""
        u = torch.tanh(x)
        values, slopes = [torch.ones_like(u), u], [torch.zeros_like(u), torch.ones_like(u)]
        for _ in range(2, self.degree + 1):
            slopes.append(2 * values[-1] + 2 * u * slopes[-1] - slopes[-2])
            values.append(2 * u * values[-1] - values[-2])
        inner = (1 - u.square()).unsqueeze(-1)
        chosen = slice(self.first, self.degree + 1)
        return torch.stack(values[chosen], -1), torch.stack(slopes[chosen], -1) * inner

    def breaks(self, low: float, high: float) -> Array:
        """Equal panels."""
        return _panels(low, high)

    @property
    def key(self) -> Hashable:
        """Degrees."""
        return "chebyshev", self.first, self.degree


@dataclass(frozen=True)
class GaussianRbf(Basis):
    """exp(-((x - c)/h)²), without the factor ½.

    Args:
        centres: c, (M,).
        width: h.
    """

    centres: tuple[float, ...]
    width: float

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of centres."""
        return len(self.centres)

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and slopes -2 (x - c)/h² times them."""
        c = torch.tensor(self.centres, dtype=torch.float64, device=x.device)
        z = (x.unsqueeze(-1) - c) / self.width
        values = torch.exp(-z.square())
        return values, -2 / self.width * z * values

    def breaks(self, low: float, high: float) -> Array:
        """Panels as narrow as the bumps ask for."""
        return _panels(low, high, min(FINEST, self.width))

    @property
    def key(self) -> Hashable:
        """Centres and width."""
        return "rbf", self.centres, self.width


@dataclass(frozen=True)
class Pairs(Basis):
    """All products B_a(x) B_b(y) of a basis of two inputs, M² functions; a tensor-product surface.

    Only its moments are asked for, see :func:`initkit_kan.moments.moments`.
    """

    one: Basis

    @property
    def count(self) -> int:  # type: ignore[override]
        """M²."""
        return self.one.count**2

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Not a function of one input."""
        raise NotImplementedError("products of two inputs are not functions of one")

    def breaks(self, low: float, high: float) -> Array:
        """Those of the factors."""
        return self.one.breaks(low, high)

    @property
    def key(self) -> Hashable:
        """That of the factors."""
        return "pairs", self.one.key


def _reciprocal(width: Tensor) -> Tensor:
    """1/width, and 0 where a span is empty."""
    return torch.where(width > 0, 1 / width.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def _panels(low: float, high: float, width: float = FINEST) -> Array:
    count = max(1, int(np.ceil((high - low) / width)))
    return np.linspace(low, high, count + 1 + count % 2)[None, :]  # an even number: 0 is a break of a symmetric law
