"""The callback against the real packages: ``lightning`` and ``pytorch_lightning``."""

from __future__ import annotations

import csv
import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("lightning")

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger

from initkit import Constant, Fill, InitError, Normal, OptionError, PlanError, Recipe, UnhealthyError
from initkit.lightning import InitCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own

DATA = TensorDataset(torch.randn(24, 4, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3)


@dataclass(frozen=True)
class Wide(Recipe):
    """Normal weights.

    Args:
        std: of the weights.
    """

    std: float = 0.5

    def plan(self, model: nn.Module) -> Iterator[Fill]:
        found = [(name, tensor) for name, tensor in model.named_parameters() if tensor.ndim > 1]
        if not found:
            raise PlanError("there is no weight")
        for name, tensor in model.named_parameters():
            yield Fill(name, Normal(self.std) if tensor.ndim > 1 else Constant(0.0), why="wide")


class Module(pl.LightningModule):
    """A small network that keeps what it has seen, and does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x)
        return out

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.seen.append(float(batch[0].sum()))
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Late(Module):
    """Makes its layers in a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Identity()  # type: ignore[assignment]

    def configure_model(self) -> None:
        if isinstance(self.net, nn.Identity):
            self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


class Data(pl.LightningDataModule):
    """Has its data after its own setup."""

    def setup(self, stage: str) -> None:
        self.data = DATA

    def train_dataloader(self) -> Any:
        return DataLoader(self.data, 8)


def trainer(tmp_path: Path, *callbacks: Any, package: Any = pl, **options: Any) -> Any:
    options = {"logger": False, "enable_checkpointing": False, "max_steps": 2, "devices": 1, **options}
    return package.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def loader() -> Any:
    return DataLoader(DATA, 8, shuffle=True)


def expected(model: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    import initkit

    initkit.apply(model, Wide(), seed=seed)
    return dict(model.named_parameters())


def same(model: nn.Module, wanted: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(parameter, wanted[name]) for name, parameter in model.named_parameters())


def test_fit_starts_from_the_recipes_and_its_data_keeps_its_order(tmp_path: Path) -> None:
    orders = []
    callback = InitCallback(Wide(), inputs=lambda batch: batch[0], targets=lambda batch: batch[1], seed=5)
    for callbacks in ([], [callback]):
        module = Module()
        torch.manual_seed(1)
        trainer(tmp_path, *callbacks).fit(module, loader())
        orders.append(module.seen)
    assert orders[0] == orders[1]
    assert same(module, expected(Module(), 5))
    found = callback.start
    assert found is not None
    assert found.report.seed == 5
    assert found.after is not None
    assert "loss_at_the_start" in found.numbers()


@pytest.mark.parametrize("module", [Late, Module])
def test_layers_made_in_a_hook_and_data_of_a_datamodule(tmp_path: Path, module: type[Module]) -> None:
    made = module()
    trainer(tmp_path, InitCallback(Wide(), inputs=lambda batch: batch[0])).fit(made, datamodule=Data())
    assert same(made, expected(Module()))
    assert len(made.seen) == 2


def test_resuming_initialises_nothing_and_neither_does_a_second_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Module()
    callback = InitCallback(Wide(std=0.1))
    fitted = trainer(tmp_path, callback)
    fitted.fit(first, loader())
    with torch.no_grad():
        first.net[0].weight.fill_(7.0)  # as if it had learnt
    fitted.save_checkpoint(tmp_path / "last.ckpt")
    trainer(tmp_path, callback).fit(first, loader())
    assert bool((first.net[0].weight == 7.0).all())
    resumed, again = Module(), InitCallback(Wide())
    with caplog.at_level(logging.INFO):
        trainer(tmp_path, again, max_steps=4).fit(resumed, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert again.start is None
    assert bool((resumed.net[0].weight == 7.0).all())


def test_a_recipe_s_error_stops_fit_with_its_one_line(tmp_path: Path) -> None:
    class Empty(Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.BatchNorm1d(4))

    with pytest.raises(PlanError, match=r"^there is no weight$"):
        trainer(tmp_path, InitCallback(Wide())).fit(Empty(), loader())
    with pytest.raises(InitError, match="not installed"):
        InitCallback("nobody/knows")
    with pytest.raises(OptionError, match="part='nett'"):
        trainer(tmp_path, InitCallback(Wide(), part="nett")).fit(Module(), loader())


def test_an_unhealthy_start_stops_fit(tmp_path: Path) -> None:
    callback = InitCallback(Wide(std=1e-6), inputs=lambda batch: batch[0], healthy=True)
    module = Module()
    with pytest.raises(UnhealthyError, match="does not start healthily"):
        trainer(tmp_path, callback).fit(module, loader())
    assert module.seen == []


def test_numbers_go_to_the_logger_words_to_the_log_and_the_page_to_its_place(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    logger = CSVLogger(tmp_path, name="log")
    page = tmp_path / "start.html"
    callback = InitCallback(Wide(), part="net", inputs=lambda batch: batch[0], page=str(page))
    trainer(tmp_path, callback, logger=logger).fit(Module(), loader())
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        (row, *_) = csv.DictReader(file)
    assert float(row["init/covered"]) == 1.0
    assert callback.start is not None
    assert float(row["init/signal_factor_a_layer"]) == callback.start.numbers()["signal_factor_a_layer"]
    assert "init/before/warnings" in row
    assert list(callback.start.report) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert "How it starts" in page.read_text()
    assert 'class="spark"' in page.read_text()


def test_inputs_may_be_a_value_and_loaders_a_dict(tmp_path: Path) -> None:
    fixed = InitCallback(Wide(), inputs=torch.zeros(2, 4))
    trainer(tmp_path, fixed).fit(Module(), loader())
    assert fixed.start is not None
    assert fixed.start.after is not None

    class Two(Module):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return super().training_step(batch["a"], index)

    several = InitCallback(Wide(), inputs=lambda batch: batch["a"][0])
    trainer(tmp_path, several).fit(Two(), {"a": loader(), "b": loader()})
    assert several.start is not None
    assert several.start.after is not None


@pytest.mark.slow
def test_pytorch_lightning_alone_serves_as_well(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    text = Path(__file__).read_text(encoding="utf-8").replace("lightning.pytorch", "pytorch_lightning")
    (tmp_path / "test_other.py").write_text(
        text.replace('importorskip("lightning")', 'importorskip("pytorch_lightning")')
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "fit or numbers", "test_other.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_without_lightning_one_line_says_how_to_get_it() -> None:
    code = (
        "import sys\n"
        "for name in ('lightning', 'pytorch_lightning'): sys.modules[name] = None\n"
        "try:\n    import initkit.lightning\n"
        "except ValueError as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == 'InitError the callback needs Lightning: pip install "initkit-core[lightning]"\n', done.stderr
    assert importlib.import_module("initkit.lightning") is sys.modules["initkit.lightning"]


DISTRIBUTED = """
import lightning.pytorch as pl
import tests.core.test_lightning as t

class Watched(t.Module):
    def on_train_start(self):
        both = self.all_gather(self.net[0].weight.detach().clone())
        alike = bool((both[0] == both[1]).all())
        with open(f"rank{self.global_rank}.txt", "w") as file:
            print(alike, t.same(self, t.expected(t.Module())), file=file, end="")

if __name__ == "__main__":
    callback = t.InitCallback(t.Wide(), inputs=lambda batch: batch[0])
    t.trainer("out", callback, strategy="ddp_fork", devices=2).fit(Watched(), t.loader())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_rank_starts_from_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(DISTRIBUTED)
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1)] == ["True True"] * 2
    assert done.stderr.count("filled 100.0%") == 1


def test_a_strategy_that_cuts_parameters_is_served_while_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch.strategies import Strategy

    steps: list[str] = []

    class Watched(Module):
        def configure_optimizers(self) -> Any:
            steps.append("optimizer sees them" if same(self, expected(Module())) else "optimizer does not")
            return super().configure_optimizers()

    for shards in (False, True):
        monkeypatch.setattr(Strategy, "restore_checkpoint_after_setup", property(lambda _, shards=shards: shards))
        trainer(tmp_path, InitCallback(Wide())).fit(Watched(), loader())
    assert steps == ["optimizer does not", "optimizer sees them"]
