"""inr/strainer: one encoder for several signals, a new decoder, interruption, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import initkit
from initkit import CommitError, FileError, NeedError, OptionError, PlanError

from .meta_networks import Bursts, Clips, Counts, Field, Stops, bits, blobs, grid

FAST = {"steps": 12, "lr": 1e-3}


def fit(model: nn.Module, signals: Any = None, *, seed: int = 0, **options: Any) -> initkit.Report:
    keywords = {key: options.pop(key) for key in ("coords", "progress", "device") if key in options}
    made = initkit.recipe("inr/strainer", **{**FAST, **options})
    return initkit.apply(model, made, signals=blobs() if signals is None else signals, seed=seed, **keywords)


def by_hand(signals: Tensor, steps: int, seed: int, shared: int) -> dict[str, Tensor]:
    """The joint fit with a network for each signal, the shared parameters tied."""
    nets = [Field() for _ in signals]
    initkit.apply(nets[0], "inr/siren", seed=seed)
    plan = initkit.plan(Field(), "inr/siren")
    own = ["out.weight", "out.bias"] if shared == 2 else ["b.weight", "b.bias", "out.weight", "out.bias"]
    for i, net in enumerate(nets):
        for name in own:
            value = plan[name].draw.sample(plan[name].shape, torch.float32, initkit.Stream(seed, f"{name}#signal {i}"))
            net.get_parameter(name).data.copy_(value)
        net.a = nets[0].a
        if shared == 2:
            net.b = nets[0].b
    adam = torch.optim.Adam(dict.fromkeys(p for net in nets for p in net.parameters()), lr=FAST["lr"])
    coords = grid().reshape(-1, 2)
    for _ in range(steps):
        adam.zero_grad()
        losses = [functional.mse_loss(net(coords), y.reshape(-1, 1)) for net, y in zip(nets, signals, strict=True)]
        torch.stack(losses).mean().backward()
        adam.step()
    return {name: value for name, value in nets[0].state_dict().items() if name not in own}


@pytest.mark.parametrize("shared", [1, 2])
def test_it_is_the_joint_fit_of_a_network_for_each_signal(shared: int) -> None:
    model, signals = Field(), blobs(4)
    report = fit(model, signals, shared_layers=shared, steps=20, seed=3)
    for name, value in by_hand(signals, 20, 3, shared).items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
        assert report[name].why == "shared by 4 signals"


def test_the_decoder_is_siren_s_from_the_seed() -> None:
    model, plain = Field(), Field()
    report = fit(model, seed=4)
    initkit.apply(plain, "inr/siren", seed=4)
    for name in ("out.weight", "out.bias"):
        assert torch.equal(model.state_dict()[name], plain.state_dict()[name])
    assert not torch.equal(model.a.weight, plain.a.weight)
    assert report["out.weight"].why == "a new decoder, drawn as SIREN's"
    assert report.covered == 1
    zero = Field()
    fit(zero, bias="zero")
    assert not zero.out.bias.any()


def test_unseen_signals_are_fitted_faster() -> None:
    signals = blobs(14)

    def after(model: nn.Module) -> float:
        """Mean squared error of a few signals after eight steps of Adam."""
        start, losses = {n: v.clone() for n, v in model.state_dict().items()}, []
        for signal in signals[10:]:
            model.load_state_dict(start)
            adam = torch.optim.Adam(model.parameters(), 1e-3)
            for _ in range(8):
                adam.zero_grad()
                loss = functional.mse_loss(model(grid().reshape(-1, 2)), signal.reshape(-1, 1))
                loss.backward()
                adam.step()
            losses.append(float(loss.detach()))
        return sum(losses)

    model, plain = Field(omega=5), Field(omega=5)
    report = fit(model, signals[:10], steps=300)
    initkit.apply(plain, "inr/siren", seed=0)
    assert after(model) < 0.8 * after(plain)
    note, history = report.notes["inr/strainer"], report.notes["inr/strainer history"]
    assert note["psnr_mean"] > 30
    assert note["psnr_range"] == 1
    assert history[-1]["loss"] < history[0]["loss"] / 10


def test_at_most_so_many_signals_are_used() -> None:
    report = fit(Field(), n_signals=3)
    assert report.notes["inr/start"]["signals"] == 3
    assert report["a.weight"].hash == fit(Field(), blobs()[:3])["a.weight"].hash
    assert fit(Field()).notes["inr/start"]["signals"] == 8


def test_each_signal_may_have_points_of_its_own() -> None:
    signals = blobs(4)
    own = {"coords": grid().reshape(1, -1, 2).expand(4, -1, 2).clone(), "target": signals.reshape(4, -1)}
    one, two = Field(), Field()
    fit(one, signals)
    fit(two, own)
    torch.testing.assert_close(one.a.weight, two.a.weight, rtol=1e-4, atol=1e-5)
    fit(two, own, points_per_step=9)
    fit(one, signals, points_per_step=9)
    torch.testing.assert_close(one.a.weight, two.a.weight, rtol=1e-4, atol=1e-5)


def test_a_learned_encoder_is_used_again(tmp_path: Path) -> None:
    model, other, path = Field(), Field(), str(tmp_path / "encoder.safetensors")
    report = fit(model, seed=1)
    initkit.save(model, path, report=report)
    made = initkit.recipe("inr/strainer", learned=path)
    again = initkit.apply(other, made, coords=grid(11), seed=1)
    assert bits(other) == bits(model)
    initkit.apply(other, made, coords=grid(11), seed=2)
    assert torch.equal(other.a.weight, model.a.weight)
    assert not torch.equal(other.out.weight, model.out.weight)
    assert again.notes["inr/start"]["method"] == "strainer"
    with pytest.raises(NeedError, match=r"coords do not fit the start in .*: it is for coordinates on \[-1, 1\]"):
        initkit.apply(other, made, coords=(grid(11) + 1) / 2)


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, whole, path = Field(), Field(), tmp_path / "fit.safetensors"
    before = bits(model)
    with pytest.raises(KeyboardInterrupt, match=r"after 6 of 12 iterations; the model is unchanged; go on"):
        fit(model, progress=Stops(7), checkpoint=str(path))
    assert bits(model) == before
    fit(model, checkpoint=str(path))
    fit(whole)
    assert bits(model) == bits(whole)
    with pytest.raises(FileError, match="it is of another run"):
        fit(model, blobs(5), checkpoint=str(path))


def test_a_loss_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    model = Field(between=Bursts(5))
    before = bits(model)
    words = r"the loss is no finite number in iteration 5; .* lower lr \(now 0.001\); .* from iteration 4"
    with pytest.raises(CommitError, match=words):
        fit(model, checkpoint=str(path), activation="sine:30")
    assert bits(model) == before
    fit(model, checkpoint=str(path), activation="sine:30")
    whole = Field(between=Bursts(0))
    fit(whole, activation="sine:30")
    assert bits(model) == bits(whole)


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (blobs(1), "1 of them"),
        ([blobs(1)[0], blobs(1, size=9)[0]], "resample them to one shape"),
        ({"rows": blobs().sum(1)}, "a mapping with rows holds no 'target'"),
        (blobs() * float("inf"), "holds NaN or infinite values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_signals_are_refused(signals: Any, words: str) -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(NeedError, match=words):
        fit(model, signals)
    assert bits(model) == before


def test_bad_models_and_options_are_refused() -> None:
    for shared in (3, 7):
        with pytest.raises(OptionError, match=rf"shared_layers={shared}: the model has 3 layers, so 1 to 2 of them"):
            fit(Field(), shared_layers=shared)
    with pytest.raises(OptionError, match="n_signals"):
        initkit.recipe("inr/strainer", n_signals=1)
    with pytest.raises(NeedError, match="inr/strainer needs 'signals' to fit"):
        initkit.apply(Field(), "inr/strainer")
    with pytest.raises(PlanError, match="0 is followed by relu"):
        fit(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
    with pytest.raises(PlanError, match="BatchNorm1d"):
        fit(Field(between=nn.BatchNorm1d(16)), activation="sine:30")
    with pytest.raises(CommitError, match=r"changes its buffer between\.calls"):
        fit(Field(between=Counts()), activation="sine:30")


def test_decoders_one_after_the_other_where_they_cannot_be_vectorised() -> None:
    plain, clipped = Field(), Field(between=Clips())
    fit(plain, shared_layers=1)
    with pytest.warns(UserWarning, match="every signal is computed apart, at 8 times the cost"):
        fit(clipped, activation="sine:30", shared_layers=1)
    for a, b in zip(plain.parameters(), clipped.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_model_on_the_meta_device_gets_the_same() -> None:
    with torch.device("meta"):
        hollow = Field()
    fit(hollow)
    real = Field()
    fit(real)
    assert bits(hollow) == bits(real)
