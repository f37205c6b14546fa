"""The audit's rules, repair, and the probe; on small layers whose time constants are set by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import ssm_gated_layouts as gated
import ssm_layouts
import torch
from torch import nn

import initkit
from initkit import CommitError, NeedError, OptionError, PlanError
from initkit_ssm import Adapter, Layer, Site, Steps, Stored, audit, layers, promote_fp32
from initkit_ssm.auditing import histogram
from initkit_ssm.codes import SOFTPLUS


def ssd(taus: list[float], dt: list[float] | float = 0.1) -> gated.Mamba2:
    """A Mamba-2 layer with given time constants and steps."""
    layer = gated.Mamba2(heads=len(taus))
    tau = torch.tensor(taus, dtype=torch.float64)
    steps = torch.tensor(dt, dtype=torch.float64).expand(len(taus))
    with torch.no_grad():
        layer.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))
        layer.A_log.copy_(torch.log(1 / (tau * steps)))
    return layer


def spread(count: int, low: float = 0.02, high: float = 0.2) -> list[float]:
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64).tolist()


def good(count: int = 20) -> gated.Mamba2:
    return ssd([8.0 * (i + 1) for i in range(count)], spread(count))


def test_a_layer_with_memory_passes_and_says_how_long_it_is() -> None:
    (found,) = audit(nn.Sequential(good())).layers
    assert found.level == "PASS"
    assert found.words == "time constants of 8 to 160 steps, median 80; 100% of 20 modes reach 4"
    assert found.row["tau max"] == pytest.approx(160, rel=1e-5)
    assert found.row["≥ 64"] == pytest.approx(13 / 20)
    assert found.row["dt min"] == pytest.approx(0.02, rel=1e-5)
    assert found.row["stored"] == "full precision"
    assert found.row["not finite"] == 0
    assert found.row["|λ| max"] == pytest.approx(math.exp(-1 / 160), rel=1e-6)


@pytest.mark.parametrize(("long", "level"), [(0, "FAIL"), (1, "FAIL"), (2, "PASS"), (3, "PASS")])
def test_one_mode_in_twenty_has_to_reach_four_steps(long: int, level: str) -> None:
    """With 40 modes, one is 2.5 % and too few, two are 5 % and enough."""
    layer = ssd([4.01] * long + [3.99] * (40 - long), spread(40))
    assert audit(layer).layers[0].level == level


def test_a_failure_says_why_in_plain_words() -> None:
    layer = ssd([1 / (1.3132616875 * a) for a in range(1, 9)], 1.3132616875)
    words = audit(layer).layers[0].words
    assert words == (
        "forgets at once: time constants of 0.0952 to 0.761 steps, and none of 8 modes reach 4 (5 % should); "
        "dt is 1.31 and |A| 1 to 8: a time constant is 1/(|A| dt)"
    )


@pytest.mark.parametrize("value", [float("-inf"), float("nan"), float("inf")])
def test_a_value_that_is_not_finite_fails(value: float) -> None:
    layer = good()
    with torch.no_grad():
        layer.A_log[3] = value
    (found,) = audit(layer).layers
    assert found.level == "FAIL"
    assert found.words == "values that are NaN or infinite: A_log (1)"
    assert found.row["not finite"] == 1
    assert json.loads(audit(layer).to_json())["layers"][0]["verdict"] == "FAIL"


def test_a_mode_that_never_decays_fails() -> None:
    layer = good().double()
    with torch.no_grad():
        layer.A_log[:2] = -800.0
    words = audit(layer).layers[0].words
    assert words == "2 of 20 modes never decay: their factor is 1 or more a step"


def test_parameters_that_were_never_set_are_named() -> None:
    layer = gated.Mamba2()
    with torch.no_grad():
        layer.A_log.zero_()
        layer.dt_bias.zero_()
    (found,) = audit(layer).layers
    assert found.level == "FAIL"
    assert found.words.endswith("A_log, dt_bias are 0 everywhere, as if never set")


def test_equal_steps_are_warned_of() -> None:
    (found,) = audit(ssd([8.0, 16.0, 32.0])).layers
    assert found.level == "WARN"
    assert found.words.startswith("all 3 steps dt are equal (0.1)")
    assert audit(ssd([8.0])).layers[0].level == "PASS"  # a single step has nothing to be equal to


@pytest.mark.parametrize(("length", "level"), [(None, "PASS"), (1280, "PASS"), (1290, "WARN")])
def test_memory_of_an_eighth_of_the_sequence_is_asked_for(length: int | None, level: str) -> None:
    (found,) = audit(good(), length=length).layers
    assert found.level == level
    if length == 1290:
        assert "the longest time constant is 160 steps, less than an eighth of the 1290 to read" in found.words
        assert found.row["≥ 1290"] == 0


@pytest.mark.parametrize(("turning", "level"), [(2, "PASS"), (3, "WARN")])
def test_frequencies_that_alias_are_warned_of_and_no_failure(turning: int, level: str) -> None:
    layer = ssm_layouts.S4D(1, 16)
    with torch.no_grad():
        layer.kernel.log_dt.fill_(math.log(0.01))
        layer.kernel.A_imag.copy_(torch.tensor([[400.0] * turning + [3.0] * (8 - turning)]))
    (found,) = audit(layer).layers
    assert found.level == level
    assert found.row["aliased"] == turning / 8
    if level == "WARN":
        assert "38% of the modes turn by more than π a step" in found.words


@pytest.mark.parametrize(
    ("make", "recipe"), [("S4D", "ssm/s4d"), ("S5", "ssm/s5"), ("PairedA", "ssm/s5"), ("LRU", "ssm/lru")]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_variance_of_the_output_for_white_input_is_what_the_layer_gives(make: str, recipe: str) -> None:
    model = getattr(ssm_layouts, make)(6, 8).double()
    options = {"preset": "long"} if make == "LRU" else {}
    initkit.apply(model, initkit.recipe(recipe, **options))
    (found,) = audit(model, length=4096).layers
    x = torch.randn(16, 4096, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        measured = float(model(x)[:, 2048:].square().mean())
    assert found.row["output variance"] == pytest.approx(measured, rel=0.06)


def test_half_types_are_said_and_not_judged() -> None:
    (found,) = audit(good().bfloat16()).layers
    assert found.level == "PASS"
    assert found.words.endswith("stored in bfloat16, which shifts time constants by up to 1.6 %")
    assert found.row["stored"] == "bfloat16"


def test_what_cannot_be_judged_is_reported() -> None:
    (found,) = audit(nn.Sequential(gated.MinGRU())).layers
    assert found.level == ""
    assert found.words.startswith("its gate comes from to_hidden_and_gate.weight, which has no bias")
    (hollow,) = audit(gated.Mamba2().to("meta")).layers
    assert hollow.level == ""
    assert hollow.words == "no values yet in A_log, dt_bias (meta device): apply a recipe first"
    assert json.loads(audit(nn.Sequential(gated.MinGRU())).to_json())["layers"][0]["verdict"] == ""


def test_unknown_layers_are_a_line_or_an_error() -> None:
    model = nn.Sequential(good(), broken_layer())
    found = audit(model)
    assert len(found.layers) == 1
    assert "dt_bias has shape (2,), expected (6,)" in found.unknown[0]
    assert str(found).splitlines()[1].startswith("unknown  1 (Mamba2")
    with pytest.raises(PlanError, match="dt_bias has shape"):
        audit(model, strict=True)


def broken_layer() -> nn.Module:
    layer = gated.Mamba2()
    layer.dt_bias = nn.Parameter(torch.zeros(2))
    return layer


@pytest.mark.parametrize("length", [0, -3, 2.5, True, "long"])
def test_a_length_is_a_whole_number(length: Any) -> None:
    with pytest.raises(OptionError, match="length="):
        audit(good(), length=length)


def test_the_audit_writes_nothing() -> None:
    model = good()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    audit(model, length=100)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_histogram_counts_every_mode_once() -> None:
    bins = histogram(torch.tensor([1e-9, 1.0, 1.9, 2.0, 1e9, math.inf], dtype=torch.float64), low=-1, high=3)
    assert bins == [(0.5, 1), (1.0, 2), (2.0, 1), (4.0, 2)]


# ssm/repair


def failing(heads: int = 8) -> gated.Mamba2:
    return ssd([1 / (1.3132616875 * a) for a in range(1, heads + 1)], 1.3132616875)


def test_only_layers_that_fail_are_set() -> None:
    model = nn.Sequential(good(), failing())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initkit.apply(model, "ssm/repair", seed=4)
    assert set(report) == {"1.A_log", "1.dt_bias", "1.D"}
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"1.A_log", "1.dt_bias", "1.D"}
    assert report.reasons["0.A_log"] == "passes with time constants of 8 to 160 steps"
    assert "failed with time constants of 0.0952 to 0.761 steps" in report["1.A_log"].why
    first, second = report.notes["ssm/repair layers"]
    assert (first["repaired"], first["verdict before"], first["verdict after"]) == ("no", "PASS", "PASS")
    assert (second["repaired"], second["verdict before"], second["verdict after"]) == ("yes", "FAIL", "PASS")
    assert second["tau max before"] == 0.7615
    assert second["tau max after"] > 10
    assert [found.level for found in audit(model).layers] == ["PASS", "PASS"]


def test_a_repaired_layer_equals_the_authors_start() -> None:
    one, two = nn.Sequential(failing()), nn.Sequential(failing())
    initkit.apply(one, "ssm/repair", seed=4)
    initkit.apply(two, "ssm/mamba", seed=4)
    state = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    assert all(a[0] == b[0] and (a[0][0] != "0" or torch.equal(a[1], b[1])) for a, b in state if "proj" not in a[0])


def test_a_healthy_model_is_left_and_says_so() -> None:
    model = nn.Sequential(good())
    report = initkit.apply(model, "ssm/repair")
    assert list(report) == []
    assert report.notes["ssm/repair layers"][0]["repaired"] == "no"
    assert "A_log" in " ".join(report.kept)


def test_warnings_are_repaired_on_request() -> None:
    model = nn.Sequential(ssd([8.0] * 20))
    assert list(initkit.apply(model, "ssm/repair")) == []
    report = initkit.apply(model, initkit.recipe("ssm/repair", level="warn"))
    assert "0.dt_bias" in report
    assert audit(model).layers[0].level == "PASS"


def test_a_layer_that_would_still_fail_changes_nothing() -> None:
    model = nn.Sequential(failing())
    layer: Any = model[0]
    with torch.no_grad():
        layer.in_proj.weight[0, 0] = float("nan")
    before = layer.A_log.detach().clone()
    with pytest.raises(CommitError, match=r"0 \(Mamba2\) would still fail: values that are NaN.*in_proj\.weight \(1\)"):
        initkit.apply(model, "ssm/repair")
    assert torch.equal(layer.A_log, before)
    assert not hasattr(layer.A_log, "_no_weight_decay")


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (gated.Mamba, ["dt_proj.bias"]),
        (gated.GatedDelta, ["dt_bias"]),
        (gated.Mamba3, ["dt_bias"]),
        (gated.RecurrentBlock, ["rg_lru.a_param"]),
        (gated.SLstm, ["_bias_"]),
        (lambda: gated.Rwkv(6), ["time_decay"]),
        (lambda: ssm_layouts.S4D(4, 16), ["kernel.log_dt"]),
        (lambda: ssm_layouts.LRU(4, 16), ["nu_log"]),
    ],
)
def test_every_kind_has_its_matching_recipe(make: Any, names: list[str]) -> None:
    model = make()
    with torch.no_grad():
        for name in names:
            forgets = -9.0 if name == "_bias_" else 6.0
            model.get_parameter(name).fill_(forgets)
    assert audit(model).failed
    report = initkit.apply(model, "ssm/repair")
    assert set(names) <= set(report)
    assert not audit(model).failed


def test_a_way_back_without_memory_is_found_and_mended() -> None:
    model = gated.Vim()
    initkit.apply(model, initkit.recipe("ssm/mamba", which="all"))
    assert audit(model).layers[0].level == "PASS"
    with torch.no_grad():
        model.dt_proj_b.bias.zero_()
    (found,) = audit(model).layers
    assert "dt_proj_b.bias is 0 everywhere" not in found.words  # half of the modes still remember
    assert found.row["≥ 4"] == pytest.approx(audit(gated_forward(model)).layers[0].row["≥ 4"] / 2)
    with torch.no_grad():
        model.dt_proj.bias.zero_()
    assert audit(model).layers[0].level == "FAIL"
    report = initkit.apply(model, "ssm/repair")
    assert {"dt_proj.bias", "dt_proj_b.bias", "A_b_log", "D_b"} <= set(report)
    bias: Any = model.dt_proj_b.bias
    assert bias._no_reinit is True


def gated_forward(model: gated.Vim) -> gated.Mamba:
    """The way there alone."""
    way = gated.Mamba()
    way.load_state_dict(
        {
            name: value
            for name, value in model.state_dict().items()
            if "_b." not in name and name not in ("A_b_log", "D_b")
        }
    )
    return way


def test_a_failing_layer_of_a_kind_of_one_s_own_is_not_left_silently() -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leak = nn.Parameter(torch.full((3,), 6.0))

    class LeakyAdapter(Adapter):
        def fits(self, site: Site) -> bool:
            return isinstance(site.module, Leaky)

        def describe(self, site: Site) -> Layer:
            return Layer(site, "leaky", {"decay": Stored(site.full("leak"), (3,), SOFTPLUS)}, self)

        def steps(self, layer: Layer, read: Any) -> Steps:
            return Steps(layer.read("decay", read))

    adapter = layers.register(LeakyAdapter())
    try:
        model = nn.Sequential(Leaky(), failing())
        assert [one.level for one in audit(model).layers] == ["FAIL", "FAIL"]
        with pytest.warns(UserWarning, match=r"0 \(Leaky\) is of kind leaky, for which there is no recipe: forgets"):
            report = initkit.apply(model, "ssm/repair")
    finally:
        layers._REGISTERED.remove(adapter)
    assert "0.leak" not in report
    assert "1.A_log" in report


def test_rg_lru_s_gates_are_no_business_of_a_repair() -> None:
    model = gated.RecurrentBlock()
    with torch.no_grad():
        model.rg_lru.a_param.fill_(6.0)
    assert set(initkit.apply(model, "ssm/repair")) == {"rg_lru.a_param"}


def test_a_meta_model_is_set() -> None:
    model = nn.Sequential(gated.Rwkv(6)).to("meta")
    report = initkit.apply(model, ["ssm/repair", RestOnes()])
    assert "0.time_decay" in report
    assert report.notes["ssm/repair layers"][0]["verdict before"] == "not judged"


class RestOnes(initkit.Recipe):
    """Fills what is left on the meta device."""

    def plan(self, model: Any) -> Any:
        yield initkit.Fill("0.time_faaaa", initkit.Constant(1.0), why="a test")


# the probe


def test_inspect_shows_figures_histogram_and_verdicts() -> None:
    found = initkit.inspect(nn.Sequential(good(), failing()), probes="ssm")
    assert not found.healthy
    levels = [(verdict.level, verdict.where) for verdict in found.verdicts]
    assert levels == [("PASS", "0 (Mamba2)"), ("FAIL", "1 (Mamba2)")]
    assert "forgets at once" in found.verdicts[1].words
    assert "ssm/repair" in found.verdicts[1].words
    rows = found.tables["ssm/time constants"].rows
    assert [row["verdict"] for row in rows] == ["PASS", "FAIL"]
    assert sum(row["modes"] for row in found.tables["ssm/memory"].rows) == 28
    json.loads(found.to_json())


def test_inspect_lays_before_and_after_side_by_side() -> None:
    found = initkit.inspect(nn.Sequential(failing()), probes="ssm", recipes="ssm/repair")
    assert found.healthy
    assert found.before is not None
    assert not found.before.healthy
    assert "FAIL → PASS" in str(found)


def test_many_layers_that_pass_are_one_line() -> None:
    found = initkit.inspect(nn.Sequential(good(), good(), good()), probes="ssm")
    (verdict,) = found.verdicts
    assert verdict.words == "all 3 recurrent layers remember: time constants of 8 to 160 steps, median 80"


def test_what_cannot_be_judged_is_a_note() -> None:
    found = initkit.inspect(nn.Sequential(good(), gated.MinGRU()), probes="ssm")
    assert [verdict.level for verdict in found.verdicts] == ["PASS", "NOTE"]
    assert found.healthy


def test_the_probe_takes_a_length_and_refuses_others() -> None:
    model = nn.Sequential(good())
    assert initkit.inspect(model, probes="ssm", length=torch.tensor(5000)).verdicts[0].level == "WARN"
    with pytest.raises(NeedError, match="length: give the number of steps"):
        initkit.inspect(model, probes="ssm", length=[1, 2])


def test_a_model_without_recurrent_layers_has_nothing_to_measure() -> None:
    with pytest.raises(NeedError, match="nothing could be measured"):
        initkit.inspect(nn.Linear(2, 2), probes="ssm")


# precision


def test_dynamics_are_promoted_and_nothing_else() -> None:
    model = nn.Sequential(good()).bfloat16()
    layer: Any = model[0]
    kept = layer.A_log
    assert promote_fp32(model) == ["0.A_log", "0.dt_bias"]
    assert layer.A_log is kept
    assert layer.A_log.dtype == torch.float32
    assert layer.in_proj.weight.dtype == torch.bfloat16
    initkit.apply(model, "ssm/mamba")
    assert audit(model).layers[0].row["stored"] == "full precision"
    assert promote_fp32(model) == []
