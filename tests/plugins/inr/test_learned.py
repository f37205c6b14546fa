"""Learned starts in files: coordinate conventions, refusals, learnit's checkpoints."""

from __future__ import annotations

import json
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import initkit
from initkit import CommitError, FileError, InitError, NeedError, PlanError
from initkit_inr.conventions import Convention, default_coords
from initkit_inr.learnit import read_learnit

from .meta_networks import Field, Sine, bits, grid, learn


def mesh(axis: Tensor, indexing: str = "ij") -> Tensor:
    return torch.stack(torch.meshgrid(axis, axis, indexing=indexing), -1)


def load(model: nn.Module, path: object, coords: Any, **options: Any) -> initkit.Report:
    return initkit.apply(model, initkit.recipe("inr/meta", learned=str(path), **options), coords=coords)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = Field()
    report = learn(model)
    initkit.save(model, tmp_path / "start.safetensors", report=report)
    return tmp_path / "start.safetensors"


# --- conventions


@given(first=st.integers(2, 60), second=st.integers(2, 60))
def test_a_convention_does_not_depend_on_the_resolution(first: int, second: int) -> None:
    def centres(n: int) -> Tensor:
        return (torch.arange(n) + 0.5) / n * 2 - 1

    kinds = [lambda n: torch.linspace(-1, 1, n), lambda n: torch.arange(n) / n, centres]
    for kind in kinds:
        one, two = (Convention.of(mesh(kind(n)).reshape(-1, 2)) for n in (first, second))
        assert not one.differs(two)
        assert Convention.from_rows(json.loads(json.dumps(one.rows())), one.order) == one
    # With two points the step is as long as the whole: some readings cannot be told apart.
    if min(first, second) > 3:
        found = [Convention.of(mesh(kind(first)).reshape(-1, 2)) for kind in kinds]
        others = [Convention.of(mesh(kind(second)).reshape(-1, 2)) for kind in kinds]
        assert all(a.differs(b) for i, a in enumerate(found) for j, b in enumerate(others) if i != j)


def test_conventions_in_words() -> None:
    axis = torch.linspace(-1, 1, 7)
    known = {
        "[-1, 1]": mesh(axis),
        "[0, 1)": mesh(torch.arange(8) / 8),
        "[0, 1] (centres of pixels)": mesh((torch.arange(10) + 0.5) / 10),
        "[0, 6]": mesh(torch.arange(7.0)),
        "[-1, 1] x [0, 3]": torch.stack(torch.meshgrid(axis, torch.linspace(0, 3, 5), indexing="ij"), -1),
    }
    for words, coords in known.items():
        assert str(Convention.of(coords.reshape(-1, coords.shape[-1]))) == words
    closed = Convention.of(mesh(axis).reshape(-1, 2))
    assert closed.differs(Convention.of(mesh(axis, "xy").reshape(-1, 2))) == "its points are ordered 'ij', not 'xy'"
    assert closed.differs(Convention.of(axis[:, None])) == "it is for 2 coordinates, not 1"
    assert Convention.of(default_coords((5, 9))).differs(closed) == ""


def test_scattered_points_are_compared_by_their_range() -> None:
    numbers = torch.Generator().manual_seed(0)
    scattered = Convention.of(2 * torch.rand(500, 2, generator=numbers) - 1)
    assert scattered.step == (0.0, 0.0)
    assert scattered.differs(Convention.of(mesh(torch.linspace(-1, 1, 9)).reshape(-1, 2))) == ""
    assert scattered.differs(Convention.of(torch.rand(500, 2, generator=numbers)))


# --- files of initkit


def test_a_saved_start_comes_back_bit_for_bit_and_at_other_resolutions(saved: Path) -> None:
    wanted = Field()
    learn(wanted)
    for coords in (grid(), grid(20), grid(31).reshape(-1, 2).numpy()):
        model = Field()
        report = load(model, saved, coords)
        assert bits(model) == bits(wanted)
        assert report.covered == 1
    assert report["a.weight"].why == "learned before on coordinates [-1, 1]"
    facts = report.notes["inr/start"]
    assert facts["learned_in"] == "start.safetensors"
    assert (facts["method"], facts["inner_steps"], facts["inner_lr"]) == ("maml", 2, 0.01)
    plain = Field()
    assert initkit.load(plain, saved).provenance["notes"]["inr/start"]["output_offset"] == [0.5]
    assert bits(plain) == bits(wanted)


def test_it_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    class Bare(Field):
        def forward(self, coords: Tensor) -> Tensor:
            return super().forward(coords) - 0.5

    model, third, path = Bare(), Bare(), tmp_path / "again.safetensors"
    report = load(model, saved, grid())
    assert report.notes["inr/start"]["added_to_last_bias"] == [0.5]
    learned = Field()
    learn(learned)
    torch.testing.assert_close(model(grid()), learned(grid()))
    initkit.save(model, path, report=report)
    again = load(third, path, grid())
    assert "added_to_last_bias" not in again.notes["inr/start"]
    assert bits(third) == bits(model)


class Doubled(Field):
    def forward(self, coords: Tensor) -> Tensor:
        return 2 * super().forward(coords) - 0.5


@pytest.mark.parametrize(
    ("build", "coords", "kind", "words"),
    [
        (Field, None, NeedError, r"is for coordinates on \[-1, 1\]: give coords="),
        (
            Field,
            (grid() + 1) / 2,
            NeedError,
            r"coords do not fit .*: it is for coordinates on \[-1, 1\], not on \[0, 1\]",
        ),
        (Field, mesh(torch.arange(7) / 7), NeedError, r"not on \[0, 1\)"),
        (Field, mesh(torch.linspace(-1, 1, 7), "xy"), NeedError, "its points are ordered 'ij', not 'xy'"),
        (
            lambda: Field(omega=20),
            grid(),
            PlanError,
            "a is followed by the activation sine:20, in the start of .* by sine:30",
        ),
        (lambda: Field(width=8), grid(), PlanError, r"a has shape \(8, 2\), in the start of .* it is \(16, 2\)"),
        (lambda: Field(channels=3), grid(), PlanError, r"out has shape \(3, 16\)"),
        (
            lambda: nn.Sequential(nn.Linear(2, 16), Sine(), nn.Linear(16, 1)),
            grid(),
            PlanError,
            "is for 3 layers, the model has 2",
        ),
        (Doubled, grid(), CommitError, "with the weights of .* the model gives .* when they were learned"),
    ],
    ids=["none", "0..1", "half-open", "xy", "omega", "width", "channels", "depth", "doubled"],
)
def test_what_does_not_fit_is_refused(saved: Path, build: Any, coords: Any, kind: type[InitError], words: str) -> None:
    model = build()
    before = bits(model)
    with pytest.raises(kind, match=words) as error:
        load(model, saved, coords)
    assert "\n" not in str(error.value)
    assert bits(model) == before


def test_names_that_differ_are_refused(saved: Path) -> None:
    class Renamed(Field):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.a
            del self.a

        def forward(self, coords: Tensor) -> Tensor:
            out: Tensor = self.out(self.sine(self.b(self.sine(self.first(coords)))))
            return out + 0.5

    with pytest.raises(PlanError, match=r"the start in .* has no first\.weight"):
        load(Renamed(), saved, grid())


def test_files_that_are_no_start(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileError, match="there is no such file"):
        load(Field(), path, grid())
    path.write_bytes(b"nothing")
    with pytest.raises(FileError, match="no sound safetensors file"):
        load(Field(), path, grid())
    model = Field()
    initkit.save(model, path, report=initkit.apply(model, "inr/siren"))
    with pytest.raises(FileError, match="tells of no learned start"):
        load(model, path, grid())


# --- learnit's


SHAPES = [(2, 6), (6, 6), (6, 3)]


def arrays() -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    numbers = np.random.default_rng(0)
    names = ["siren_layer", "siren_layer_1", "siren_layer_2"]
    return {
        f"siren__model/{name}/linear": {
            "w": numbers.normal(size=shape).astype("f4") / 100,
            "b": numbers.normal(size=shape[1]).astype("f4") / 100,
        }
        for name, shape in zip(names, SHAPES, strict=True)
    }


def written(path: Path, held: Any) -> Path:
    with open(path, "wb") as file:
        pickle.dump(held, file)
    return path


class Small(nn.Module):
    """A SIREN of learnit's form."""

    def __init__(self, offset: float = 0.5, omega: float = 200.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in SHAPES)
        self.offset, self.omega = offset, omega

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.sin(self.omega * layer(x))
        out: Tensor = self.layers[-1](x)
        return out + self.offset


HALF_OPEN = mesh(torch.arange(9) / 9)


def wanted(x: Tensor) -> Tensor:
    h = x.numpy().astype("f8")
    *inner, last = arrays().values()
    for layer in inner:
        h = np.sin(200 * (h @ layer["w"] + layer["b"]))
    return torch.from_numpy(h @ last["w"] + last["b"] + 0.5).float()


@pytest.fixture
def haiku() -> Iterator[type]:
    """A stand-in for haiku's mapping, so that a pickle can name it."""

    class FlatMapping(dict[str, Any]):
        def __reduce__(self) -> Any:
            return FlatMapping, (dict(self),)

    FlatMapping.__module__, FlatMapping.__qualname__ = "haiku._src.data_structures", "FlatMapping"
    names = ("haiku", "haiku._src", "haiku._src.data_structures")
    sys.modules.update({name: types.ModuleType(name) for name in names})
    sys.modules[names[2]].FlatMapping = FlatMapping  # type: ignore[attr-defined]
    yield FlatMapping
    for name in names:
        del sys.modules[name]


def test_pickles_and_arrays_of_learnit_are_read(tmp_path: Path, haiku: type) -> None:
    flat = {f"0|{name.replace('/', '|')}|{kind}": v for name, layer in arrays().items() for kind, v in layer.items()}
    np.savez(tmp_path / "a.npz", **flat)
    mapping = haiku({name: haiku(layer) for name, layer in arrays().items()})
    ordered = OrderedDict((name, OrderedDict(layer)) for name, layer in arrays().items())
    old = tmp_path / "old.pkl"  # as numpy 1 names its own functions
    old.write_bytes(pickle.dumps(ordered, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in old.read_bytes()
    files = [
        old,
        tmp_path / "a.npz",
        written(tmp_path / "b.pkl", (mapping,)),
        written(tmp_path / "c.pickle", ordered),
    ]
    for path in files:
        model = Small()
        report = load(model, path, HALF_OPEN)
        torch.testing.assert_close(model(HALF_OPEN), wanted(HALF_OPEN), rtol=1e-4, atol=1e-5)
        assert report.notes["inr/start"]["inner_lr"] == 0.01


def test_the_constant_goes_into_the_last_bias_where_the_model_has_none(tmp_path: Path) -> None:
    path, model = written(tmp_path / "a.pkl", arrays()), Small(offset=0)
    report = load(model, path, HALF_OPEN)
    assert report.notes["inr/start"]["added_to_last_bias"] == [0.5] * 3
    torch.testing.assert_close(model(HALF_OPEN), wanted(HALF_OPEN), rtol=1e-4, atol=1e-5)
    bare = Small(offset=0)
    bare.layers[2] = nn.Linear(6, 3, bias=False)
    with pytest.raises(PlanError, match=r"layers\.2 has no bias"):
        load(bare, path, HALF_OPEN)


def test_learnit_s_conventions_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pkl", arrays())
    with pytest.raises(NeedError, match=r"it is for coordinates on \[0, 1\), not on \[-1, 1\]"):
        load(Small(), path, grid())
    with pytest.raises(
        PlanError, match=r"layers\.0 is followed by the activation sine:30, in the start of .* by sine:200"
    ):
        load(Small(omega=30), path, HALF_OPEN)


class Runs:
    def __reduce__(self) -> Any:
        return print, ("a pickle ran code",)


def test_a_pickle_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harmful = {"siren__model/siren_layer/linear": {"w": np.ones((2, 2), "f4"), "b": Runs()}}
    with pytest.raises(FileError, match=r"it wants to call builtins\.print; only arrays in mappings are read") as error:
        read_learnit(written(tmp_path / "a.pkl", harmful))
    assert "\n" not in str(error.value)
    assert not capsys.readouterr().out
    objects = np.empty(1, dtype=object)
    objects[0] = Runs()
    np.savez(tmp_path / "a.npz", x=objects)
    with pytest.raises(FileError, match="no sound .npz file of arrays"):
        read_learnit(tmp_path / "a.npz")
    assert not capsys.readouterr().out


@given(cut=st.integers(0, 400))
def test_broken_pickles_are_one_clear_error(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.pkl"
    text = pickle.dumps(arrays())
    path.write_bytes(text[: cut % len(text)])
    with pytest.raises(FileError, match="cannot read"):
        read_learnit(path)


def test_other_arrays_are_no_siren(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no SIREN of learnit"):
        read_learnit(written(tmp_path / "a.pkl", {"mlp/linear": {"w": np.ones((2, 2), "f4")}}))
    turned = arrays()
    turned["siren__model/siren_layer_1/linear"]["b"] = np.ones(9, "f4")
    with pytest.raises(FileError, match="its layer 1 is no weight"):
        read_learnit(written(tmp_path / "b.pkl", turned))
