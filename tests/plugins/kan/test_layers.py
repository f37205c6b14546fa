"""Layers of every library: found, set, read back, run and trained; and what is refused."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import kan
import numpy as np
import pytest
import torch
from flashkan import KANNetwork as FlashNetwork
from inkan import KANLayer
from inkan import KANNetwork as InNetwork
from kan_layouts import ChebyKANLayer, FastKANLayer, KANLinear, KAT_Group, rms
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import initkit
from initkit import InitError, NeedError, PlanError
from initkit_kan.layers import find_layers

ALL = ["kan/power", "kan/lecun", "kan/glorot", "kan/glorot_fine", "kan/iso", "kan/default"]


def pykan(*widths: int, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return kan.KAN(width=list(widths), grid=5, k=3, auto_save=False, device="cpu", **options)


def inkan(*widths: int, dim: int = 1) -> nn.Module:
    return InNetwork(list(widths), dim=dim, compile_basis=False)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "pykan": (lambda: pykan(3, 6, 2), ["act_fun.0.coef", "act_fun.0.scale_base", "act_fun.0.scale_sp"]),
    "efficient_kan": (
        lambda: nn.Sequential(KANLinear(3, 6), KANLinear(6, 2)),
        ["0.base_weight", "0.spline_weight", "0.spline_scaler"],
    ),
    "efficient_kan, no scaler": (
        lambda: nn.Sequential(KANLinear(3, 6, scaled=False), KANLinear(6, 2, 3, 2)),
        ["0.base_weight", "0.spline_weight"],
    ),
    "flashkan": (lambda: FlashNetwork([3, 6, 2]), ["layers.0.spline_weight", "layers.0.base_weight"]),
    "inkan": (lambda: inkan(3, 6, 2), ["layers.0.weight"]),
    "fastkan": (
        lambda: nn.Sequential(FastKANLayer(3, 6), FastKANLayer(6, 2)),
        ["0.spline_linear.weight", "0.base_linear.weight", "0.base_linear.bias"],
    ),
    "fastkan, alone": (
        lambda: nn.Sequential(FastKANLayer(3, 6, base=False), FastKANLayer(6, 2, norm=False, base=False)),
        ["0.spline_linear.weight"],
    ),
    "chebykan": (lambda: nn.Sequential(ChebyKANLayer(3, 6), ChebyKANLayer(6, 2)), ["0.cheby_coeffs"]),
}


def cases() -> list[tuple[str, str]]:
    found = []
    for network in NETWORKS:
        for recipe in ALL:
            if recipe == "kan/iso" and network in ("fastkan, alone", "chebykan"):
                continue
            found.append((network, recipe))
    return found


@pytest.mark.filterwarnings("ignore:kan/power.*no residual branch")
@pytest.mark.parametrize(("network", "recipe"), cases())
def test_every_layer_is_set_runs_and_learns(network: str, recipe: str) -> None:
    build, names = NETWORKS[network]
    model = build()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plan = initkit.plan(model, recipe)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    report = initkit.apply(model, recipe, seed=3)
    assert set(names) <= set(report)
    for name, entry in report.items():
        now = model.get_parameter(name).detach()
        assert torch.isfinite(now).all()
        if entry.shape and plan[name].draw.random:
            assert not torch.equal(now, before[name])
            if now.numel() > 100:
                assert rms(now) == pytest.approx(plan[name].draw.std, rel=0.35)
    x = torch.rand(64, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    y = torch.stack([x.prod(1), x.sum(1) / 3], 1)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert math.isfinite(losses[-1])
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings("ignore:kan/power.*no residual branch")
@pytest.mark.parametrize("recipe", ["kan/lecun", "kan/glorot", "kan/glorot_fine", "kan/power", "kan/iso"])
@pytest.mark.parametrize("family", ["efficient_kan", "flashkan", "inkan", "pykan", "fastkan", "chebykan"])
def test_the_report_predicts_the_variance(family: str, recipe: str) -> None:
    """Within 10 % for 32 inputs or more on U(-1, 1), whatever the layout."""
    if family == "chebykan" and recipe == "kan/iso":
        pytest.skip("no residual branch")
    n, o = 48, 400
    layers: dict[str, Callable[[], nn.Module]] = {
        "efficient_kan": lambda: KANLinear(n, o),
        "flashkan": lambda: FlashNetwork([n, o]).layers[0],
        "inkan": lambda: inkan(n, o).layers[0],
        "pykan": lambda: kan.KANLayer(n, o, num=5, k=3),
        "fastkan": lambda: FastKANLayer(n, o, norm=False),
        "chebykan": lambda: ChebyKANLayer(n, o),
    }
    if family == "pykan":
        from kan.KANLayer import KANLayer

        model = KANLayer(n, o, num=5, k=3)
    else:
        model = layers[family]()
    report = initkit.apply(model, recipe, seed=1)
    (row,) = report.notes[f"{recipe} layers"]
    x = torch.rand(1500, n, generator=torch.Generator().manual_seed(2)) * 2 - 1
    x.requires_grad_()
    out = model(x)
    out = out[0] if isinstance(out, tuple) else out
    assert rms(out) ** 2 == pytest.approx(row["output_rms"] ** 2, rel=0.1)
    signs = torch.randint(0, 2, out.shape, generator=torch.Generator().manual_seed(3)) * 2.0 - 1
    (gradient,) = torch.autograd.grad((signs * out).sum(), x)
    assert rms(gradient) == pytest.approx(row["backward_gain"], rel=0.1)


def test_all_layouts_of_one_function_get_the_same_scales() -> None:
    reports = [
        initkit.plan(model, "kan/glorot")
        for model in (KANLinear(7, 5), FlashNetwork([7, 5]).layers[0], pykan(7, 5).act_fun[0])
    ]
    names = [("base_weight", "spline_weight"), ("base_weight", "spline_weight"), ("scale_base", "coef")]
    stds = [[plan[name].draw.std for name in pair] for plan, pair in zip(reports, names, strict=True)]
    assert stds[0] == stds[1] == stds[2]
    packed = initkit.plan(inkan(7, 5).layers[0], "kan/glorot")["weight"].draw
    assert packed.describe() == "N(0, std[1, 63]²)"
    values = packed.parts()[0][1].ravel()
    assert set(values[:56].tolist()) == {stds[0][1]}
    assert set(values[56:].tolist()) == {stds[0][0]}


def test_columns_of_fastkan_are_feature_major() -> None:
    layer = FastKANLayer(3, 400, norm=False)
    initkit.apply(layer, "kan/glorot_fine", seed=0)
    weight = layer.spline_linear.weight.detach().reshape(400, 3, 8)
    sizes = weight.square().mean((0, 1)).sqrt()
    wanted = initkit.plan(layer, "kan/glorot_fine")["spline_linear.weight"].draw.parts()[0][1].ravel()[:8]
    assert torch.allclose(sizes.double(), wanted, rtol=0.1)
    assert sizes.max() / sizes.min() > 1.5


def test_packed_weights_are_written_through() -> None:
    model = inkan(3, 6, 2)
    before = [layer.spline_weight.clone() for layer in model.layers]
    report = initkit.apply(model, "kan/lecun", seed=0)
    for layer, old in zip(model.layers, before, strict=True):
        assert not torch.equal(layer.spline_weight, old)
    assert report["layers.0.weight"].draw == "N(0, std[1, 27]²)"


def test_surfaces_over_two_inputs() -> None:
    model = inkan(2, 300, dim=2)
    report = initkit.apply(model, "kan/lecun", seed=0)
    (row,) = report.notes["kan/lecun layers"]
    assert row["basis"] == 64
    x = torch.rand(1500, 2) * 2 - 1
    x.requires_grad_()
    out = model(x)
    assert rms(out) ** 2 == pytest.approx(row["output_rms"] ** 2, rel=0.1)
    signs = torch.randint(0, 2, out.shape) * 2.0 - 1
    (gradient,) = torch.autograd.grad((signs * out).sum(), x)
    assert rms(gradient) == pytest.approx(row["backward_gain"], rel=0.12)
    with pytest.raises(PlanError, match="knows no surfaces"):
        initkit.apply(model, initkit.recipe("kan/lecun", input="batch"), inputs=x)


def test_pykan_s_masks_count() -> None:
    model = pykan(6, 4, 1)
    layer = model.act_fun[0]
    with torch.no_grad():
        layer.mask[:, 0] = 0.0
        layer.mask[:3, 1] = 0.0
    report = initkit.apply(model, "kan/lecun", seed=0)
    assert not layer.coef[:, 0].any()
    assert not layer.scale_base[:, 0].any()
    assert not layer.scale_sp[:3, 1].any()
    assert layer.scale_sp[3:, 1].eq(1).all()
    std = initkit.plan(model, "kan/lecun")["act_fun.0.scale_base"].draw.parts()[0][1]
    assert float(std[3, 1] / std[0, 2]) == pytest.approx(math.sqrt(2), rel=1e-6)
    assert "act_fun.0.mask" in report.kept
    assert "symbolic_fun.0.affine" in report.untouched


def test_pykan_without_a_residual_branch() -> None:
    model = pykan(3, 4, 1, base_fun="zero")
    report = initkit.apply(model, "kan/lecun", seed=0)
    assert report.notes["kan/lecun layers"][0]["sigma_r"] is None
    assert "act_fun.0.scale_base" in report.kept
    with pytest.raises(PlanError, match="no residual branch to carry the variance; kan/glorot_fine"):
        initkit.apply(model, "kan/iso")


def test_a_layer_whose_connections_are_all_cut() -> None:
    model = pykan(3, 4, 1)
    with torch.no_grad():
        model.act_fun[0].mask.zero_()
    initkit.apply(model, "kan/glorot", seed=0)
    assert not model.act_fun[0].coef.any()
    assert not model.act_fun[0].scale_base.any()
    assert model.act_fun[1].coef.any()


class Zero(nn.Module):
    """No residual branch."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


@pytest.mark.filterwarnings("ignore:kan/power.*no residual branch")
@pytest.mark.parametrize("recipe", ["kan/power", "kan/lecun", "kan/glorot_fine"])
def test_packed_weights_without_a_residual_branch(recipe: str) -> None:
    layer = KANLayer(5, 40, base_activation=Zero, compile_basis=False)
    report = initkit.apply(layer, recipe, seed=0)
    assert not layer.base_weight.any()
    (row,) = report.notes[f"{recipe} layers"]
    assert row["sigma_r"] is None
    assert rms(layer(2 * torch.rand(900, 5) - 1)) == pytest.approx(row["output_rms"], rel=0.3)


def test_adapted_grids_give_each_feature_its_own_scale() -> None:
    model = pykan(2, 3, 1)
    x = torch.stack([torch.rand(400) ** 3, 4 * torch.rand(400) - 2], 1)
    model.update_grid_from_samples(x)
    recipe = initkit.recipe("kan/lecun", input="grid", per_feature=True)
    plan = initkit.plan(model, recipe)
    std = plan["act_fun.0.coef"].draw.parts()[0][1]
    assert std.shape == (2, 1, 1)
    assert float(std[0]) != pytest.approx(float(std[1]), rel=1e-3)
    shared = initkit.plan(model, initkit.recipe("kan/lecun", input="grid"))
    assert isinstance(shared["act_fun.0.coef"].draw.std, float)
    model(x)


def test_a_batch_shows_each_layer_what_it_sees() -> None:
    """With the moments of the batch, LeCun's rule gives every layer the variance that it was asked to keep."""
    torch.manual_seed(0)
    model = nn.Sequential(*(KANLinear(64, 64) for _ in range(4)))
    x = 0.3 * torch.randn(600, 64)
    recipe = initkit.recipe("kan/lecun", input="batch")
    report = initkit.apply(model, recipe, inputs=x, seed=0)
    for row in report.notes["kan/lecun layers"]:
        assert row["input_std"] == pytest.approx(0.3, rel=0.35)
        assert row["forward_gain"] == pytest.approx(1.0, rel=1e-4)
    assert rms(model(x)) == pytest.approx(0.3, rel=0.4)
    again = copy.deepcopy(model)
    assert initkit.apply(again, recipe, inputs=x, seed=0).to_json() == report.to_json()


@pytest.mark.parametrize("family", ["flashkan", "inkan", "pykan", "fastkan", "chebykan"])
def test_a_batch_calibrates_every_family(family: str) -> None:
    model = NETWORKS[family][0]()
    x = torch.rand(50, 3)
    for per_feature in (False, True):
        recipe = initkit.recipe("kan/glorot_fine", input="batch", per_feature=per_feature)
        report = initkit.apply(model, recipe, inputs=x, seed=0)
        assert len(report.notes["kan/glorot_fine layers"]) == 2
        assert torch.isfinite(model(x)).all()


def test_a_bad_batch() -> None:
    model = nn.Sequential(KANLinear(3, 3), KANLinear(3, 2))
    recipe = initkit.recipe("kan/lecun", input="batch")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NeedError, match="needs inputs"):
        initkit.apply(model, recipe)
    x = torch.rand(9, 3)
    x[4, 1] = float("nan")
    with pytest.raises(NeedError, match=r"NaN or infinite values of the batch reach 0 \(KANLinear\)"):
        initkit.apply(model, recipe, inputs=x)
    with pytest.raises(NeedError, match="all samples of the batch are alike"):
        initkit.apply(model, recipe, inputs=torch.ones(9, 3))
    with pytest.warns(UserWarning, match="more than 20 % of the batch are outside the grid of 0, where splines fade"):
        report = initkit.apply(copy.deepcopy(model), recipe, inputs=1.8 * torch.rand(99, 3) - 0.4)
    assert report.notes["kan/lecun layers"][0]["outside_grid"] > 0.2
    with pytest.raises(PlanError, match="its functions are 0 wherever its inputs are"):
        initkit.apply(model, recipe, inputs=50 + torch.rand(9, 3))
    unused = nn.ModuleDict({"a": KANLinear(3, 3), "b": KANLinear(3, 3)})
    unused.forward = lambda x: unused["a"](x)  # type: ignore[method-assign]
    with pytest.raises(InitError, match=r"b \(KANLinear\) was not called"):
        initkit.apply(unused, recipe, inputs=torch.rand(9, 3))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_scales_of_splines_become_one_or_are_divided_by() -> None:
    model = KANLinear(5, 4)
    with torch.no_grad():
        model.spline_scaler.fill_(0.25)
    plain = initkit.plan(model, "kan/glorot")
    kept = initkit.plan(model, initkit.recipe("kan/glorot", keep_scale=True))
    assert kept["spline_weight"].draw.std == pytest.approx(4 * plain["spline_weight"].draw.std, rel=1e-6)
    initkit.apply(model, "kan/glorot")
    assert model.spline_scaler.eq(1).all()
    with torch.no_grad():
        model.spline_scaler[1, 2] = 0.0
    with pytest.raises(PlanError, match="spline_scaler holds 0"):
        initkit.apply(model, initkit.recipe("kan/glorot", keep_scale=True))


def test_the_default_recipe_follows_the_layers() -> None:
    from initkit.plugins import registry

    def first(model: nn.Module) -> str:
        return next(card.name for card in registry().plugin("kan").cards if card.claims(model))

    assert first(nn.Sequential(KANLinear(3, 2))) == "power"
    assert first(nn.Sequential(KAT_Group())) == "kat"


def _broken(change: Callable[[Any], None]) -> nn.Module:
    layer = KANLinear(4, 3)
    change(layer)
    return nn.Sequential(layer)


def _set(name: str, *shape: int) -> Callable[[Any], None]:
    return lambda layer: setattr(layer, name, nn.Parameter(torch.zeros(*shape)))


BAD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "rank": (
        lambda: _broken(_set("spline_weight", 3, 32)),
        r"0 \(KANLinear\): spline_weight has shape \(3, 32\), expected \(o, n, M\)",
    ),
    "base": (
        lambda: _broken(_set("base_weight", 4, 3)),
        r"base_weight has shape \(4, 3\), expected \(3, 4\), as spline_weight has shape \(3, 4, 8\)",
    ),
    "order": (lambda: _broken(lambda m: setattr(m, "spline_order", 0)), "spline_order = 0"),
    "no order": (lambda: _broken(lambda m: delattr(m, "spline_order")), "the order of the splines, is None"),
    "grid": (
        lambda: _broken(lambda m: m.register_buffer("grid", torch.zeros(4, 11))),
        r"grid has shape \(4, 11\), expected \(4, 12\)",
    ),
    "falling grid": (
        lambda: _broken(lambda m: m.grid.copy_(m.grid.flip(1))),
        "the grid of feature 0 decreases",
    ),
    "parametrised": (
        lambda: _broken(lambda m: parametrizations.weight_norm(m, "spline_weight")),
        "spline_weight is parametrised",
    ),
    "meta": (lambda: nn.Sequential(KANLinear(4, 3)).to("meta"), "on the meta device and holds no values"),
    "centres": (
        lambda: nn.Sequential(_fast_with_odd_columns()),
        "25 columns are no multiple of the 8 centres",
    ),
    "cheby": (
        lambda: nn.Sequential(_cheby_of_rank_two()),
        r"cheby_coeffs has shape \(4, 3\), expected \(n, o, degree\+1\)",
    ),
    "none": (lambda: nn.Linear(3, 2), "has no spline, RBF or Chebyshev layer"),
    "rational": (lambda: nn.Sequential(KAT_Group()), "0 are rational layers: kan/kat sets them"),
    "kanditioned": (lambda: nn.Sequential(_kanditioned()), "has an init option of its own"),
}


def _fast_with_odd_columns() -> nn.Module:
    layer = FastKANLayer(3, 2)
    layer.spline_linear = nn.Linear(25, 2, bias=False)
    return layer


def _cheby_of_rank_two() -> nn.Module:
    layer = ChebyKANLayer(4, 3)
    layer.cheby_coeffs = nn.Parameter(torch.zeros(4, 3))
    return layer


def _kanditioned() -> nn.Module:
    layer = nn.Module()
    layer.kan_weight = nn.Parameter(torch.zeros(3, 2, 4))
    return layer


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_says_where_and_why(case: str) -> None:
    build, words = BAD[case]
    with pytest.raises(PlanError, match=words) as caught:
        initkit.apply(build(), "kan/glorot")
    assert "\n" not in str(caught.value)


def test_layers_that_are_not_supported_are_named_beside_others() -> None:
    model = nn.Sequential(KANLinear(3, 2), _kanditioned())
    with pytest.warns(UserWarning, match=r"1 \(Module\) has an init option of its own: left as it is"):
        report = initkit.apply(model, "kan/glorot")
    assert "1.kan_weight" in report.untouched


def test_half_types_that_flush_are_said() -> None:
    model = nn.Sequential(KANLinear(1024, 4, 20)).half()
    with pytest.warns(UserWarning, match="of the draws are 0 in float16"):
        report = initkit.apply(model, "kan/power", seed=0)
    assert any("float16" in row["remark"] for row in report.notes["kan/power remarks"])


def test_power_says_when_a_network_is_deep() -> None:
    model = nn.Sequential(*(KANLinear(4, 4) for _ in range(6)))
    with pytest.warns(UserWarning, match="6 layers: the signal of power-law scales shrinks"):
        initkit.apply(model, "kan/power")


def test_power_says_when_there_is_no_residual_branch() -> None:
    with pytest.warns(UserWarning, match=r"model \(ChebyKANLayer\) has no residual branch.*kan/glorot"):
        initkit.apply(ChebyKANLayer(3, 2), "kan/power")


def test_grids_may_be_elsewhere_than_inputs() -> None:
    with pytest.raises(PlanError, match="needs a grid, and chebykan layers have none"):
        initkit.apply(ChebyKANLayer(3, 2), initkit.recipe("kan/lecun", input="grid"))


def test_planning_is_fast_enough_for_many_layers() -> None:
    """Moments of equal layers are found once: a hundred layers cost no more than a few."""
    from initkit_kan.moments import _basis_moments

    model = nn.Sequential(*(KANLinear(4, 4, 7) for _ in range(100)))
    _basis_moments.cache_clear()
    initkit.plan(model, "kan/glorot")
    assert _basis_moments.cache_info().misses == 1


def test_layers_are_found_without_importing_their_packages() -> None:
    import subprocess
    import sys

    code = (
        "import sys, torch, initkit\n"
        "initkit.recipe('kan/power')\n"
        "from initkit_kan.layers import find_layers\n"
        "find_layers(torch.nn.Linear(2, 2))\n"
        "print([name for name in ('kan', 'flashkan', 'inkan', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_shape_of_what_was_found() -> None:
    model = nn.Sequential(KANLinear(3, 4), ChebyKANLayer(4, 2, 5), FastKANLayer(2, 2))
    found = find_layers(model).layers
    assert [(one.family, one.n, one.o, one.count) for one in found] == [
        ("efficient_kan", 3, 4, 8),
        ("chebykan", 4, 2, 6),
        ("fastkan", 2, 2, 8),
    ]
    assert np.array_equal(found[0].fans.n, [[3.0]])
    assert isinstance(found[0].module, nn.Module)
    values: Tensor = model[0].grid
    assert values.shape == (3, 12)
