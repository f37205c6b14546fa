"""inr/meta: what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import initkit
from initkit import CommitError, NeedError, PlanError

from .meta_networks import FAST, SIZE, Field, bits, blobs, grid, learn, loss_after


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile"])
def test_unseen_signals_are_fitted_faster(method: str) -> None:
    model, plain, signals = Field(), Field(), blobs(24)
    initkit.apply(plain, initkit.recipe("inr/siren", bias="zero"), seed=0)
    lr = {"maml": 1e-3, "fomaml": 1e-4, "reptile": 1e-3}[method]
    report = learn(model, signals[:16], method=method, iters=100, outer_lr=lr)
    assert loss_after(model, signals[16:], 2) < 0.7 * loss_after(plain, signals[16:], 2)
    start, learned = report.notes["inr/meta effect"]
    assert learned["psnr_after_2"] > start["psnr_after_2"]
    assert report.covered == 1


def test_the_note_measures_what_a_user_gets() -> None:
    model, signals = Field(), blobs()
    report = learn(model, signals)
    row = report.notes["inr/meta effect"][1]
    assert row["loss"] == pytest.approx(loss_after(model, signals, 0), rel=1e-4)
    assert row["loss_after_2"] == pytest.approx(loss_after(model, signals, 2), rel=1e-4)
    assert row["psnr"] == pytest.approx(-10 * np.log10(row["loss"]), abs=0.2)  # the range of the blobs is 1
    assert report.notes["inr/meta"]["effect_on"] == "8 training signals, PSNR for a range of 1"


def test_vmap_and_loop_give_the_same() -> None:
    one, two, three = Field(), Field(), Field()
    learn(one, vectorize="loop")
    report = learn(two, vectorize="vmap")
    learn(three, vectorize="loop", recompute=True)
    assert report.notes["inr/meta"]["vectorised"]
    for a, b, c in zip(one.parameters(), two.parameters(), three.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-5)


def test_the_start_is_siren_s_with_zero_biases_from_the_seed() -> None:
    """After one tiny outer step the weights are still those of the first draw."""
    model, plain = Field(), Field()
    learn(model, iters=1, outer_lr=1e-9, seed=5)
    initkit.apply(plain, initkit.recipe("inr/siren", bias="zero"), seed=5)
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8)


def test_present_values_are_learned_from_on_request() -> None:
    model, before = Field(), Field()
    learn(model, iters=1, outer_lr=1e-9, start="present")
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8)
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    with pytest.raises(PlanError, match=r"0 is followed by relu, .* start='present'"):
        learn(network)
    assert learn(network, start="present").covered == 1
    both, one = Field(), Field()
    recipes = ["inr/siren", initkit.recipe("inr/meta", start="present", **FAST)]
    initkit.apply(both, recipes, signals=blobs(), seed=3)
    initkit.apply(one, "inr/siren", seed=3)
    learn(one, start="present", seed=3)
    assert bits(both) == bits(one)


def test_signals_of_all_forms_are_the_same_tasks() -> None:
    def few(model: nn.Module, given: Any = None, **keywords: Any) -> initkit.Report:
        return learn(model, given, iters=2, **keywords)

    signals, wanted = blobs(), few(Field())["a.weight"].hash
    for form in (signals.numpy(), list(signals), list(signals.numpy()), signals[..., None], signals.double()):
        assert few(Field(), form)["a.weight"].hash == wanted
    given = few(Field(), signals, coords=grid())
    for coords in (grid().reshape(-1, 2), grid().numpy()):
        assert few(Field(), signals, coords=coords)["a.weight"].hash == given["a.weight"].hash
        flat = signals.reshape(8, -1)
        assert few(Field(), flat, coords=coords)["a.weight"].hash == given["a.weight"].hash
    own = {"coords": grid().reshape(1, -1, 2).expand(8, -1, 2), "target": signals.reshape(8, -1)}
    assert few(Field(), own).notes["inr/start axes"] == given.notes["inr/start axes"]
    one, two = Field(), Field()
    few(one)
    few(two, own)
    torch.testing.assert_close(one.a.weight, two.a.weight)
    levels = (255 * signals).round().to(torch.uint8)
    for form in (levels, list(levels), {**own, "target": levels.reshape(8, -1)}):
        report = few(Field(), form)
        assert any("divided by 255" in words for words in report.notes["inr/meta"]["remarks"])
        assert report.notes["inr/meta effect"][0]["loss"] < 1


def test_colours_and_other_types_of_numbers() -> None:
    report = learn(Field(channels=3), blobs(channels=3))
    assert report.notes["inr/start"]["output_offset"] == [0.5] * 3
    exact, half = Field().double(), Field().to(torch.bfloat16)
    learn(exact)
    with pytest.warns(UserWarning, match="inr/meta: sines of large arguments mean little in half precision"):
        learn(half)
    assert exact.a.weight.dtype == torch.float64
    torch.testing.assert_close(exact.a.weight.float(), half.a.weight.float(), rtol=1e-2, atol=1e-2)


def test_held_out_signals_choose_the_iteration() -> None:
    report = learn(Field(), val_tasks=2, val_every=4, iters=12)
    note = report.notes["inr/meta"]
    assert report.notes["inr/start"]["signals"] == 6
    assert note["best_iteration"] in (0, 4, 8, 12)
    assert note["effect_on"].startswith("2 held-out signals")
    assert note["validation_loss"] == report.notes["inr/meta effect"][1]["loss_after_2"]
    # A rate that only does harm: the start itself is the best, and it ends early.
    report = learn(Field(), val_tasks=2, val_every=2, patience=2, iters=40, outer_lr=0.3)
    assert report.notes["inr/start"]["iterations"] < 40


def test_a_subset_of_the_points_in_each_step() -> None:
    model, whole = Field(), Field()
    report = learn(model, points_per_step=10, iters=60)
    learn(whole, points_per_step=SIZE**2, iters=60)
    all_points = Field()
    learn(all_points, iters=60)
    assert bits(whole) == bits(all_points)
    assert bits(model) != bits(all_points)
    assert report.notes["inr/meta effect"][1]["psnr_after_2"] > report.notes["inr/meta effect"][0]["psnr_after_2"]


def sums(model: nn.Module, params: dict[str, Tensor], task: dict[str, Tensor]) -> Tensor:
    """Projections: the signal is known by its row sums alone."""
    image = functional_call(model, params, (task["coords"],)).reshape(SIZE, SIZE)
    return (image.sum(0) - task["rows"]).square().mean()


def test_a_loss_of_one_s_own() -> None:
    signals = {"rows": blobs().sum(1)}
    report = learn(Field(), signals, coords=grid(), loss_fn=sums, iters=40, inner_lr=1e-3)
    start, learned = report.notes["inr/meta effect"]
    assert learned["loss_after_2"] < start["loss_after_2"]
    assert "psnr" not in learned
    with pytest.raises(NeedError, match="a mapping with rows holds no 'target' with coords"):
        learn(Field(), signals, coords=grid())
    with pytest.raises(NeedError, match="points_per_step=5 needs 'target'"):
        learn(Field(), signals, coords=grid(), loss_fn=sums, points_per_step=5)
    with pytest.raises(CommitError, match=r"loss_fn must return one real number as a tensor, not shape \(7,\)"):
        learn(Field(), signals, coords=grid(), loss_fn=lambda model, params, task: task["rows"])
    with pytest.raises(CommitError, match=r"the loss function fails \(KeyError: 'other'\)"):
        learn(Field(), signals, coords=grid(), loss_fn=lambda model, params, task: task["other"])


def test_a_buffer_that_stays_is_no_matter() -> None:
    class Features(Field):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor([1.0, 1.0]))

        def forward(self, coords: Tensor) -> Tensor:
            return super().forward(coords * self.scale)

    assert learn(Features())["a.weight"].hash == learn(Field())["a.weight"].hash


def test_a_model_on_the_meta_device_gets_the_same() -> None:
    with torch.device("meta"):
        hollow = Field()
    learn(hollow)
    real = Field()
    learn(real)
    assert bits(hollow) == bits(real)
    with torch.device("meta"):
        hollow = Field()
    with pytest.raises(PlanError, match=r"a\.weight \(16, 2\) is on the meta device and has no start to learn from"):
        learn(hollow, start="present")


def test_every_signal_comes_equally_often_in_an_order_of_the_seed() -> None:
    def seen(seed: int) -> list[int]:
        found: list[int] = []

        def loss(model: nn.Module, params: dict[str, Tensor], task: dict[str, Tensor]) -> Tensor:
            found.append(int(task["number"]))
            return functional_call(model, params, (task["coords"],)).square().mean()

        signals = {"number": torch.arange(5)}
        learn(Field(), signals, coords=grid(), loss_fn=loss, iters=10, inner_steps=1, seed=seed)
        # One call to try the loss, then two for each of three signals in ten iterations, then those of the report.
        return found[1:61:2]

    first = seen(0)
    assert sorted(first) == sorted(list(range(5)) * 6)
    assert all(sorted(first[k : k + 5]) == list(range(5)) for k in range(0, 30, 5))
    assert seen(0) == first
    assert seen(1) != first


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("vectorize", ["vmap", "loop"])
def test_a_gpu_gives_nearly_the_same(vectorize: str) -> None:
    cpu, gpu = Field(), Field()
    learn(cpu)
    learn(gpu, device="cuda", vectorize=vectorize)
    for a, b in zip(cpu.parameters(), gpu.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
