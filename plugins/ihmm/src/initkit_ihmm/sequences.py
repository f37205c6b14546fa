"""Sequences: reading what the user gives, and refusing what cannot be used, with the numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from initkit import InitError, NeedError
from initkit_ihmm.labels import Floats, Ints, check_lengths

EmissionName = Literal["gaussian", "categorical", "multinomial", "poisson"]


@dataclass(frozen=True, eq=False)
class Sequences:
    """One or more sequences, end to end.

    Args:
        x: observations (T, D): float64, or int64 for categorical (T, 1), multinomial (T, V) and Poisson.
        lengths: of the sequences.
        emission: how a state's observations are distributed.
        kept: int64, the places of these T steps among those given, where steps with missing values were left out;
            None when none were.
        given: lengths of the sequences as given, missing steps included.
    """

    x: npt.NDArray[Any]
    lengths: tuple[int, ...]
    emission: EmissionName = "gaussian"
    kept: Ints | None = None
    given: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """T."""
        return len(self.x)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Begin and end of each sequence."""
        ends = np.cumsum(self.lengths).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def standardised(self) -> Floats:
        """``Z``: columns of mean 0 and standard deviation 1 (with n below); a constant column is 0."""
        values = self.x.astype(np.float64)
        spread = values.std(axis=0)
        return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))

    def spread_out(self, labels: Ints) -> Ints:
        """Labels of all steps given: one with missing values gets the label before it, at the start the one after."""
        if self.kept is None:
            return labels
        places = np.searchsorted(self.kept, np.arange(sum(self.given)), side="right") - 1
        found = np.where(places >= 0, labels[np.maximum(places, 0)], labels[0])
        ends = np.cumsum(self.given)
        for begin, end in zip(ends - np.asarray(self.given), ends, strict=True):
            inside = (self.kept >= begin) & (self.kept < end)
            if inside.any():
                found[begin : self.kept[inside][0]] = labels[inside][0]
        return np.asarray(found, dtype=np.int64)

    def check_states(self, states: int) -> None:
        """Refuse more states than there are steps or different observations.

        Raises:
            InitError: says the numbers.
        """
        if states > self.steps:
            raise InitError(f"{states} states for {self.steps} steps: ask for fewer states or give longer sequences")
        distinct = len(np.unique(self.x, axis=0)) if self.steps <= 200_000 else states
        if states > distinct:
            raise InitError(
                f"{states} states, but the observations hold {distinct} different rows: ask for fewer states"
            )


def read_sequences(
    sequences: Any,
    lengths: Sequence[int] | npt.NDArray[Any] | None = None,
    *,
    emission: EmissionName = "gaussian",
    symbols: int | None = None,
    missing: Literal["error", "skip"] = "error",
) -> Sequences:
    """Read one or more sequences.

    Args:
        sequences: an array or tensor (T,) or (T, D); (N, T, D) for N sequences of one length; a list of arrays, one
            for each sequence; a mapping with ``X`` and perhaps ``lengths``; or a path (.npy, .npz, .csv).
        lengths: of the sequences in one array; their sum is T.
        emission: what the values are to be.
        symbols: number of symbols of a categorical emission, where it is set.
        missing: ``"skip"`` leaves steps with NaN out.

    Raises:
        NeedError: nothing like sequences.
        InitError: values that do not fit the emission, lengths that do not sum to T.
    """
    if isinstance(sequences, (str, os.PathLike)):
        sequences = load_sequences(sequences)
    if isinstance(sequences, Mapping):
        lengths = sequences.get("lengths") if lengths is None else lengths
        sequences = sequences.get("X", sequences.get("sequences"))
    values, own = _stacked(sequences)
    if lengths is not None and own is not None and tuple(np.asarray(lengths).tolist()) != own:
        raise InitError(f"lengths {list(lengths)} differ from those of the {len(own)} sequences given, {list(own)}")
    spans = own if own is not None else check_lengths(lengths, len(values))
    gaps = np.isnan(values).any(axis=1) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if gaps.any():
        if missing == "error":
            raise InitError(
                f"sequences: {int(gaps.sum())} of {len(values)} steps hold NaN, the first is step "
                f"{int(gaps.argmax())}: fill them, or set missing=skip to leave those steps out"
            )
        if gaps.all():
            raise InitError("sequences: every step holds NaN")
    kept = np.flatnonzero(~gaps)
    ends = np.cumsum(spans)
    left = np.bincount(np.searchsorted(ends, kept, side="right"), minlength=len(spans))
    x = _checked(values[kept], emission, symbols)
    short = tuple(int(one) for one in left if one)
    return Sequences(x, short, emission, kept.astype(np.int64) if gaps.any() else None, spans)


def _stacked(sequences: Any) -> tuple[npt.NDArray[Any], tuple[int, ...] | None]:
    # A list of arrays holds sequences; a list of plain lists of numbers is one array.
    if (
        isinstance(sequences, (list, tuple))
        and sequences
        and np.ndim(sequences[0]) > (0 if hasattr(sequences[0], "shape") else 1)
    ):
        parts = [_array(one) for one in sequences]
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise InitError(f"sequences have {widths} columns: every sequence must have as many as the others")
        return np.concatenate(parts), tuple(len(part) for part in parts)
    values = np.asarray(sequences.to_numpy()) if hasattr(sequences, "to_numpy") else sequences
    if np.ndim(values) == 3:
        whole = np.asarray(values)
        return whole.reshape(-1, whole.shape[2]), (whole.shape[1],) * len(whole)
    return _array(values), None


def _array(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise NeedError(
            f"sequences: {type(values).__name__} of {found.dtype} holds no numbers; give an array (T, D), a list of "
            f"arrays, or a path to .npy, .npz or .csv"
        )
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or not found.size:
        raise NeedError(f"sequences of shape {found.shape}: give (T,) or (T, D) with at least one step")
    return found.astype(np.int64) if found.dtype.kind in "biu" else found.astype(np.float64)


def _checked(values: npt.NDArray[Any], emission: EmissionName, symbols: int | None) -> npt.NDArray[Any]:
    endless = ~np.isfinite(values)
    if endless.any():
        raise InitError(f"sequences: {int(endless.sum())} values are infinite, the first in row {_row(endless)}")
    if emission == "gaussian":
        return np.ascontiguousarray(values, dtype=np.float64)
    whole = values.astype(np.int64)
    broken = (whole != values).any(axis=1)
    what = "symbols" if emission == "categorical" else "counts"
    if broken.any():
        raise InitError(
            f"sequences: {what} must be integers; row {int(broken.argmax())} holds {values[broken][0].tolist()}"
        )
    negative = (whole < 0).any(axis=1)
    if negative.any():
        raise InitError(
            f"sequences: {what} cannot be negative; row {int(negative.argmax())} holds {whole[negative][0].tolist()}"
        )
    if emission == "categorical":
        if whole.shape[1] != 1:
            raise InitError(f"sequences: symbols stand in one column, (T,) or (T, 1), not {whole.shape}")
        if symbols is not None and int(whole.max()) >= symbols:
            raise InitError(f"sequences: symbol {int(whole.max())} is outside 0..{symbols - 1} (n_features={symbols})")
    return np.ascontiguousarray(whole)


def _row(mask: npt.NDArray[np.bool_]) -> int:
    return int(mask.any(axis=1).argmax())


def load_sequences(path: str | os.PathLike[str]) -> Any:
    """Read sequences from a file.

    Args:
        path: .npy (T, D); .npz with ``X`` (or ``sequences``, or one array alone) and perhaps ``lengths``; .csv with a
            column a feature, a line of names on top or none, and perhaps a column ``sequence`` that numbers them.

    Raises:
        NeedError: no such file, or nothing in it that could be sequences.
    """
    file = Path(path)
    if not file.is_file():
        raise NeedError(f"sequences: there is no file {file.name}")
    try:
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as held:
                return _of_archive({name: held[name] for name in held.files}, file.name)
        if file.suffix == ".csv":
            return _of_table(file)
    except (OSError, ValueError) as error:
        raise NeedError(f"sequences: {file.name} cannot be read: {str(error).splitlines()[0]}") from None
    raise NeedError(f"sequences: {file.name} is none of .npy, .npz and .csv")


def _of_archive(held: dict[str, npt.NDArray[Any]], name: str) -> dict[str, Any]:
    lengths = held.pop("lengths", None)
    known: list[str] = [key for key in ("X", "sequences") if key in held]
    if not known and len(held) == 1:
        known.extend(held)
    if not known:
        raise NeedError(
            f"sequences: {name} holds {sorted(held)}; call the array 'X' (and 'lengths', if there are many)"
        )
    return {"X": held[known[0]], "lengths": lengths}


def _of_table(file: Path) -> Any:
    with file.open() as lines:
        first = lines.readline().strip().split(",")
    try:
        _ = [float(cell) for cell in first if cell.strip()]
        names: list[str] = []
    except ValueError:
        names = [cell.strip().strip('"') for cell in first]
    table = np.genfromtxt(file, delimiter=",", skip_header=1 if names else 0, dtype=np.float64).reshape(-1, len(first))
    if "sequence" not in names:
        return table
    place = names.index("sequence")
    _, begins = np.unique(table[:, place], return_index=True)
    cuts = np.sort(begins)[1:]
    if (np.flatnonzero(np.diff(table[:, place]) != 0) + 1).tolist() != cuts.tolist():
        raise NeedError(f"sequences: in {file.name} the rows of a sequence must stand together")
    return np.split(np.delete(table, place, axis=1), cuts)
