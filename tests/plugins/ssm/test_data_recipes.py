"""Recipes that look at data: time steps from autocorrelation, unit outputs."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import ssm_layouts
import torch
from scipy.linalg import toeplitz
from torch import Tensor, nn

import initkit
from initkit import CommitError, NeedError, PlanError
from initkit_ssm import autocorrelation
from initkit_ssm.autocorr_timescale import Scale

LENGTH, CHANNELS = 256, 6


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ar(phi: float, sequences: int = 16, length: int = LENGTH) -> Tensor:
    """Stationary AR(1) sequences of variance 1."""
    shocks, x, out = noise(sequences, length + 1, CHANNELS), noise(sequences, CHANNELS, seed=1), []
    for t in range(length):
        x = phi * x + math.sqrt(1 - phi * phi) * shocks[:, t]
        out.append(x)
    return torch.stack(out, 1)


INPUTS = {
    "white": noise(16, LENGTH, CHANNELS),
    "AR(1), 0.99": ar(0.99),
    "constant": noise(16, 1, CHANNELS).expand(-1, LENGTH, -1).contiguous(),
}


class Two(nn.Module):
    def __init__(self, layer: str, **options: Any) -> None:
        super().__init__()
        self.first, self.second = (getattr(ssm_layouts, layer)(CHANNELS, 16, **options) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def applied(model: nn.Module, recipes: list[Any], seed: int = 1, **needs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return initkit.apply(model, recipes, seed=seed, **needs)


# L, phi: λ_max and d0 of exact AR(1) moments.
GOLDEN = {
    (512, 0.9): (18.9403278048, 0.010154797652),
    (512, 0.99): (165.8470876693, 0.003431714065),
    (256, 0.5): (2.9991174906, 0.036089700465),
}


@pytest.mark.parametrize(("length", "phi"), GOLDEN)
def test_time_scale_golden(length: int, phi: float) -> None:
    r = phi ** torch.arange(length, dtype=torch.float64)
    scale = Scale(length, autocorrelation.largest_eigenvalue(r))
    assert (scale.top, scale.d0) == pytest.approx(GOLDEN[length, phi], rel=1e-9)


def test_time_scale_of_a_constant_golden() -> None:
    """1.2167/L with the biased estimator."""
    scale = Scale.of(torch.ones(3, 64, 1, dtype=torch.float64))
    assert 64 * scale.d0 == pytest.approx(1.2167, abs=1e-4)


def test_moments_are_the_biased_estimator() -> None:
    x = noise(3, 20, 2).double()
    found = autocorrelation.second_moments(x)
    for lag in (0, 1, 7, 19):
        wanted = (x[:, : 20 - lag] * x[:, lag:]).sum(1).mean(0) / 20
        assert torch.allclose(found[:, lag], wanted, atol=1e-12)
    whole = torch.ones(3, 20, dtype=torch.bool)
    assert torch.allclose(autocorrelation.second_moments(x, whole), found, atol=1e-12)


def test_moments_of_sequences_of_several_lengths() -> None:
    """Steps that do not count change nothing, whatever stands there."""
    x = noise(4, 32, 1).double()
    mask = torch.ones(4, 32, dtype=torch.bool)
    mask[2:, 16:] = False
    other = x.clone()
    other[~mask] = 1e6
    one, two = (autocorrelation.second_moments(value, mask) for value in (x, other))
    assert torch.equal(one, two)
    assert float(one[0, 0]) == pytest.approx(float((x[..., 0][mask] ** 2).mean()), rel=1e-12)


@pytest.mark.parametrize("phi", [0.9, -0.9])
def test_long_sequences_by_lanczos(phi: float) -> None:
    column = phi ** np.arange(300.0)
    exact = np.linalg.eigvalsh(toeplitz(column))[-1]
    assert autocorrelation._lanczos(column) == pytest.approx(exact, rel=1e-9)


def test_steps_lie_between_the_bounds() -> None:
    model = Two("S4D")
    report = applied(model, ["ssm/s4d", "ssm/autocorr_timescale"], inputs=INPUTS["AR(1), 0.99"])
    rows = [value for key, value in report.notes.items() if "autocorr" in key and "remarks" not in key]
    assert len(rows) == 2
    for layer, row in zip((model.first, model.second), rows, strict=True):
        dt = torch.exp(layer.kernel.log_dt.detach().double())
        assert float(dt.min()) >= 1 / LENGTH * 0.999
        assert float(dt.max()) <= 3 * row["d0"] * 1.001
    # The first layer sees the data themselves.
    assert rows[0]["d0"] == pytest.approx(Scale.of(INPUTS["AR(1), 0.99"]).d0, rel=1e-6)


def test_white_noise_has_short_steps_and_the_plan_says_so() -> None:
    recipe = initkit.recipe("ssm/autocorr_timescale", source="inputs", hi=1.0)
    white = initkit.plan(Two("S4D"), recipe, inputs=INPUTS["white"])["first.kernel.log_dt"]
    constant = initkit.plan(Two("S4D"), recipe, inputs=INPUTS["constant"])["first.kernel.log_dt"]
    assert "L = 256" in white.why
    assert Scale.of(INPUTS["white"]).d0 == pytest.approx(1 / math.sqrt(LENGTH), rel=0.35)
    assert Scale.of(INPUTS["constant"]).d0 == pytest.approx(1.2167 / LENGTH, rel=1e-3)
    assert white.draw != constant.draw


@pytest.mark.parametrize("layer", ["S4", "S5"])
def test_other_layers_get_steps_too(layer: str) -> None:
    base = {"S4": "ssm/s4_dplr", "S5": "ssm/s5"}[layer]
    model = Two(layer, **({"rank": 1} if layer == "S4" else {}))
    before = {name: value.clone() for name, value in model.state_dict().items() if name.endswith(".C")}
    report = applied(model, [base, "ssm/autocorr_timescale"], inputs=ar(0.9, 4, 24))
    assert sum("autocorr" in entry.recipe for entry in report.values()) == 2
    assert before


def test_zero_real() -> None:
    model = Two("S4D")
    applied(model, ["ssm/s4d", initkit.recipe("ssm/autocorr_timescale", zero_real=True)], inputs=INPUTS["white"])
    assert torch.allclose(torch.exp(model.first.kernel.log_A_real.detach()), torch.full((6, 8), 1e-4))
    with pytest.raises(PlanError, match=r"zero_real=True cannot set -Re A alone"):
        initkit.plan(Two("PairedA"), initkit.recipe("ssm/autocorr_timescale", zero_real=True), inputs=INPUTS["white"])


@pytest.mark.parametrize("layer", ["S4D", "S4", "S5", "LRU"])
@pytest.mark.parametrize("data", INPUTS)
def test_every_layer_has_unit_outputs(layer: str, data: str) -> None:
    model = Two(layer)
    base = {"S4D": "ssm/s4d", "S4": "ssm/s4d", "S5": "ssm/s5", "LRU": "ssm/lru"}[layer]
    applied(model, [base, "ssm/output_scale"], inputs=INPUTS[data])
    outputs: list[Tensor] = []
    for module in (model.first, model.second):
        module.register_forward_hook(lambda module, given, found: outputs.append(found.detach()))
    model(INPUTS[data])
    for found in outputs:
        late = float(found[:, LENGTH // 2 :].square().mean().sqrt())
        assert 0.7 <= late <= 1.4


def test_size_of_a_kernel_golden() -> None:
    """k = (.5, .25, .125), R_ij = .5^|i-j|: kᵀ R k = 0.515625."""
    from initkit_ssm.responses import _toeplitz_product

    k = torch.tensor([[0.5, 0.25, 0.125]], dtype=torch.float64)
    r = 0.5 ** torch.arange(3, dtype=torch.float64).unsqueeze(0)
    assert float((k * _toeplitz_product(r, k)).sum()) == pytest.approx(0.515625, rel=1e-14)


def test_the_bound_is_above_the_exact_size() -> None:
    sizes = {}
    for mode in ("exact", "bound"):
        model = Two("S4D")
        report = applied(
            model, ["ssm/s4d", initkit.recipe("ssm/output_scale", mode=mode)], inputs=INPUTS["AR(1), 0.99"]
        )
        sizes[mode] = next(v for k, v in report.notes.items() if k == "ssm/output_scale: first.kernel")["mean_square"]
    assert sizes["bound"] > sizes["exact"]


def test_outputs_of_zero_are_refused_and_nothing_is_changed() -> None:
    model = ssm_layouts.S4D(CHANNELS, 16)
    with torch.no_grad():
        model.kernel.C.zero_()
        model.D.zero_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CommitError, match=r"output has a mean square of 0 on inputs"):
        initkit.apply(model, "ssm/output_scale", inputs=INPUTS["white"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.zeros(3, 8, CHANNELS), "every value is 0"),
        (torch.full((3, 8, CHANNELS), float("nan")), "144 values are NaN or infinite"),
        (torch.ones(3, 1, CHANNELS), "sequences of length 1"),
    ],
)
def test_unusable_data_are_refused(inputs: Tensor, words: str) -> None:
    for recipe in (initkit.recipe("ssm/autocorr_timescale", source="inputs"), "ssm/output_scale"):
        with pytest.raises((NeedError, CommitError), match=words):
            initkit.apply(ssm_layouts.S4D(CHANNELS, 16), recipe, inputs=inputs)


def test_masks_must_fit() -> None:
    with pytest.raises(NeedError, match=r"mask: shape \(3, 4\), expected \(16, 256\)"):
        initkit.plan(
            ssm_layouts.S4D(CHANNELS, 16),
            initkit.recipe("ssm/autocorr_timescale", source="inputs"),
            inputs=INPUTS["white"],
            mask=torch.ones(3, 4),
        )


def test_a_failing_model_is_named() -> None:
    with pytest.raises(CommitError, match=r"the model fails on inputs \(float32 \(2, 5\)\)"):
        initkit.apply(ssm_layouts.S4D(CHANNELS, 16), "ssm/autocorr_timescale", inputs=torch.ones(2, 5))


def test_a_running_model_that_changes_itself_is_left_alone() -> None:
    """S4 multiplies C by 1 - Ā^L when it first runs; capturing its input must not."""

    class Changing(ssm_layouts.S4):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.kernel.C.mul_(2)
                self.kernel.l_kernel.add_(64)
            return super().forward(x)

    model, plain = Changing(CHANNELS, 8, rank=1), ssm_layouts.S4(CHANNELS, 8, rank=1)
    for one in (model, plain):
        applied(one, ["ssm/s4_dplr", "ssm/autocorr_timescale"], inputs=ar(0.9, 2, 8))
    assert torch.equal(model.kernel.C, plain.kernel.C)
    assert int(model.kernel.l_kernel) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_a_gpu_gets_the_same_values() -> None:
    one, two = ssm_layouts.S4D(CHANNELS, 16), ssm_layouts.S4D(CHANNELS, 16).cuda()
    recipes = ["ssm/s4d", "ssm/autocorr_timescale", "ssm/output_scale"]
    applied(one, recipes, inputs=INPUTS["white"])
    applied(two, recipes, inputs=INPUTS["white"].cuda())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert b.is_cuda
        assert torch.allclose(a, b.cpu(), rtol=1e-4)
