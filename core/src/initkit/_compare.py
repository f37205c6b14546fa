"""Compare starts by training from them."""

from __future__ import annotations

import copy
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from initkit._apply import made_recipes
from initkit._files import write_text
from initkit._recipe import needs_of
from initkit._training import Run, Start, Task, starts_of
from initkit.comparison import FORMAT, Comparison
from initkit.errors import FileError, NeedError, OptionError, did_you_mean, listed
from initkit.inspection import MEASURING
from initkit.jobs import Progress
from initkit.plugins import registry
from initkit.report import versions


def compare(
    model_fn: Callable[[], nn.Module] | nn.Module,
    recipes: Sequence[Any],
    *,
    loss: Callable[..., Tensor],
    score: Callable[[nn.Module], Any] | None = None,
    optimizer: Callable[[nn.Module], Any] | None = None,
    steps: int = 200,
    seeds: int | Sequence[int] = 5,
    level: float | None = None,
    out: str | os.PathLike[str] | None = None,
    key: str = "",
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    **needs: Any,
) -> Comparison:
    """Train from each start over several seeds, in pairs, and say whether it made a difference.

    For one seed every start gets the same built model (torch's, numpy's and Python's global random states are seeded
    with it), its recipes with that seed, and then the same global random states again, so that a loss which draws its
    batches from them sees the same data in the same order. A loss that is no number ends its run and is a result.

    Args:
        model_fn: a function that returns a new model; or a module, which is copied.
        recipes: the starts: ``"default"`` (the model as it is built), an id, a recipe, or a list of recipes applied in
            order. The first one is what the others are tested against.
        loss: ``loss(model)`` or ``loss(model, step)``, a scalar tensor.
        score: ``score(model)``, a number at the end of each run, in evaluation mode; higher is better.
        optimizer: ``optimizer(model)``, an optimizer or (optimizer, scheduler); None is Adam with rate 0.001.
        steps: of training.
        seeds: how many, from 0; or which.
        level: of the loss; when each start first reaches it. None is where the first start ends on average.
        out: a JSON file: finished runs are kept there, and runs that it holds are not made again.
        key: text that must be the same when ``out`` is taken up again, such as a hash of the model's source.
        device: where recipes do heavy work, as :func:`initkit.apply`.
        progress: as :func:`initkit.apply`.
        needs: the data that recipes ask for.

    Returns:
        What was found. After Ctrl-C it holds the finished runs, and ``interrupted`` is True.

    Raises:
        InitError: wrong arguments, a failing model, loss, score or optimizer, or an ``out`` of another comparison.
        KeyboardInterrupt: before any run was finished.
    """
    starts = starts_of(recipes, made_recipes)
    chosen = _seeds(seeds)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise OptionError(f"steps {steps!r}: give a whole number of at least 1")
    _check_needs(starts, needs)
    build = functools.partial(copy.deepcopy, model_fn) if isinstance(model_fn, nn.Module) else model_fn
    task = Task(build, loss, score, optimizer, steps, device, needs)
    settings = _settings(starts, steps, key)
    store = _Store(out, settings)
    wanted = [(start, seed) for seed in chosen for start in starts]
    runs, interrupted = [], False
    try:
        for start, seed in wanted if progress is None else progress(wanted, "runs", len(wanted)):
            run = store.find(start.name, seed)
            if run is None:
                run = task.train(start, seed, progress)
                store.keep(run)
            runs.append(run)
    except KeyboardInterrupt:
        if not runs:
            raise
        interrupted = True
    return Comparison(starts, chosen, steps, runs, level=level, interrupted=interrupted, versions=versions(MEASURING))


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    found = list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else list(seeds)  # type: ignore[arg-type]
    if not found or len(set(found)) < len(found) or not all(isinstance(s, int) and 0 <= s < 2**32 for s in found):
        raise OptionError(f"seeds {seeds!r}: give how many, or different whole numbers from 0 to 2**32 - 1")
    return found


def _check_needs(starts: Sequence[Start], needs: dict[str, Any]) -> None:
    made = [one for start in starts for one in start.recipes]
    known = {name for one in made for name in needs_of(one).all}
    others = {need.name for card in registry().cards() for need in card.asked}
    for name in needs:
        if name not in known | others:
            asks = listed(sorted(known)) or "nothing"
            raise NeedError(f"unknown keyword {name!r}{did_you_mean(name, known)}; the recipes ask for {asks}")
    for one in made:
        for name in needs_of(one).required:
            if needs.get(name) is None:
                raise NeedError(f"recipe {one.id} needs {name!r}: give {name}=..., or define the name in model.py")


def _settings(starts: Sequence[Start], steps: int, key: str) -> dict[str, Any]:
    return {
        "steps": steps,
        "key": key,
        "starts": [
            {"name": s.name, "recipes": [{"id": one.id, "options": one.options()} for one in s.recipes]} for s in starts
        ],
    }


class _Store:
    """Finished runs in a file."""

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._settings = settings
        self._runs: list[Run] = []
        if self._path is not None and self._path.exists():
            self._read()

    def _read(self) -> None:
        path = self._path
        assert path is not None
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            settings, rows = held["settings"], held["runs"]
            self._runs = [Run(**row) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"cannot go on from {path}: it holds no comparison ({error}); name another file") from None
        mine = json.loads(json.dumps(self._settings))
        other = [name for name in mine if settings.get(name) != mine[name]]
        if other:
            what = {"key": "another model file", "steps": f"steps={settings.get('steps')}", "starts": "other starts"}
            made = listed(what[name] for name in other)
            raise FileError(f"cannot go on from {path}: it was made with {made}; name another file or remove it")

    def find(self, start: str, seed: int) -> Run | None:
        """The finished run, or None."""
        return next((run for run in self._runs if (run.start, run.seed) == (start, seed)), None)

    def keep(self, run: Run) -> None:
        """Add a run to the file, whole or not at all."""
        self._runs.append(run)
        if self._path is not None:
            held = {"format": FORMAT, "settings": self._settings, "runs": [one.to_dict() for one in self._runs]}
            write_text(self._path, json.dumps(held, indent=1) + "\n")
