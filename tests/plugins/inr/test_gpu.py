"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import initkit

from .field_networks import Field as Plain
from .field_networks import SineLayer
from .meta_networks import Field, blobs

LINE = torch.linspace(-1, 1, 128)[:, None]


@pytest.mark.parametrize(("method", "vectorize", "work"), [("maml", "vmap", "bmm"), ("reptile", "loop", "mm")])
def test_meta(alike: Callable[..., None], method: str, vectorize: str, work: str) -> None:
    recipe = initkit.recipe("inr/meta", iters=4, inner_lr=1e-2, outer_lr=1e-3, method=method, vectorize=vectorize)
    alike(Field, recipe, rtol=1e-3, atol=1e-4, there=(work,), signals=blobs(4))


def test_strainer(alike: Callable[..., None]) -> None:
    alike(
        Field, initkit.recipe("inr/strainer", steps=12, lr=1e-3), rtol=1e-3, atol=1e-4, there=("mm",), signals=blobs()
    )


def test_fresh(alike: Callable[..., None]) -> None:
    recipe = initkit.recipe("inr/fresh", candidates=(10.0, 30.0, 90.0), draws=2)
    signal = torch.sin(40 * LINE[:, 0])
    alike(
        lambda: Plain(SineLayer, axes=1, width=32).net, recipe, rtol=1e-6, there=("addmm",), coords=LINE, signal=signal
    )
