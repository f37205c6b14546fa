"""Ridge regression with a penalty chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (0.01, 0.1, 0.3, 1.0, 3.0)
FOLDS = 5


@dataclass(frozen=True)
class Ridge:
    """y = mu_y + (x - mu_x) W.

    Args:
        matrix: W, (D, d), float32.
        x_mean: (D,).
        y_mean: (d,).
        penalty: the one chosen.
        errors: held-out error of each penalty: squared, as a share of that of the mean.
    """

    matrix: Tensor
    x_mean: Tensor
    y_mean: Tensor
    penalty: float
    errors: dict[float, float]

    @property
    def error(self) -> float:
        """Held-out squared error of the chosen penalty as a share of the mean's."""
        return self.errors[self.penalty]

    def __call__(self, x: Tensor) -> Tensor:
        """Values for rows of x, (n, d), float32."""
        return self.y_mean + (x - self.x_mean) @ self.matrix

    @classmethod
    def fit(
        cls, x: Tensor, y: Tensor, order: Sequence[int], penalties: Sequence[float] = PENALTIES, folds: int = FOLDS
    ) -> Ridge:
        """W = argmin ||(X - mu_x) W - (Y - mu_y)||² + lam ||X - mu_x||²/D ||W||², lam by folds.

        Every fold has its own means. One eigendecomposition of a D x D matrix serves all penalties of a fold.

        Args:
            x: (N, D), N >= 2.
            y: (N, d).
            order: a permutation of the rows, which are dealt to folds by it.
            penalties: lam to choose from.
            folds: at most N.
        """
        x, y = x.to(torch.float32), y.to(torch.float32)
        dealt = torch.tensor(list(order), device=x.device)
        count = min(folds, len(x))
        wrong = dict.fromkeys(penalties, 0.0)
        base = 0.0
        for fold in range(count):
            held = dealt[fold::count]
            kept = torch.ones(len(x), dtype=torch.bool, device=x.device)
            kept[held] = False
            solver = _Solver(x[kept], y[kept])
            base += float((y[held] - solver.y_mean).square().sum(dtype=torch.float64))
            for penalty in penalties:
                guess = solver.y_mean + (x[held] - solver.x_mean) @ solver.solve(penalty)
                wrong[penalty] += float((y[held] - guess).square().sum(dtype=torch.float64))
        errors = {penalty: total / base if base else 1.0 for penalty, total in wrong.items()}
        best = min(penalties, key=lambda penalty: errors[penalty])
        whole = _Solver(x, y)
        return cls(whole.solve(best), whole.x_mean, whole.y_mean, best, errors)


class _Solver:
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x_mean, self.y_mean = x.mean(0), y.mean(0)
        centred = (x - self.x_mean).to(torch.float64)
        gram = centred.T @ centred
        self.values, self.vectors = torch.linalg.eigh(gram)
        self.turned = self.vectors.T @ (centred.T @ (y - self.y_mean).to(torch.float64))
        self.scale = float(gram.diagonal().mean())

    def solve(self, penalty: float) -> Tensor:
        damped = self.values.clamp_min(0) + max(penalty * self.scale, torch.finfo(torch.float64).tiny)
        solved: Tensor = self.vectors @ (self.turned / damped.unsqueeze(1))
        return solved.to(torch.float32)
