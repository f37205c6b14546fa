"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import nn

import initkit
from initkit.testing import Case, parametrize_with_checks

from .field_networks import Field, FinerLayer, GaussLayer, SineLayer, Wavelets

AXIS = torch.linspace(-1, 1, 12)
COORDS = torch.stack(torch.meshgrid(AXIS, AXIS, indexing="ij"), -1).reshape(-1, 2)
SIGNAL = torch.sin(4 * COORDS[:, :1]) * torch.cos(7 * COORDS[:, 1:])
PICTURE = SIGNAL.reshape(12, 12)


class Plain(nn.Module):
    """A network that returns its output alone, with weights that are shared with nothing."""

    def __init__(self, layer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.field = Field(layer, width=8)

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return self.field.net(coords)


class FixedWavelets(Wavelets):
    """Frequencies and scales that are numbers, so that they can be read without values on the meta device."""

    def __init__(self) -> None:
        super().__init__(8)
        for layer in self.net[:2]:
            del layer.omega_0, layer.scale_0
            layer.omega_0, layer.scale_0 = 10.0, 40.0


def sines() -> nn.Module:
    return Plain(SineLayer)


def case(recipe: Any, build: Callable[[], nn.Module] = sines, needs: Mapping[str, Any] | None = None) -> Case:
    return Case(recipe, build, needs or {})


def own(name: str, **options: Any) -> Any:
    return initkit.recipe(f"inr/{name}", **options)


COORDINATES = {"coords": COORDS}
CASES = [
    case("inr/vi3nr", lambda: Plain(GaussLayer), COORDINATES),
    case(own("vi3nr", distribution="normal", bias=0.3, first="siren")),
    case(own("vi3nr", sigma_p="probe"), needs={**COORDINATES, "signal": SIGNAL}),
    case(own("vi3nr", complex_ok=True, input_moments=(0.0, 0.6)), FixedWavelets),
    case("inr/winner", needs={"signal": PICTURE}),
    case(own("winner", axes="all", scale="nyquist"), needs={**COORDINATES, "signal": PICTURE}),
    case(own("fresh", candidates=(20.0, 40.0), draws=2), needs={**COORDINATES, "signal": PICTURE}),
    case("inr/tuner", needs=COORDINATES),
    case("inr/siren"),
    case(own("siren", bias="as_weight"), needs=COORDINATES),
    case(own("finer", first_bias_scale=5.0), lambda: Plain(FinerLayer)),
    case("inr/gauss", lambda: Plain(GaussLayer)),
    case("inr/wire", FixedWavelets),
    case("inr/weight_scaling"),
    case(own("weight_scaling", alpha="probe"), needs={**COORDINATES, "signal": SIGNAL}),
    case("inr/sine_gradient"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give on tensors of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@parametrize_with_checks(CASES)
def test_conformance(check: Any, case: Case) -> None:
    check(case)
