"""What all recipes share: find the model, read the sequences, cluster in a job, turn labels into tensors."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge

from initkit import Fill, Job, JobContext, Keep, OptionError, Output, PlanError, Recipe, Set, Stream
from initkit_ihmm.emissions import emission_of
from initkit_ihmm.features import point_features
from initkit_ihmm.finite import Start, params_from_labels
from initkit_ihmm.hmm_slots import labels_attribute
from initkit_ihmm.hmmlearn_models import Kind, kind_of, shapes_of
from initkit_ihmm.labels import Floats, Ints, LabelInit
from initkit_ihmm.regimes import regimes, series, timeline
from initkit_ihmm.resizing import merge_to, split_to
from initkit_ihmm.sequences import EmissionName, Sequences, read_sequences

if TYPE_CHECKING:
    from initkit.items import Item

JOB = "labels"
States = Annotated[int, Ge(1)] | Literal["auto"] | None


@dataclass(frozen=True, eq=False)
class Found:
    """What a recipe's clustering found.

    Args:
        labels: integers (T,), any numbering.
        resp: soft memberships (T, columns), columns as the labels number them.
        settled: what it settled itself, as JSON values.
        score: its own objective, larger is better.
        start: a fitted model to use instead of the labels' own parameters.
        features: what was clustered.
    """

    labels: npt.NDArray[Any]
    resp: Floats | None = None
    settled: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    start: Start | None = None
    features: Floats | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """What a clustering is given beside the sequences.

    Args:
        rng: the only source of its random numbers.
        note: adds a table to the report.
        model: the estimator that is started, which is left alone; None where there is none.
        device: where heavy work belongs.
    """

    rng: np.random.Generator
    note: Callable[[str, Any], None]
    model: Any = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def seed(self) -> int:
        """A seed for a library that wants one."""
        return int(self.rng.integers(2**31))


@dataclass(frozen=True)
class Labelling(Recipe):
    """A recipe that clusters the steps of sequences."""

    n_states: States = None
    missing: Literal["error", "skip"] = "error"

    finite_only: ClassVar[bool] = False
    chooses_states: ClassVar[bool] = False
    """Whether the clustering finds the number of states itself where none is given."""
    exact: ClassVar[bool] = True
    """Whether it gives as many clusters as it is asked for, where the observations allow it."""

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Cluster.

        Args:
            data: the sequences.
            states: how many; None only where :attr:`chooses_states`.
            work: random numbers, notes, the model.
        """
        raise NotImplementedError

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """The arrays of an hmmlearn estimator, or the starting labels of a sampler."""
        kind = kind_of(model)
        if kind is not None:
            return list(shapes_of(model, kind))
        attribute = labels_attribute(model)
        return [] if attribute is None or cls.finite_only else [attribute]

    def label(
        self,
        sequences: Any,
        *,
        lengths: Sequence[int] | npt.NDArray[Any] | None = None,
        emission: EmissionName = "gaussian",
        seed: int = 0,
    ) -> LabelInit:
        """Cluster without a model.

        Args:
            sequences: as :func:`~initkit_ihmm.read_sequences` takes them.
            lengths: of the sequences.
            emission: what the observations are.
            seed: the labels are those that ``initkit.apply`` finds with this seed.

        Raises:
            InitError: the sequences cannot be used, or ``n_states`` is missing.
        """
        data = read_sequences(sequences, lengths, emission=emission, missing=self.missing)
        states = self._states_alone()
        if states is not None:
            data.check_states(states)
        stream = Stream(seed, f"job:{JOB}#clusters")
        work = Work(stream.generator(), lambda key, table: None)
        return self._labelled(data, states, work, seed)[0]

    def plan(
        self, model: Any, *, sequences: Any, lengths: Sequence[int] | npt.NDArray[Any] | None = None
    ) -> Iterator[Item]:
        """One job that clusters, and a fill for each array of the model."""
        kind = kind_of(model)
        if kind is not None:
            yield from self._finite_plan(model, kind, sequences, lengths)
            return
        attribute = labels_attribute(model)
        if attribute is None:
            raise PlanError(
                f"recipe {self.id}: {type(model).__name__} is no HMM that it knows; it starts hmmlearn's GaussianHMM, "
                f"GMMHMM, CategoricalHMM, MultinomialHMM and PoissonHMM, and initkit_ihmm.BeamSampler"
            )
        if self.finite_only:
            raise PlanError(
                f"recipe {self.id} tries finite HMMs and cannot start {type(model).__name__}; take ihmm/overfit_merge"
            )
        yield from self._sampler_plan(model, attribute, sequences, lengths)

    def _finite_plan(self, model: Any, kind: Kind, sequences: Any, lengths: Any) -> Iterator[Item]:
        where = f"recipe {self.id}"
        data = read_sequences(
            sequences, lengths, emission=kind.emission, symbols=kind.shape.symbols, missing=self.missing
        )
        states = int(model.n_components)
        if self.n_states is not None and self.n_states != states:
            raise OptionError(
                f"{where}: n_states is {self.n_states}, but the model has n_components={states}; leave n_states out, "
                f"or build the model with the number that initkit_ihmm.choose_n_states finds"
            )
        data.check_states(states)
        wide = data.x.shape[1]
        if kind.shape.family == "categorical":
            wide = kind.shape.symbols or int(data.x.max()) + 1
        shapes = shapes_of(model, kind)
        known = {name: shape[-1] for name, shape in shapes.items() if name in ("means_", "emissionprob_", "lambdas_")}
        for name, width in known.items():
            if width not in (0, wide):
                raise PlanError(f"{where}: {name} has {width} columns, the sequences have {wide}")
        fixed = [name for letter, name in kind.letters.items() if letter not in model.params and name in vars(model)]
        job = Job(
            JOB, lambda ctx: self._arrays(ctx, data, states, kind, model), f"{data.steps} steps into {states} states"
        )
        yield job
        final = _final_shapes(shapes, wide)
        for name, shape in shapes.items():
            if name in fixed:
                yield Keep(name, f"params={model.params!r} does not train it, and it is set")
            else:
                resize = final[name] if final[name] != shape else None
                yield Fill(name, job[name], why=_WHY.get(name, "of the clusters"), resize=resize)
        yield Set("init_params", "", why="fit() keeps this start")
        yield Output("labels", job["labels"], (sum(data.given or data.lengths),), "the state of each step", torch.int64)

    def _sampler_plan(self, model: Any, attribute: str, sequences: Any, lengths: Any) -> Iterator[Item]:
        missing = "skip" if getattr(model, "missing", self.missing) == "skip" else self.missing
        data = read_sequences(sequences, lengths, emission=model.emission, missing=missing)
        states = self._states_alone()
        if states is not None:
            data.check_states(states)
        steps = sum(data.given or data.lengths)
        job = Job(JOB, lambda ctx: self._sampler_labels(ctx, data, states, attribute), f"{data.steps} steps clustered")
        yield job
        yield Fill(attribute, job["labels"], why="the first state of each step", resize=(steps,))

    def _states_alone(self) -> int | None:
        """The number of states where no model says it; None where the recipe is to choose."""
        if self.n_states in (None, "auto"):
            if self.n_states is None and not self.chooses_states:
                raise OptionError(f"recipe {self.id}: say n_states=..., or n_states=auto to have it chosen")
            return None
        return int(self.n_states)

    def _labelled(self, data: Sequences, states: int | None, work: Work, seed: int) -> tuple[LabelInit, Found]:
        begin = time.process_time()
        if states is None and not self.chooses_states:
            from initkit_ihmm.choosing import choose

            states = choose(data, work.rng)
            work.note("n_states", {"chosen": states, "by": "overfit_merge"})
        found = self.found(data, states, work)
        labels = np.asarray(found.labels, dtype=np.int64)
        options = {name: value for name, value in self.options().items() if name not in ("n_states", "missing")}
        init = LabelInit.of(
            labels,
            lengths=data.lengths,
            method=self.id.rpartition("/")[2],
            resp=found.resp,
            params={**options, **found.settled},
            seed=seed,
            score=found.score,
            features=found.features,
        )
        if states is not None and self.exact and states > init.K:
            warnings.warn(f"{init.method}: {init.K} of {states} states were found", stacklevel=2)
        full = data.spread_out(init.labels)
        if len(full) != len(init.labels):
            init = LabelInit.of(
                full, lengths=data.given, method=init.method, params=init.params, seed=seed, score=init.score
            )
        return replace(init, seconds=time.process_time() - begin), found

    def _arrays(self, ctx: JobContext, data: Sequences, states: int, kind: Kind, model: Any) -> dict[str, torch.Tensor]:
        work = Work(ctx.stream("clusters").generator(), ctx.note, model, ctx.device)
        seed = ctx.stream("seed").integer_seed()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* states were found")  # what is done about it is noted
            whole, found = self._labelled(data, states, work, seed)
        init = LabelInit.of(
            whole.labels if data.kept is None else whole.labels[data.kept],
            lengths=data.lengths,
            method=whole.method,
            resp=whole.resp,
            seed=seed,
        )
        if states != init.K:
            init = _fitted_to(init, data, states, work)
            whole = replace(whole, labels=data.spread_out(init.labels), K=states, resp=None)
        start = found.start or params_from_labels(init, data.x, kind.shape)
        ctx.note("regimes", regimes(init.labels, data))
        ctx.note("series", series(init.labels, data))
        ctx.note("timeline", timeline(init.labels, data))
        ctx.note("clustering", {"method": whole.method, "states": states, **_plain(whole.params)})
        arrays = {f"{name}_": torch.from_numpy(np.array(value, order="C")) for name, value in start.tensors.items()}
        return {**arrays, "labels": torch.from_numpy(whole.labels)}

    def _sampler_labels(
        self, ctx: JobContext, data: Sequences, states: int | None, attribute: str
    ) -> dict[str, torch.Tensor]:
        work = Work(ctx.stream("clusters").generator(), ctx.note, device=ctx.device)
        whole, _ = self._labelled(data, states, work, ctx.seed)
        compact = whole.labels if data.kept is None else whole.labels[data.kept]
        ctx.note("regimes", regimes(compact, data))
        ctx.note("series", series(compact, data))
        ctx.note("timeline", timeline(compact, data))
        ctx.note("clustering", {"method": whole.method, "states": whole.K, **_plain(whole.params)})
        return {"labels": torch.from_numpy(whole.labels)}


_WHY = {
    "startprob_": "share of steps, (n + 1)/(T + K)",
    "transmat_": "transitions counted, (N + 1/K)/(n + 1): no zeros",
    "means_": "means of the clusters",
    "covars_": "scatter of the clusters, shrunk towards the pooled one",
    "weights_": "shares of the parts, (n + 1)/(N + M)",
    "emissionprob_": "symbols counted, (n + 1/V)/(N + 1)",
    "lambdas_": "means of the clusters, at least a thousandth of the whole's",
}


def _final_shapes(shapes: Mapping[str, tuple[int, ...]], wide: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(size or wide for size in shape) for name, shape in shapes.items()}


def _fitted_to(init: LabelInit, data: Sequences, states: int, work: Work) -> LabelInit:
    """Labels with as many states as the model has; what was done is noted."""
    if states < init.K:
        labels: Ints = merge_to(init, data.x, emission_of(data.emission, data.x), states)
        how = "merged, the likeliest pair first"
    else:
        labels = split_to(init.labels, point_features(data), states, work.seed())
        how = "the widest one halved"
    work.note("states", {"found": init.K, "model": states, "how": how})
    return LabelInit.of(labels, lengths=init.lengths, method=init.method, seed=init.seed)


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in params.items()}


def _rounded(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value
