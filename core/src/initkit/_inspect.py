"""Inspect a model: run probes, and leave it bit for bit as it was."""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from initkit._apply import Recipes, made_recipes, tried
from initkit._recipe import Recipe, needs_of
from initkit.errors import NeedError, PluginError, did_you_mean, listed
from initkit.inspection import MEASURING, Inspection, Skipped
from initkit.jobs import Progress
from initkit.offered import Need
from initkit.plugins import registry
from initkit.probes import Probe, Table, Verdict
from initkit.probing.scene import NotMeasured, Scene
from initkit.report import versions

CORE = (
    Probe("signal", "initkit.probing.signal:signal", "Signal and gradient by depth, ranks, dead units."),
    Probe("loss", "initkit.probing.loss:loss", "The loss at the start against that of the answer 0."),
    Probe("jacobian", "initkit.probing.jacobian:jacobian", "Singular values of the input-output Jacobian."),
    Probe("kernel", "initkit.probing.kernel:kernel", "Condition of the empirical neural tangent kernel."),
    Probe("guessing", "initkit.probing.guessing:guessing", "Initial guessing bias: answers of the untrained model."),
    Probe("gradsign", "initkit.probing.gradsign:gradsign", "GradSign: agreement of the samples' gradients."),
    Probe("epsinas", "initkit.probing.epsinas:epsinas", "epsinas: how the outputs depend on one shared weight."),
)
"""The core's own probes; their ids are ``core/NAME``."""

Choice = str | Callable[..., Any]


def inspect(
    model: Any,
    inputs: Any = None,
    *,
    probes: Sequence[Choice] | Choice | None = None,
    before: Inspection | None = None,
    recipes: Recipes | None = None,
    loss: Callable[[Any], torch.Tensor] | None = None,
    targets: Any = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    **needs: Any,
) -> Inspection:
    """Measure a model as it starts. It is left bit for bit as it was: values, buffers, modes, gradients, random state.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        inputs: what its forward takes: a tensor or array, a tuple or list (by position), a mapping (by name), or any
            other object. Probes that need it are left out without it, and say so.
        probes: ids such as ``"core/signal"``, plugins (``"gnn"``: all of its probes, ``"core"``: the core's), or
            functions. None takes the core's and those of each plugin whose needs are all given.
        before: an earlier inspection to lay beside this one.
        recipes: inspect the model as it is, apply these, inspect again and take them back; the result is the second
            inspection, with the first as its ``before``.
        loss: ``loss(model)``, a scalar tensor. Without it and targets, gradients are those of a random direction.
        targets: what the model should answer: whole numbers for cross-entropy, else squared error.
        seed: of the inspection's random streams and of what the loss draws.
        device: for ``recipes``, as :func:`initkit.apply`.
        progress: as :func:`initkit.apply`.
        needs: the data that probes and recipes ask for.

    Raises:
        InitError: an unknown probe or keyword, or a model that fails on the inputs.
    """
    made = made_recipes(recipes) if recipes is not None else []
    own = {"inputs": inputs, "targets": targets, "loss": loss}
    given = {**needs, **{name: value for name, value in own.items() if value is not None}}
    chosen, faults = _chosen(probes, given)
    _check_keywords(needs, made, chosen)

    def look(earlier: Inspection | None) -> Inspection:
        scene = Scene(model, inputs, targets=targets, loss=loss, seed=seed, progress=progress)
        return _run(scene, chosen, given, faults, earlier)

    if not made:
        return look(before)
    asked = {name: given[name] for one in made for name in needs_of(one).all if name in given}
    first = look(None) if before is None else before
    with tried(model, made, seed=seed, device=device, progress=progress, **asked) as report:
        second = look(first)
    second.report = report
    return second


def _run(
    scene: Scene,
    chosen: Sequence[Probe | Callable[..., Any]],
    needs: Mapping[str, Any],
    faults: dict[str, str],
    before: Inspection | None,
) -> Inspection:
    found = Inspection(type(scene.model).__name__, scene.seed, versions(MEASURING), before=before)
    found.skipped += [Skipped(plugin, cause) for plugin, cause in faults.items()]
    for probe in chosen:
        name = probe.id if isinstance(probe, Probe) else getattr(probe, "__name__", "probe")
        try:
            function, given = _ready(probe, needs)
            for item in function(scene, **given):
                _take(found, item, name)
        except NotMeasured as reason:
            found.skipped.append(Skipped(name, str(reason)))
    if not found.tables and not found.verdicts:
        reasons = "; ".join(f"{skip.probe}: {skip.why}" for skip in found.skipped)
        raise NeedError(
            f"nothing could be measured of {found.subject}: {reasons or 'no probe found its kind of layer'}"
        )
    return found


def _take(found: Inspection, item: Any, probe: str) -> None:
    if isinstance(item, Table):
        found.add(item, probe)
    elif isinstance(item, Verdict):
        found.verdicts.append(item)
    else:
        raise PluginError(f"probe {probe} yields {type(item).__name__}; it must yield Table and Verdict")


def _ready(probe: Probe | Callable[..., Any], needs: Mapping[str, Any]) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    asked = _asked(probe)
    for need in asked:
        if not need.optional and needs.get(need.name) is None:
            about = f" ({need.help})" if need.help else ""
            raise NotMeasured(f"needs {need.name!r}{about}: give {need.name}=..., or define the name in model.py")
    function = probe.load() if isinstance(probe, Probe) else probe
    return function, {need.name: needs[need.name] for need in asked if need.name in needs}


def _asked(probe: Probe | Callable[..., Any]) -> list[Need]:
    """What a probe asks for: as its card says, or a function's keyword-only arguments."""
    if isinstance(probe, Probe):
        return list(probe.asked)
    parameters = python_inspect.signature(probe).parameters.values()
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [Need(p.name, optional=p.default is not p.empty) for p in named]


def _chosen(
    probes: Sequence[Choice] | Choice | None, needs: Mapping[str, Any]
) -> tuple[list[Probe | Callable[..., Any]], dict[str, str]]:
    core = [Probe(p.name, p.target, p.summary, p.needs, plugin="core") for p in CORE]
    theirs, faults = registry().probes()
    if probes is None:
        ready = [p for p in theirs if all(need.optional or need.name in needs for need in _asked(p))]
        return [*core, *ready], faults
    found: list[Probe | Callable[..., Any]] = []
    offered = [*core, *theirs]
    for word in [probes] if isinstance(probes, str) or callable(probes) else probes:
        if callable(word):
            found.append(word)
            continue
        same = [p for p in offered if word in (p.id, p.plugin)]
        if not same:
            if word in faults:
                raise PluginError(f"plugin {word!r}: {faults[word]}")
            ids = [p.id for p in offered]
            raise PluginError(
                f"there is no probe {word!r}{did_you_mean(word, [*ids, *{p.plugin for p in offered}])}; "
                f"there are {listed(ids, 20)}"
            )
        found += [p for p in same if p not in found]
    return found, {}


def _check_keywords(
    needs: Mapping[str, Any], made: Sequence[Recipe], chosen: Sequence[Probe | Callable[..., Any]]
) -> None:
    """A keyword that no probe and no recipe knows is a mistake; one that was not chosen may still be given."""
    asked = {name for one in made for name in needs_of(one).all}
    known = asked | {need.name for probe in (*chosen, *registry().probes()[0]) for need in _asked(probe)}
    known |= {need.name for card in registry().cards() for need in card.asked}
    for name in needs:
        if name not in known:
            asks = listed(sorted(known)) or "nothing"
            raise NeedError(f"unknown keyword {name!r}{did_you_mean(name, known)}; probes and recipes ask for {asks}")
