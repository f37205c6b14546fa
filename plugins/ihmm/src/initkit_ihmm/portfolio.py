"""The portfolio: several starts, a few EM steps each with the model itself, the best one kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Len

from initkit import InitError
from initkit_ihmm.features import point_features
from initkit_ihmm.finite import params_from_labels
from initkit_ihmm.hmmlearn_models import Fitted, Kind, em, kind_of, plain, start_of
from initkit_ihmm.labels import LabelInit
from initkit_ihmm.overfit import Begin, overfit_merge
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.resizing import split_to
from initkit_ihmm.sequences import Sequences

Candidate = Literal[
    "kmeans",
    "gmm",
    "jump",
    "windowed",
    "contig",
    "segment",
    "hierarchical",
    "overfit_merge/windowed",
    "overfit_merge/contig",
    "overfit_merge/jump",
    "overfit_merge/kmeans",
]
GAUSSIAN: tuple[Candidate, ...] = (
    "kmeans",
    "gmm",
    "jump",
    "windowed",
    "contig",
    "segment",
    "overfit_merge/windowed",
    "overfit_merge/contig",
    "overfit_merge/jump",
)
DISCRETE: tuple[Candidate, ...] = (
    "kmeans",
    "windowed",
    "jump",
    "contig",
    "overfit_merge/windowed",
    "overfit_merge/kmeans",
)


@dataclass(frozen=True)
class Portfolio(Labelling):
    """Several clusterings, ten EM steps of the model from each, the likeliest kept: the start for finite HMMs.

    What is screened depends on the emissions: k-means, a mixture, the jump model, windows, blocks of time, segments
    and overfit-and-merge from three beginnings for Gaussian ones; symbols are clustered both by what comes before and
    after them and by windows. The report holds every start's log-likelihood.

    Args:
        n_states: of the model, if given at all.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        candidates: the starts to try; None is the list for the emissions, without those whose package is missing.
        em_steps: of screening from each start.
        keep: ``"start"`` writes what the winner's labels give, ``"fitted"`` what the screening made of it.

    Source: derived here; that starts decide which optimum EM finds, Maruotti and Punzo, Initialization of Hidden Markov
    and Semi-Markov Models, International Statistical Review 2021.
    """

    candidates: Annotated[tuple[Candidate, ...], Len(1)] | None = None
    em_steps: Annotated[int, Ge(1)] = 10
    keep: Literal["start", "fitted"] = "start"

    finite_only = True

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Screen the candidates."""
        assert states is not None
        model, kind = work.model, kind_of(work.model)
        if kind is None:
            model, kind = plain(data.emission, states, data.x)
        rows: list[dict[str, Any]] = []
        best: tuple[float, LabelInit, Fitted] | None = None
        for name in self._names(data):
            init, before = _labels(name, data, states, work)
            # A numeric twin of the user's model: same covariances, same priors, another number of steps.
            fitted = em(model, params_from_labels(init, data.x, kind.shape), data.x, data.lengths, self.em_steps)
            value = fitted.log_likelihood
            shown = float(f"{value:.9g}") if np.isfinite(value) else None
            rows.append({"start": name, "log-likelihood": shown, "EM steps": fitted.steps, "before": before})
            if np.isfinite(value) and (best is None or value > best[0]):
                best = value, init, fitted
        if best is None:
            raise InitError(
                f"recipe {self.id}: EM breaks down from every start; is there a column that hardly varies, or are "
                f"there more states than the observations tell apart?"
            )
        chosen = next(row for row in rows if row["log-likelihood"] == float(f"{best[0]:.9g}"))
        for row in rows:
            row["kept"] = row is chosen
        work.note("screening", rows)
        return Found(
            best[1].labels,
            score=best[0],
            settled={"chosen": chosen["start"], "em_steps_run": sum(row["EM steps"] + row["before"] for row in rows)},
            start=self._start(best[2], kind),
        )

    def _start(self, fitted: Fitted, kind: Kind) -> Any:
        return start_of(fitted.model, kind) if self.keep == "fitted" else None

    def _names(self, data: Sequences) -> Sequence[Candidate]:
        if self.candidates is not None:
            return self.candidates
        if data.emission != "gaussian":
            return DISCRETE
        return [name for name in GAUSSIAN if name != "segment" or _installed("ruptures")]


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _labels(name: Candidate, data: Sequences, states: int, work: Work) -> tuple[LabelInit, int]:
    """Labels of a candidate with exactly ``states`` states, and the EM steps that finding them took."""
    kind, _, begin = name.partition("/")
    seed = work.seed()
    if kind == "overfit_merge":
        chosen: Begin = begin  # type: ignore[assignment]
        made = overfit_merge(data, states, work, begin=chosen)
        return LabelInit.of(made.labels, lengths=data.lengths, method=name, seed=seed), made.em_steps
    found = _clusterings()[kind]().found(data, states, work)
    init = LabelInit.of(found.labels, lengths=data.lengths, method=name, resp=found.resp, seed=seed)
    if states > init.K:
        split = split_to(init.labels, point_features(data), states, seed)
        init = LabelInit.of(split, lengths=data.lengths, method=name, seed=seed)
    return init, 0


def _clusterings() -> dict[str, Callable[[], Labelling]]:
    from initkit_ihmm import blocks, partitions, time_aware

    return {
        "kmeans": partitions.KMeans,
        "gmm": partitions.GMM,
        "hierarchical": partitions.Hierarchical,
        "jump": time_aware.Jump,
        "windowed": time_aware.Windowed,
        "segment": time_aware.Segment,
        "contig": blocks.Contig,
    }
