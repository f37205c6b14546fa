"""What a plugin offers without importing it: the shared part of cards of recipes and of probes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from initkit.errors import PluginError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
RESERVED_NEEDS = frozenset({"model", "recipes", "seed", "device", "only", "exclude", "rollback", "progress", "self"})


@dataclass(frozen=True)
class Need:
    """Data that a recipe or a probe asks for by name.

    Args:
        name: the keyword under which ``initkit.apply`` and ``model.py`` give it.
        loader: ``"module:function"`` that reads it from a path; None takes the command line's own loaders.
        help: one line that says what it is.
        optional: whether the recipe can do without it.
    """

    name: str
    loader: str | None = None
    help: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in RESERVED_NEEDS:
            raise PluginError(
                f"need {self.name!r}: a need is a lower-case word that is none of {sorted(RESERVED_NEEDS)}"
            )
        if self.loader is not None and not _TARGET.fullmatch(self.loader):
            raise PluginError(f"need {self.name!r}: loader {self.loader!r} must read 'module:function'")

    @classmethod
    def of(cls, need: Need | str) -> Need:
        """Read ``"graph"``, ``"inputs?"`` (optional) or a :class:`Need`."""
        if isinstance(need, Need):
            return need
        return cls(need.rstrip("?"), optional=need.endswith("?"))


class Offered:
    """A name, a home and a line that says what it is; for a frozen dataclass with these fields."""

    KIND: ClassVar[str]
    """What it is the card of, for messages."""

    PLACE: ClassVar[str]
    """How its target reads: ``module:Class``."""

    name: str
    target: str
    summary: str
    needs: Sequence[Need | str]
    plugin: str

    def __post_init__(self) -> None:
        card = f"{self.KIND} {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise PluginError(f"{card}: a name is lower-case letters, digits and underscores")
        if not isinstance(self.target, str) or not _TARGET.fullmatch(self.target):
            raise PluginError(f"{card}: target {self.target!r} must read {self.PLACE!r}")
        if not isinstance(self.summary, str) or not self.summary.strip() or "\n" in self.summary:
            raise PluginError(f"{card}: summary must be one line of text")
        object.__setattr__(self, "needs", tuple(Need.of(need) for need in self.needs))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self.summary!r})"

    @property
    def id(self) -> str:
        """``plugin/name``."""
        return f"{self.plugin}/{self.name}" if self.plugin else self.name

    @property
    def asked(self) -> tuple[Need, ...]:
        """The needs."""
        return tuple(Need.of(need) for need in self.needs)

    def found(self) -> Any:
        """Import what the target names; None where the module has no such name.

        Raises:
            PluginError: the module cannot be imported.
        """
        module_name, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute, None)
        except Exception as error:
            hint = ""
            if isinstance(error, ModuleNotFoundError) and error.name:
                hint = f"; install {error.name.partition('.')[0]!r} beside the plugin"
            words = f"{type(error).__name__}: {error}{hint}"
            raise PluginError(f"{self.KIND} {self.id}: cannot import {module_name}: {words}") from error
