"""Comparing starts: pairing, statistics, divergence, interruption and resuming, and what bad input is told."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import annotated_types
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import initkit
from initkit._training import Run, Start
from initkit.comparison import Comparison
from initkit.errors import FileError, NeedError, OptionError, ProbeError


@dataclass(frozen=True)
class Scaled(initkit.Recipe):
    """Normal weights of one standard deviation.

    Source: this test.
    """

    std: Annotated[float, annotated_types.Gt(0)] = 0.3

    def plan(self, model: nn.Module) -> Iterator[initkit.Item]:
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                yield initkit.Fill(name, initkit.Normal(self.std), why="test")


@dataclass(frozen=True)
class Needy(Scaled):
    """Asks for data."""

    def plan(self, model: nn.Module, *, signal: Any) -> Iterator[initkit.Item]:
        yield from super().plan(model)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def loss(model: nn.Module) -> Tensor:
    x = torch.randn(32, 3)
    return (model(x) - x.sum(1, keepdim=True)).square().mean()


def compare(recipes: list[Any] | None = None, **changes: Any) -> Comparison:
    settings: dict[str, Any] = {"loss": loss, "steps": 10, "seeds": 3}
    return initkit.compare(build, ["default", Scaled()] if recipes is None else recipes, **{**settings, **changes})


class TestRuns:
    def test_runs_of_a_seed_are_paired(self) -> None:
        seen: dict[int, list[float]] = {}

        def watched(model: nn.Module) -> Tensor:
            x = torch.randn(4, 3)
            seen.setdefault(id(model), []).append(float(x.sum()) + random.random() + np.random.rand())  # noqa: NPY002
            return model(x).square().mean()

        kept: list[nn.Module] = []

        def keeping() -> nn.Module:
            kept.append(build())
            return kept[-1]

        initkit.compare(keeping, ["default", Scaled()], loss=watched, steps=5, seeds=2)
        first, second, third, fourth = (seen[id(model)] for model in kept)
        assert first == second
        assert third == fourth
        assert first != third

    def test_default_starts_are_those_that_the_seed_builds(self) -> None:
        kept: list[Tensor] = []

        def keeping() -> nn.Module:
            model = build()
            kept.append(model[0].weight.detach().clone())  # type: ignore[index, union-attr, operator]
            return model

        initkit.compare(keeping, ["default", Scaled()], loss=loss, steps=1, seeds=[4, 5])
        torch.manual_seed(4)
        assert torch.equal(kept[0], build()[0].weight)  # type: ignore[index]
        assert torch.equal(kept[0], kept[1])
        assert not torch.equal(kept[0], kept[2])

    def test_the_same_curves_each_time_and_no_random_state_is_left_changed(self) -> None:
        state = torch.get_rng_state()
        one, two = compare(), compare()
        assert one.to_json() == two.to_json()
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_module_is_copied(self) -> None:
        model = build()
        before = model[0].weight.detach().clone()  # type: ignore[index]
        found = initkit.compare(model, ["default", Scaled()], loss=loss, steps=3, seeds=2)
        assert torch.equal(model[0].weight, before)  # type: ignore[index]
        assert len(found.runs) == 4

    def test_a_loss_may_ask_for_the_step(self) -> None:
        steps: list[int] = []

        def by_step(model: nn.Module, step: int) -> Tensor:
            steps.append(step)
            return loss(model)

        compare(loss=by_step, seeds=1)
        assert steps == [*range(10), *range(10)]

    def test_optimizers_schedulers_and_closures(self) -> None:
        rates: list[float] = []

        def optimizer(model: nn.Module) -> Any:
            made = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.LambdaLR(made, lambda step: rates.append(step) or 1.0)  # type: ignore[func-returns-value]
            return made, scheduler

        assert compare(optimizer=optimizer, seeds=1).runs[0].losses
        assert len(rates) == 22
        found = compare(optimizer=lambda model: torch.optim.LBFGS(model.parameters(), max_iter=3), seeds=1)
        assert len(found.runs[0].losses) == 10

    def test_scores_are_taken_in_evaluation_mode(self) -> None:
        modes: list[bool] = []

        def score(model: nn.Module) -> float:
            modes.append(model.training or torch.is_grad_enabled())
            return 1.0

        found = compare(score=score, seeds=2)
        assert modes == [False] * 4
        assert [row["score"] for row in found.summary] == [1.0, 1.0]


class TestDivergence:
    def test_it_is_a_result(self) -> None:
        found = compare(
            ["default", Scaled(std=1e30)], optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=1e30)
        )
        bad = found.of(found.starts[1].name)
        assert all(run.diverged_at is not None for run in bad)
        assert found.summary[1]["diverged"] == 3
        assert found.summary[1]["final"] is None
        assert any(v.level == "FAIL" and "diverged in 3 of 3 runs" in v.words for v in found.verdicts)
        json.loads(found.to_json())
        str(found)


def made(losses: dict[str, list[float]], steps: int = 20, **score: list[float]) -> Comparison:
    """A comparison of runs whose losses are constant."""
    runs = [
        Run(name, seed, [value] * steps, score[name][seed] if name in score else None)
        for name, values in losses.items()
        for seed, value in enumerate(values)
    ]
    seeds = list(range(len(next(iter(losses.values())))))
    return Comparison([Start(name) for name in losses], seeds, steps, runs)


class TestStatistics:
    def test_a_difference_is_told_with_its_numbers(self) -> None:
        found = made({"default": [1.0, 1.1, 0.9, 1.0, 1.05], "good": [0.5, 0.62, 0.41, 0.5, 0.53]})
        row = found.tests[0]
        assert row["difference"] == pytest.approx(-0.498)
        assert row["wins"] == row["n"] == 5
        assert row["p"] < 1e-4
        verdict = found.verdicts[0]
        assert (verdict.level, verdict.where) == ("PASS", "good")
        assert "lower than default: final loss 0.512 against 1.01" in verdict.words

    def test_no_difference_is_said_plainly(self) -> None:
        found = made({"default": [1.0, 1.1, 0.9], "same": [1.1, 1.0, 0.9]})
        assert found.verdicts[0].level == "NOTE"
        assert "no difference from default found" in found.verdicts[0].words

    def test_worse_is_said_too(self) -> None:
        found = made({"default": [1.0, 1.1, 0.9], "bad": [2.0, 2.1, 1.9]})
        assert found.verdicts[0].level == "WARN"
        assert "higher than default" in found.verdicts[0].words

    def test_scores_count_the_other_way(self) -> None:
        losses = {"default": [1.0, 1.1, 0.9], "other": [1.1, 1.0, 0.9]}
        found = made(losses, default=[0.5, 0.6, 0.4], other=[0.7, 0.81, 0.6])
        row = next(row for row in found.tests if row["measure"] == "score")
        assert row["wins"] == 3
        assert found.verdicts[-1].level == "PASS"

    def test_several_starts_are_adjusted(self) -> None:
        values = [1.0, 1.1, 0.9, 1.02]
        one = made({"default": values, "a": [0.9, 1.0, 0.85, 0.9]})
        two = made({"default": values, "a": [0.9, 1.0, 0.85, 0.9], "b": values[::-1]})
        assert two.tests[0]["p"] == pytest.approx(2 * one.tests[0]["p"])

    def test_steps_to_a_level(self) -> None:
        runs = [Run("a", 0, [5.0, 4.0, 3.0, 2.0]), Run("b", 0, [5.0, 1.0, 1.0, 1.0])]
        found = Comparison([Start("a"), Start("b")], [0], 4, runs)
        assert found.level == 2.0
        assert [row["steps_to_level"] for row in found.summary] == [4, 2]
        assert [row["area"] for row in found.summary] == [3.5, 2.0]
        assert found.verdicts[-1].words.startswith("one seed says nothing about chance")

    def test_the_loss_at_a_step_is_smoothed(self) -> None:
        run = Run("a", 0, [float(i) for i in range(100)])
        found = Comparison([Start("a"), Start("b")], [0], 100, [run])
        assert found.loss_at(run, 100) == pytest.approx(97.0)  # the mean of 95..99
        assert found.loss_at(run, 1) == 0.0
        assert found.loss_at(Run("a", 1, [1.0]), 2) == math.inf


class TestStore:
    def test_finished_runs_are_taken_up(self, tmp_path: Path) -> None:
        out = tmp_path / "runs.json"
        whole = compare(out=out)
        held = json.loads(out.read_text())
        held["runs"] = held["runs"][:3]
        out.write_text(json.dumps(held))
        built: list[int] = []

        def counting() -> nn.Module:
            built.append(1)
            return build()

        again = initkit.compare(counting, ["default", Scaled()], loss=loss, steps=10, seeds=3, out=out)
        assert len(built) == 3
        assert again.to_json() == whole.to_json()
        assert compare(out=out).subject == type(build()).__name__  # known without building one
        more = compare(out=out, seeds=4)
        assert len(more.runs) == 8

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"steps": 11}, "steps=10"),
            ({"key": "other"}, "another model file"),
            ({"recipes": ["default", Scaled(std=0.5)]}, "other starts"),
        ],
    )
    def test_runs_of_another_comparison_are_refused(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        out = tmp_path / "runs.json"
        compare(out=out)
        before = out.read_text()
        with pytest.raises(FileError, match=f"it was made with {words}"):
            compare(out=out, **changes)
        assert out.read_text() == before

    def test_a_broken_file_is_refused_and_kept(self, tmp_path: Path) -> None:
        out = tmp_path / "runs.json"
        out.write_text("not json")
        with pytest.raises(FileError, match="it holds no comparison"):
            compare(out=out)
        assert out.read_text() == "not json"

    def test_an_interrupt_reports_what_there_is(self, tmp_path: Path) -> None:
        count = 0

        def tired(model: nn.Module) -> Tensor:
            nonlocal count
            count += 1
            if count > 35:
                raise KeyboardInterrupt
            return loss(model)

        out = tmp_path / "runs.json"
        found = compare(loss=tired, out=out)
        assert found.interrupted
        assert len(found.runs) == 3
        assert len(json.loads(out.read_text())["runs"]) == 3
        assert found.verdicts[-1].words == "interrupted: 3 of 6 runs are finished"
        assert compare(out=out).interrupted is False

    def test_an_interrupt_before_the_first_run_is_one(self) -> None:
        def stops(model: nn.Module) -> Tensor:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compare(loss=stops)


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "error", "words"),
        [
            ({"recipes": ["default"]}, OptionError, "at least two starts"),
            ({"recipes": ["default", "default"]}, OptionError, "'default' is given twice"),
            ({"recipes": ["default", 3]}, OptionError, "3 is no recipe"),
            ({"recipes": ["default", Needy()]}, NeedError, "needs 'signal'"),
            ({"grpah": 1}, NeedError, "unknown keyword 'grpah'"),
            ({"seeds": 0}, OptionError, "seeds 0"),
            ({"seeds": [1, 1]}, OptionError, "different whole numbers"),
            ({"steps": 0}, OptionError, "steps 0"),
            ({"loss": lambda model: model(torch.zeros(2, 3))}, ProbeError, "must return a scalar tensor"),
            ({"loss": lambda model: model(torch.zeros(9))}, ProbeError, "loss.model. fails at step 0: RuntimeError"),
            ({"optimizer": lambda model: 3}, ProbeError, "must return a torch optimizer"),
            ({"optimizer": lambda model: 1 / 0}, ProbeError, "optimizer.model. fails: ZeroDivisionError"),
            ({"score": lambda model: "good"}, ProbeError, "score.model. fails: ValueError"),
        ],
    )
    def test_one_clear_line(self, changes: dict[str, Any], error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words) as caught:
            compare(**changes)
        assert "\n" not in str(caught.value)

    def test_what_is_no_module(self) -> None:
        with pytest.raises(ProbeError, match="only an nn.Module can be trained"):
            initkit.compare(lambda: 3, ["default", Scaled()], loss=loss)  # type: ignore[arg-type, return-value]
        with pytest.raises(ProbeError, match="no parameter that takes a gradient"):
            initkit.compare(nn.ReLU, ["default", Scaled()], loss=loss)


def test_starts_are_named_by_their_options_and_chains() -> None:
    found = compare(["default", Scaled(), Scaled(std=0.5), [Scaled(), Scaled(std=0.1)]], seeds=1, steps=2)
    names = [start.name for start in found.starts]
    assert names[0] == "default"
    assert names[2].endswith("std=0.5")
    assert " + " in names[3]
