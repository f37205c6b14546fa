"""Probes: what a plugin says of a measurement without importing it, and what a measurement yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from initkit.errors import PluginError
from initkit.offered import Need, Offered

Level = Literal["PASS", "NOTE", "WARN", "FAIL"]
LEVELS: tuple[Level, ...] = ("PASS", "NOTE", "WARN", "FAIL")


@dataclass(frozen=True, repr=False)
class Probe(Offered):
    """A measurement that ``initkit inspect`` offers: its name, home and one-line summary, readable without torch.

    The function is called with a :class:`~initkit.probing.scene.Scene` and the needs that it names as keyword-only
    arguments, and yields :class:`Table` and :class:`Verdict`. A function that yields nothing found nothing of its
    kind in the model. It never changes the model.

    Example::

        def smoothing(scene, *, graph):
            yield Table("smoothing", rows=[{"layer": name, "energy": energy} for name, energy in ...])
            yield Verdict("WARN", "node states become equal after 6 layers")

    Args:
        name: short snake_case name; the probe's id is ``plugin/name``.
        target: ``"module:function"``.
        summary: one line.
        needs: data asked for, as names (``"graph?"`` is optional) or :class:`Need`.

    Raises:
        PluginError: a field is malformed.
    """

    KIND: ClassVar[str] = "probe"
    PLACE: ClassVar[str] = "module:function"

    name: str
    target: str
    summary: str
    needs: Sequence[Need | str] = ()
    plugin: str = field(default="", compare=False)

    def load(self) -> Callable[..., Any]:
        """Import the function.

        Raises:
            PluginError: the module cannot be imported, or holds no such function.
        """
        found = self.found()
        if not callable(found):
            raise PluginError(f"probe {self.id}: {self.target} is no function")
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Plot:
    """How a table is drawn.

    Args:
        kind: ``line`` (by ``x``, or by the order of the rows), ``scatter``, ``bars``, or ``histogram`` (``x`` the left
            edges of equal bins, ``y`` the counts).
        x: column of the horizontal axis.
        y: columns of the vertical axis.
        group: column whose values tell series apart.
        log: axes with a logarithmic scale: ``"x"``, ``"y"``.
        equal: whether both axes have one scale, as for points of the complex plane.
        labels: words for the axes and columns in place of the columns' names.
    """

    kind: Literal["line", "scatter", "bars", "histogram"]
    x: str
    y: Sequence[str]
    group: str = ""
    log: Sequence[str] = ()
    equal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows that a probe found.

    Args:
        name: unique within the probe; two inspections are laid side by side by it.
        rows: dicts of JSON values with equal keys. The first column names the row.
        words: one line that says what is shown.
        plot: how it is drawn; None where a drawing would not help.
        compare: columns shown before and after a recipe; () takes the plot's ``y``.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    words: str = ""
    plot: Plot | None = None
    compare: Sequence[str] = ()

    def drawn(self) -> dict[str, Any] | None:
        """How it is drawn, as JSON values, or None."""
        plot = self.plot
        if plot is None:
            return None
        return {
            "kind": plot.kind,
            "x": plot.x,
            "y": list(plot.y),
            "group": plot.group or None,
            "log": list(plot.log),
            "equal": plot.equal,
            "labels": dict(plot.labels),
        }

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order of the first row that has them."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns of ``compare``, else those that are drawn."""
        return tuple(self.compare) or (tuple(self.plot.y) if self.plot is not None else ())


@dataclass(frozen=True)
class Verdict:
    """What a measurement means, in plain words.

    Args:
        level: ``PASS``; ``NOTE``: a fact that is neither good nor bad; ``WARN``: worth a look; ``FAIL``: training will
            not start well from here.
        words: a sentence with the numbers: ``variance falls 40x over 12 layers: signal dies before the head``.
        where: name of the tensor or layer, if it is about one.
    """

    level: Level
    words: str
    where: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise PluginError(f"verdict {self.words!r}: level {self.level!r} must be one of {', '.join(LEVELS)}")

    def __str__(self) -> str:
        return f"{self.level}  {f'{self.where}: ' if self.where else ''}{self.words}"
