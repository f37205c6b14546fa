"""FreSh: spectra, distances, the frequency that is found, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

import initkit
from initkit import NeedError, OptionError, PlanError
from initkit_inr.spectra import distance, spectrum

from .field_networks import Field, GaussLayer, InputLayer, SineLayer

LINE = torch.linspace(-1, 1, 128)[:, None]


def plain(layer: Any, axes: int = 1, width: int = 32) -> torch.nn.Module:
    return Field(layer, axes=axes, width=width).net


def test_a_spectrum_in_one_dimension() -> None:
    n = np.arange(64)
    wave = np.cos(2 * np.pi * 5 * n / 64) + 0.5 * np.cos(2 * np.pi * 9 * n / 64) + 3
    found = spectrum(wave[:, None], 16)
    assert found is not None
    assert found[4] == pytest.approx(2 / 3)
    assert found[8] == pytest.approx(1 / 3)
    assert spectrum(np.full((64, 1), 2.0), 16) is None


def test_the_authors_spectrum_sees_one_diagonal() -> None:
    y, x = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    rising = np.exp(2j * np.pi * (3 * y + 4 * x) / 32).real[..., None]
    falling = np.exp(2j * np.pi * (3 * y - 4 * x) / 32).real[..., None]
    for mode, seen in (("authors", [True, False]), ("radial", [True, True])):
        found = [spectrum(picture, 16, mode) for picture in (rising, falling)]
        low = [one is not None and float(one[:8].sum()) > 0.9 for one in found]
        assert low == seen


def test_the_distance_is_scipys() -> None:
    numbers = np.random.default_rng(0)
    one, other = numbers.random(20), numbers.random(20)
    one, other = one / one.sum(), other / other.sum()
    expected = wasserstein_distance(np.arange(20), np.arange(20), one, other)
    assert distance(one, other) == pytest.approx(expected)


def test_the_frequency_of_a_networks_own_output_is_found_again() -> None:
    """The target is an untrained network with first frequency 90."""
    source = plain(lambda a, b: SineLayer(a, b, 90.0 if a == 1 else 30.0), width=256)
    initkit.apply(source, "inr/siren", seed=11)
    signal = source(LINE).detach()[:, 0]
    recipe = initkit.recipe("inr/fresh", candidates=(10.0, 30.0, 90.0, 200.0), draws=4)
    report = initkit.apply(plain(SineLayer, width=256), recipe, coords=LINE, signal=signal, seed=1)
    rows = report.notes["inr/fresh first frequencies"]
    (chosen,) = [row for row in rows if row["chosen"]]
    assert chosen["omega"] == 90
    assert chosen["distance"] == min(row["distance"] for row in rows)


@pytest.mark.parametrize("layer", [SineLayer, InputLayer])
def test_the_first_layer_is_that_of_siren_times_a_ratio(layer: Any) -> None:
    signal = torch.sin(40 * LINE[:, 0])
    model, reference = plain(layer), plain(layer)
    initkit.apply(reference, "inr/siren", seed=3)
    recipe = initkit.recipe("inr/fresh", candidates=(60.0,), draws=1)
    initkit.apply(model, recipe, coords=LINE, signal=signal, seed=3)
    bias = 2 if layer is SineLayer else 1  # before the linear map, the frequency does not reach the bias
    assert torch.allclose(model[0].linear.weight, 2 * reference[0].linear.weight)
    assert torch.allclose(model[0].linear.bias, bias * reference[0].linear.bias)
    assert torch.equal(model[1].linear.weight, reference[1].linear.weight)


@pytest.mark.parametrize(
    ("options", "coords", "signal", "kind", "words"),
    [
        ({"size": 65}, LINE, torch.sin(9 * LINE), OptionError, "has 64 frequencies"),
        ({"candidates": ()}, LINE, torch.sin(9 * LINE), OptionError, "candidates"),
        ({}, LINE, torch.zeros(128), NeedError, "it is constant"),
        ({}, LINE, torch.zeros(100), NeedError, "128 points, but the signal's grid is"),
        ({}, LINE, torch.full((128,), float("nan")), NeedError, "NaN or infinite"),
    ],
)
def test_bad_input(options: dict[str, Any], coords: Any, signal: Any, kind: Any, words: str) -> None:
    model = plain(SineLayer)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(kind, match=words) as failure:
        initkit.apply(model, initkit.recipe("inr/fresh", **options), coords=coords, signal=signal)
    assert "\n" not in str(failure.value)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_other_activations_are_refused() -> None:
    with pytest.raises(PlanError, match="is followed by gauss:30"):
        initkit.plan(plain(GaussLayer), "inr/fresh", coords=LINE, signal=torch.sin(9 * LINE))
