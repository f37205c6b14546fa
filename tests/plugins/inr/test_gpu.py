"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import initkit

from .field_networks import Field as Plain
from .field_networks import SineLayer
from .meta_networks import FAST, Field, blobs

LINE = torch.linspace(-1, 1, 128)[:, None]


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile"])
@pytest.mark.parametrize("vectorize", ["vmap", "loop"])
def test_meta(alike: Callable[..., None], method: str, vectorize: str) -> None:
    recipe = initkit.recipe("inr/meta", **FAST, method=method, vectorize=vectorize)
    there = ("bmm", "baddbmm") if vectorize == "vmap" else ("addmm", "mm")
    alike(Field, recipe, rtol=1e-3, atol=1e-4, there=there[:1], signals=blobs())


def test_strainer(alike: Callable[..., None]) -> None:
    alike(Field, initkit.recipe("inr/strainer", steps=12, lr=1e-3), rtol=1e-3, atol=1e-4, there=("mm",), signals=blobs())


def test_fresh(alike: Callable[..., None]) -> None:
    recipe = initkit.recipe("inr/fresh", candidates=(10.0, 30.0, 90.0), draws=2)
    signal = torch.sin(40 * LINE[:, 0])
    alike(lambda: Plain(SineLayer, axes=1, width=32).net, recipe, rtol=1e-6, there=("addmm",), coords=LINE, signal=signal)


def test_scale_chosen_by_trial_fits(alike: Callable[..., None]) -> None:
    recipe = initkit.recipe("inr/vi3nr", sigma_p="probe")
    signal = torch.sin(40 * LINE[:, 0])
    alike(lambda: Plain(SineLayer, axes=1, width=32).net, recipe, rtol=1e-6, there=("mm",), coords=LINE, signal=signal)


@pytest.mark.parametrize("name", ["winner", "tuner", "siren", "weight_scaling"])
def test_layers_are_measured(alike: Callable[..., None], name: str) -> None:
    needs = {"signal": torch.sin(40 * LINE[:, 0])} if name in ("winner", "weight_scaling") else {}
    alike(lambda: Plain(SineLayer, axes=1, width=32).net, initkit.recipe(f"inr/{name}"), rtol=1e-6, coords=LINE, **needs)
