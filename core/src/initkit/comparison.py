"""What a comparison of starts found."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from typing import Any

from initkit._student import Interval, Paired, holm, interval, paired
from initkit._table import table
from initkit._training import Run, Start
from initkit.probes import Verdict

FORMAT = 1
SIGNIFICANT = 0.05
_SHARES = (0.1, 0.25, 0.5, 1.0)  # of the steps at which the loss is shown
_NOUNS = {"loss": "final loss", "area": "mean loss over the run", "score": "score"}
_SMOOTH = 0.05  # of the steps, averaged to tell the loss at one


class Comparison:
    """Training runs from several starts, and what they say.

    The loss "at" a step is the mean over the 5 % of the steps that end there, so that one batch decides nothing.

    Attributes:
        starts: names with their recipes, the first being what the others are tested against.
        seeds: that were asked for.
        steps: of each run.
        runs: the finished ones.
        interrupted: whether some are missing.
        subject: class name of the model, or "" where no run says it.
        level: of the loss, for the steps until it is reached; None where the first start has no finite end.
    """

    def __init__(
        self,
        starts: Sequence[Start],
        seeds: Sequence[int],
        steps: int,
        runs: Sequence[Run],
        *,
        level: float | None = None,
        interrupted: bool = False,
        versions: dict[str, str] | None = None,
    ) -> None:
        self.starts, self.seeds, self.steps, self.runs = list(starts), list(seeds), steps, list(runs)
        self.interrupted, self.versions = interrupted, versions or {}
        self.subject = next((run.subject for run in self.runs if run.subject), "")
        self.level = self._base_level() if level is None else level

    def of(self, start: str) -> list[Run]:
        """The finished runs of a start, by seed."""
        return sorted((run for run in self.runs if run.start == start), key=lambda run: run.seed)

    def loss_at(self, run: Run, step: int) -> float:
        """The loss after ``step`` of the steps, smoothed; infinite once the run has diverged."""
        if len(run.losses) < step:
            return math.inf
        width = max(1, round(_SMOOTH * self.steps))
        window = run.losses[max(0, step - width) : step]
        return math.fsum(window) / len(window)

    def reached(self, run: Run) -> int | None:
        """The step at which the loss first comes down to the level, or None."""
        if self.level is None:
            return None
        return next((step for step in range(1, len(run.losses) + 1) if self.loss_at(run, step) <= self.level), None)

    @property
    def shown_steps(self) -> list[int]:
        """The steps at which the loss is told."""
        return list(dict.fromkeys([1, *(max(1, round(share * self.steps)) for share in _SHARES)]))

    @functools.cached_property
    def table(self) -> list[dict[str, Any]]:
        """Mean loss with its 95 % interval by start and step, over the runs that got there."""
        rows = []
        for start in self.starts:
            for step in self.shown_steps:
                found = self._over_runs(start.name, step)
                if found is not None:
                    bounds = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}
                    rows.append({"start": start.name, "step": step, **bounds})
        return rows

    @functools.cached_property
    def summary(self) -> list[dict[str, Any]]:
        """One row a start: final loss, area under the curve (mean loss), steps to the level, divergences, score."""
        return [self._summary(start.name) for start in self.starts]

    @functools.cached_property
    def tests(self) -> list[dict[str, Any]]:
        """Paired t-tests of final loss, mean loss over the run and score against the first start, by measure.

        p is Holm's over the starts.
        """
        found = []
        for measure in _NOUNS:
            rows = [row for start in self.starts[1:] if (row := self._test(start.name, measure)) is not None]
            known = [row for row in rows if row["p"] is not None]
            for row, p in zip(known, holm([row["p"] for row in known]), strict=True):
                row["p"] = p
            found += rows
        return found

    @functools.cached_property
    def verdicts(self) -> list[Verdict]:
        """What it means, in plain words."""
        return [*self._divergences(), *(_verdict(row) for row in self.tests), *self._caveats()]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "format": FORMAT,
            "subject": self.subject,
            "steps": self.steps,
            "seeds": self.seeds,
            "level": self.level,
            "interrupted": self.interrupted,
            "versions": self.versions,
            "starts": [
                {"name": s.name, "recipes": [{"id": one.id, "options": one.options()} for one in s.recipes]}
                for s in self.starts
            ],
            "table": self.table,
            "summary": self.summary,
            "tests": self.tests,
            "verdicts": [{"level": v.level, "words": v.words, "where": v.where or None} for v in self.verdicts],
            "runs": [run.to_dict() for run in self.runs],
        }

    def to_json(self) -> str:
        """The comparison as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def shown(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """The tables as text: words, head and rows."""
        steps = self.shown_steps
        losses = []
        for start in self.starts:
            cells = {row["step"]: _with_interval(row) for row in self.table if row["start"] == start.name}
            losses.append([start.name, *(cells.get(step, "-") for step in steps)])
        summary = [_summary_cells(row) for row in self.summary]
        level = "" if self.level is None else f" {self.level:.4g}"
        head = ["start", "final loss", "mean loss", f"steps to{level or ' level'}", "reached", "diverged", "score"]
        words = f"loss at a step, mean and 95 % interval over {self._count()} seeds"
        return [(words, ["start", *(f"step {step}" for step in steps)], losses), ("in all", head, summary)]

    def __str__(self) -> str:
        lines = [f"{words}\n{table(head, rows)}\n" for words, head, rows in self.shown()]
        return "\n".join([*lines, *map(str, self.verdicts)])

    def _count(self) -> int:
        return len({run.seed for run in self.runs})

    def _base_level(self) -> float | None:
        found = self._over_runs(self.starts[0].name, self.steps)
        return None if found is None else found.mean

    def _over_runs(self, start: str, step: int) -> Interval | None:
        losses = [self.loss_at(run, step) for run in self.of(start)]
        finite = [value for value in losses if math.isfinite(value)]
        return interval(finite) if finite else None

    def _summary(self, name: str) -> dict[str, Any]:
        runs = self.of(name)
        whole = [run for run in runs if run.diverged_at is None]
        final = self._over_runs(name, self.steps)
        reached = sorted(step for run in runs if (step := self.reached(run)) is not None)
        scores = [run.score for run in whole if run.score is not None]
        score = interval(scores) if scores else None
        areas = [area for run in whole if (area := _area(run)) is not None]
        return {
            "start": name,
            "runs": len(runs),
            "final": final.mean if final else None,
            "low": final.low if final else None,
            "high": final.high if final else None,
            "area": math.fsum(areas) / len(areas) if areas else None,
            "steps_to_level": reached[len(reached) // 2] if len(reached) * 2 > len(runs) else None,
            "reached": len(reached),
            "diverged": len(runs) - len(whole),
            "score": score.mean if score else None,
            "score_low": score.low if score else None,
            "score_high": score.high if score else None,
        }

    def _test(self, name: str, measure: str) -> dict[str, Any] | None:
        base = self.starts[0].name
        pairs = self._pairs(base, name, measure)
        if not pairs:
            return None
        found: Paired = paired([theirs - mine for mine, theirs in pairs])
        better = found.wins if measure != "score" else sum(theirs > mine for mine, theirs in pairs)
        return {
            "start": name,
            "against": base,
            "measure": measure,
            "value": math.fsum(theirs for _, theirs in pairs) / len(pairs),
            "base": math.fsum(mine for mine, _ in pairs) / len(pairs),
            "difference": found.difference.mean,
            "low": found.difference.low,
            "high": found.difference.high,
            "p": found.p,
            "wins": better,
            "n": len(pairs),
        }

    def _pairs(self, base: str, name: str, measure: str) -> list[tuple[float, float]]:
        """(the first start's value, this one's) of each seed for which both are numbers."""

        def value(run: Run) -> float | None:
            found = {"loss": self._final, "area": _area, "score": _score}[measure](run)
            return found if found is not None and math.isfinite(found) else None

        mine = {run.seed: value(run) for run in self.of(base)}
        theirs = {run.seed: value(run) for run in self.of(name)}
        return [(a, b) for seed, a in mine.items() if a is not None and (b := theirs.get(seed)) is not None]

    def _final(self, run: Run) -> float:
        return self.loss_at(run, self.steps)

    def _divergences(self) -> list[Verdict]:
        found = []
        for start in self.starts:
            runs = self.of(start.name)
            steps = [run.diverged_at for run in runs if run.diverged_at is not None]
            if steps:
                words = f"diverged in {len(steps)} of {len(runs)} runs, first at step {min(steps)}"
                found.append(Verdict("FAIL", words, start.name))
        return found

    def _caveats(self) -> list[Verdict]:
        found = []
        if self._count() == 1:
            found.append(Verdict("WARN", "one seed says nothing about chance; take at least five"))
        if self.interrupted:
            asked = len(self.starts) * len(self.seeds)
            found.append(Verdict("WARN", f"interrupted: {len(self.runs)} of {asked} runs are finished"))
        return found


def _area(run: Run) -> float | None:
    """Area under the curve, as the mean loss over the steps; None where the run has diverged."""
    return math.fsum(run.losses) / len(run.losses) if run.losses and run.diverged_at is None else None


def _score(run: Run) -> float | None:
    return run.score


def _verdict(row: dict[str, Any]) -> Verdict:
    noun = _NOUNS[row["measure"]]
    lower = row["difference"] < 0
    values = f"{noun} {row['value']:.4g} against {row['base']:.4g}"
    if row["p"] is None:
        return Verdict("NOTE", f"{values} of {row['against']}, from one pair of runs", row["start"])
    numbers = (
        f"difference {row['difference']:+.3g}, 95 % interval {row['low']:+.3g} to {row['high']:+.3g}, "
        f"p = {row['p']:.2g}, better in {row['wins']} of {row['n']} seeds"
    )
    if row["p"] >= SIGNIFICANT:
        return Verdict("NOTE", f"no difference from {row['against']} found: {values} ({numbers})", row["start"])
    better = lower == (row["measure"] != "score")
    word = "lower" if lower else "higher"
    return Verdict("PASS" if better else "WARN", f"{word} than {row['against']}: {values} ({numbers})", row["start"])


def _with_interval(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['mean']:.4g}"
    return f"{row['mean']:.4g} ± {row['high'] - row['mean']:.2g}"


def _summary_cells(row: dict[str, Any]) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    half = "" if row["low"] is None else f" ± {row['high'] - row['final']:.2g}"
    spread = "" if row["score_low"] is None else f" ± {row['score_high'] - row['score']:.2g}"
    return [
        row["start"],
        number(row["final"]) + half,
        number(row["area"]),
        number(row["steps_to_level"]),
        f"{row['reached']} of {row['runs']}",
        str(row["diverged"]),
        number(row["score"]) + spread,
    ]
