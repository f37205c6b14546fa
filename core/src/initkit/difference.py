"""How two saved models differ."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from initkit._table import table

Change = Literal["same", "moved", "resized", "added", "removed"]


@dataclass(frozen=True)
class Moved:
    """One tensor of two files.

    Attributes:
        name: of the tensor.
        change: ``same`` bits, ``moved`` values, ``resized``, ``added`` (in the second file alone) or ``removed``.
        shape: in the second file, or where it is.
        was: shape or dtype in the first file where that differs, or "".
        rms: root of the mean squared change.
        relative: ‖b - a‖/‖a‖; None where a is 0.
        largest: largest absolute change.
        cosine: of the angle between both; None where one is 0.
    """

    name: str
    change: Change
    shape: tuple[int, ...]
    was: str = ""
    rms: float | None = None
    relative: float | None = None
    largest: float | None = None
    cosine: float | None = None


@dataclass
class Difference:
    """All tensors of two files, and where each file comes from.

    Attributes:
        first: path of the first file.
        second: path of the second.
        first_made: recipes, seed and versions of the first; {} where it tells none.
        second_made: of the second.
        tensors: one a name.
    """

    first: str
    second: str
    first_made: dict[str, Any]
    second_made: dict[str, Any]
    tensors: list[Moved]

    @property
    def same(self) -> bool:
        """Whether every tensor has the same bits in both."""
        return all(one.change == "same" for one in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """The difference as JSON values; numbers that are not finite are text."""
        keys = ("recipes", "seed", "versions")
        return {
            "same": self.same,
            "first": {"path": self.first, **{key: self.first_made.get(key) for key in keys}},
            "second": {"path": self.second, **{key: self.second_made.get(key) for key in keys}},
            "tensors": {
                one.name: {
                    "change": one.change,
                    "shape": list(one.shape),
                    "was": one.was or None,
                    "rms": _plain(one.rms),
                    "relative": _plain(one.relative),
                    "largest": _plain(one.largest),
                    "cosine": _plain(one.cosine),
                }
                for one in self.tensors
            },
        }

    def to_json(self) -> str:
        """The difference as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of name, change, shape, RMS, relative and largest change, cosine; equal tensors are left out."""
        return [
            (
                one.name,
                f"{one.change} from {one.was}" if one.was else one.change,
                "×".join(map(str, one.shape)) or "scalar",
                *(_text(value) for value in (one.rms, one.relative, one.largest, one.cosine)),
            )
            for one in self.tensors
            if one.change != "same"
        ]

    def lines(self) -> list[str]:
        """Where each file comes from, and how many tensors are equal."""
        equal = sum(one.change == "same" for one in self.tensors)
        return [
            f"{self.first}: {_origin(self.first_made)}",
            f"{self.second}: {_origin(self.second_made)}",
            f"{equal} of {len(self.tensors)} tensors have the same bits",
        ]

    def __str__(self) -> str:
        rows = self.rows()
        head = ("tensor", "change", "shape", "rms", "relative", "largest", "cosine")
        return "\n".join([*self.lines(), *([table(head, rows)] if rows else [])])


def _origin(made: dict[str, Any]) -> str:
    recipes = made.get("recipes")
    if not recipes:
        return "says nothing of recipes"
    words = []
    for one in recipes:
        options = " ".join(f"{name}={value}" for name, value in one.get("options", {}).items())
        source = " ".join(filter(None, (one.get("distribution"), one.get("version"))))
        words.append(f"{one['id']}{f' {options}' if options else ''}{f' ({source})' if source else ''}")
    versions = ", ".join(f"{name} {number}" for name, number in made.get("versions", {}).items())
    return f"{'; '.join(words)}; seed {made.get('seed')}; {versions}"


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
