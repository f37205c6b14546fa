"""inr/meta: what it learns, how it is broken off and goes on, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import initkit
from initkit import CommitError, FileError, InitError, NeedError, OptionError, PlanError

SIZE = 7
FAST = {"iters": 12, "inner_lr": 1e-2, "outer_lr": 1e-3}


class Sine(nn.Module):
    def __init__(self, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega * x)


class Field(nn.Module):
    """Two sine layers and a read-out, plus 0.5."""

    def __init__(
        self, omega: float = 30.0, width: int = 16, channels: int = 1, between: nn.Module | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Linear(2, width)
        self.b = nn.Linear(width, width)
        self.out = nn.Linear(width, channels)
        self.sine = Sine(omega)
        self.between = between or nn.Identity()

    def forward(self, coords: Tensor) -> Tensor:
        out: Tensor = self.out(self.between(self.sine(self.b(self.sine(self.a(coords))))))
        return out + 0.5


def blobs(count: int = 8, channels: int = 0, size: int = SIZE) -> Tensor:
    """Smooth bumps at different places, in [0, 1]: (count, size, size[, channels])."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    numbers = torch.rand(count, max(channels, 1), 2, generator=torch.Generator().manual_seed(1)) - 0.5
    found = torch.exp(-2 * ((y - numbers[..., :1, None]) ** 2 + (x - numbers[..., 1:, None]) ** 2))
    return found.movedim(1, -1) if channels else found[:, 0]


def grid(size: int = SIZE) -> Tensor:
    axis = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)


def learn(model: nn.Module, signals: Any = None, *, seed: int = 0, **options: Any) -> initkit.Report:
    keywords = {key: options.pop(key) for key in ("coords", "progress", "device") if key in options}
    made = initkit.recipe("inr/meta", **{**FAST, **options})
    return initkit.apply(model, made, signals=blobs() if signals is None else signals, seed=seed, **keywords)


def bits(model: nn.Module) -> dict[str, bytes]:
    return {
        name: p.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, p in model.state_dict().items()
    }


def loss_after(model: nn.Module, signals: Tensor, steps: int, lr: float = 1e-2) -> float:
    """Mean squared error of each signal fitted alone by SGD, as a user would."""
    coords, losses = grid().reshape(-1, 2), []
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for signal in signals:
        model.load_state_dict(start)
        target, sgd = signal.reshape(-1, 1), torch.optim.SGD(model.parameters(), lr)
        for _ in range(steps):
            sgd.zero_grad()
            (model(coords) - target).square().mean().backward()
            sgd.step()
        losses.append(float((model(coords) - target).detach().square().mean()))
    model.load_state_dict(start)
    return float(np.mean(losses))


# --- what it learns


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
    bytes_report = few(Field(), (255 * signals).round().to(torch.uint8))
    assert any("divided by 255" in words for words in bytes_report.notes["inr/meta"]["remarks"])


def test_colours_and_other_types_of_numbers() -> None:
    report = learn(Field(channels=3), blobs(channels=3))
    assert report.notes["inr/start"]["output_offset"] == [0.5] * 3
    exact, half = Field().double(), Field().to(torch.bfloat16)
    learn(exact)
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
    with pytest.raises(NeedError, match="a mapping with rows needs a loss of its own"):
        learn(Field(), signals, coords=grid())
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


# --- interruption


class Stops:
    """A progress display in which somebody presses Ctrl-C before the given iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def __call__(self, iterable: Iterable[Any], words: str, total: int | None) -> Iterator[Any]:
        for item in iterable:
            if words.startswith("learning a start") and item == self.iteration:
                raise KeyboardInterrupt
            yield item


@pytest.mark.parametrize("options", [{}, {"val_tasks": 2, "val_every": 3}], ids=["plain", "validated"])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    model, whole, path = Field(), Field(), tmp_path / "meta.safetensors"
    before = bits(model)
    with pytest.raises(
        KeyboardInterrupt, match=r"after 4 of 12 iterations; the model is unchanged; go on .* checkpoint='"
    ):
        learn(model, progress=Stops(5), checkpoint=str(path), **options)
    assert bits(model) == before
    assert path.is_file()
    assert not list(tmp_path.glob(".*"))
    report = learn(model, checkpoint=str(path), **options)
    wanted = learn(whole, **options)
    assert bits(model) == bits(whole)
    assert dict(report.notes) == dict(wanted.notes)
    # A finished run is in its file too, and more iterations go on from there.
    longer, again = Field(), Field()
    learn(longer, checkpoint=str(path), iters=15, **options)
    learn(again, iters=15, **options)
    assert bits(longer) == bits(again)


def test_an_interrupt_without_a_file_says_how_to_keep_the_state(tmp_path: Path) -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(KeyboardInterrupt, match="give checkpoint=FILE"):
        learn(model, progress=Stops(3))
    path = tmp_path / "meta.safetensors"
    with pytest.raises(KeyboardInterrupt, match="after 0 of 12 iterations"):
        learn(model, progress=Stops(1), checkpoint=str(path))
    assert not path.exists()
    assert bits(model) == before


class Bursts(nn.Module):
    """Gives NaN in the n-th call that is learned from, once."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls, self.call = 0, call

    def forward(self, x: Tensor) -> Tensor:
        self.calls += isinstance(x, Tensor) and torch.is_grad_enabled()
        return x * float("nan") if self.calls == self.call else x


def test_a_task_that_becomes_nan_changes_nothing_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    # Nine calls an iteration: three tasks of three losses.
    model = Field(between=Bursts(2 * 9 + 5))
    before = bits(model)
    words = r"the loss is no finite number in iteration 3; the model is unchanged; lower inner_lr \(now 0.01\)"
    with pytest.raises(CommitError, match=words + r".*; with checkpoint='.*' it goes on from iteration 2"):
        learn(model, checkpoint=str(path), activation="sine:30")
    assert bits(model) == before
    resumed, whole = Field(between=Bursts(0)), Field(between=Bursts(0))
    learn(resumed, checkpoint=str(path), activation="sine:30")
    learn(whole, activation="sine:30")
    assert bits(resumed) == bits(whole)
    with pytest.raises(CommitError, match=words):
        learn(Field(between=Bursts(2 * 9 + 5)), activation="sine:30")


def test_inner_steps_that_diverge_are_said() -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(CommitError, match=r"no finite number in iteration \d+; the model is unchanged; lower inner_lr"):
        learn(model, inner_lr=1e6, inner_steps=12)
    assert bits(model) == before


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    with pytest.raises(KeyboardInterrupt):
        learn(Field(), progress=Stops(3), checkpoint=str(path))
    for model, signals, seed, word in (
        (Field(), blobs(), 1, "seed"),
        (Field(width=8), blobs(), 0, "start"),
        (Field(), blobs(9), 0, "data"),
    ):
        with pytest.raises(FileError, match=rf"it is of another run \({word} differs\)"):
            learn(model, signals, seed=seed, checkpoint=str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(FileError, match="cannot go on from"):
        learn(Field(), checkpoint=str(path))


# --- bad input


def spoiled() -> Tensor:
    signals = blobs()
    signals[3, 2, 2] = float("nan")
    return signals


@pytest.mark.parametrize(
    ("signals", "coords", "words"),
    [
        (blobs(1), None, "1 of them; a start is learned from at least two"),
        ([], None, "0 of them"),
        (blobs(2), None, "2 of them, 0 held out, leave 2; .* tasks_per_iter=3"),
        (spoiled(), None, r"number 3 holds NaN or infinite values \(1 signals do\)"),
        ([blobs(1)[0], blobs(1, size=9)[0]], None, r"number 1 has shape \(9, 9\) .* resample them to one shape"),
        (
            blobs().reshape(8, -1),
            None,
            r"shape \(8, 49\), which a model of 2 coordinates cannot tell apart; give coords",
        ),
        (blobs(), grid(6), "has 49 values, which is no multiple of the 36 points of coords"),
        (blobs(), torch.zeros(49), r"coords: shape \(49,\); give \(points, d\)"),
        (blobs(), grid() * float("nan"), "coords: not all values are finite"),
        (torch.ones(4, 7, 7, dtype=torch.int64), None, "torch.int64 values; give floats"),
        (["a", "b"], None, r"signals\[0\]: str is no array of numbers"),
        ({"target": blobs(), "coords": blobs(5)}, None, "the numbers of tasks differ"),
        ({}, None, "an empty mapping"),
        ({"target": blobs().reshape(8, -1)}, None, "needs a loss of its own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_signals_are_refused(signals: Any, coords: Any, words: str) -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(NeedError, match=words) as error:
        initkit.apply(model, initkit.recipe("inr/meta", **FAST), signals=signals, coords=coords)
    assert "\n" not in str(error.value)
    assert bits(model) == before


def test_missing_signals_are_named() -> None:
    with pytest.raises(NeedError, match=r"inr/meta needs 'signals' to learn from: .*learned=FILE"):
        initkit.apply(Field(), "inr/meta")


class Counts(nn.Module):
    """Keeps how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


@pytest.mark.parametrize(
    ("between", "kind", "words"),
    [
        (lambda: nn.BatchNorm1d(16), PlanError, r"between \(BatchNorm1d\) keeps running statistics, .*use LayerNorm"),
        (lambda: nn.Dropout(0.1), PlanError, r"between \(Dropout, p = 0.1\) draws random numbers"),
        (Counts, CommitError, "a call of Field changes its buffer between.calls"),
    ],
)
def test_stateful_models_are_refused(between: Callable[[], nn.Module], kind: type[InitError], words: str) -> None:
    model = Field(between=between())
    before = bits(model)
    with pytest.raises(kind, match=words) as error:
        learn(model, activation="sine:30")
    assert "\n" not in str(error.value)
    assert bits(model) == before


def test_normalisation_without_statistics_is_welcome() -> None:
    model = Field(between=nn.LayerNorm(16))
    assert learn(model, activation="sine:30").covered == 1


class Clips(nn.Module):
    """In-place work that vmap cannot do: an unbatched tensor takes batched values."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape)
        out += x
        return out


def test_models_that_cannot_be_vectorised() -> None:
    with pytest.raises(CommitError, match="the tasks cannot be vectorised .*vectorize='loop'"):
        learn(Field(between=Clips()), activation="sine:30", vectorize="vmap")
    assert learn(Field(between=Clips()), activation="sine:30", vectorize="loop").covered == 1


class Official(nn.Module):
    """As the authors of SIREN write it: derivatives by the coordinates are wanted, and both come back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 16), Sine(), nn.Linear(16, 16), Sine(), nn.Linear(16, 1))

    def forward(self, coords: Tensor) -> Any:
        coords = coords.clone().detach().requires_grad_(True)
        return self.net(coords), coords


def test_models_that_ask_for_derivatives_by_the_coordinates() -> None:
    assert learn(Official()).covered == 1
    assert learn(Official(), recompute=True).covered == 1
    with pytest.raises(CommitError, match="the tasks cannot be vectorised"):
        learn(Official(), vectorize="vmap")


class Gabor(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.exp(20j * z - (10 * z).abs().square())


class Wavelets(nn.Module):
    """Complex from the second layer on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        complex_layers = nn.Linear(8, 8, dtype=torch.cfloat), Gabor(), nn.Linear(8, 1, dtype=torch.cfloat)
        self.net = nn.Sequential(nn.Linear(2, 8), Gabor(), *complex_layers)

    def forward(self, coords: Tensor) -> Tensor:
        return self.net(coords).real


def exact() -> nn.Module:
    return Wavelets()._apply(lambda t: t.to(torch.complex128) if t.is_complex() else t.double())


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile"])
def test_complex_parameters_are_learned(method: str) -> None:
    options = {"start": "present", "method": method, "outer_lr": 3e-3, "inner_lr": 1e-2}
    start, learned = learn(Wavelets(), **options, iters=60).notes["inr/meta effect"]
    assert learned["loss_after_2"] < 0.8 * start["loss_after_2"]
    loop, at_once, again = exact(), exact(), exact()
    few = {**options, "iters": 3}  # rounding grows a hundredfold in each
    learn(loop, **few)
    learn(at_once, **few, vectorize="vmap")
    learn(again, **few, recompute=method == "maml")
    for a, b, c in zip(loop.parameters(), at_once.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)


def test_parametrised_weights_are_learned_from_what_they_are() -> None:
    model = Field()
    nn.utils.parametrizations.weight_norm(model.b)
    with pytest.raises(PlanError, match=r"b\.weight is computed from other parameters .* start='present'"):
        learn(model)
    recipes = ["inr/siren", initkit.recipe("inr/meta", **{**FAST, "start": "present"})]
    report = initkit.apply(model, recipes, signals=blobs())
    assert report.covered == 1
    assert "b.parametrizations.weight.original1" in report


def test_outputs_that_do_not_fit_are_refused() -> None:
    class Pair(Field):
        def forward(self, coords: Tensor) -> Any:
            return super().forward(coords), coords

    class Named(Field):
        def forward(self, coords: Tensor) -> Any:
            return {"out": super().forward(coords)}

    class Turned(Field):
        def forward(self, coords: Tensor) -> Tensor:
            return super().forward(coords).T

    assert learn(Pair(), activation="sine:30")["a.weight"].hash == learn(Field(), activation="sine:30")["a.weight"].hash
    for model, signals, words in (
        (Field(channels=3), blobs(), r"gives \(49, 3\) at 49 points, but the signals have 1 channel: \(49, 1\)"),
        (Turned(channels=3), blobs(channels=3), r"gives \(3, 49\) at 49 points"),
        (Named(), blobs(), "returns dict, not a tensor .*loss_fn"),
    ):
        with pytest.raises(CommitError, match=words):
            learn(model, signals, activation="sine:30")


def test_options_are_checked() -> None:
    for options in ({"iters": 0}, {"inner_lr": 0.0}, {"method": "anil"}, {"vectorize": "fast"}, {"start": "relu"}):
        with pytest.raises(OptionError, match=next(iter(options))):
            initkit.recipe("inr/meta", **options)
    with pytest.raises(OptionError, match="checkpoint='/no/such/folder/x'.*no such folder"):
        initkit.recipe("inr/meta", checkpoint="/no/such/folder/x")
    with pytest.raises(OptionError, match="recompute=True is for method='maml'"):
        initkit.recipe("inr/meta", recompute=True, method="reptile")
    with pytest.raises(OptionError, match="patience=2 needs val_tasks"):
        initkit.recipe("inr/meta", patience=2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("vectorize", ["vmap", "loop"])
def test_a_gpu_gives_nearly_the_same(vectorize: str) -> None:
    cpu, gpu = Field(), Field()
    learn(cpu)
    learn(gpu, device="cuda", vectorize=vectorize)
    for a, b in zip(cpu.parameters(), gpu.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
