"""Cards: what a plugin says of a recipe without importing it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from initkit.errors import PluginError

if TYPE_CHECKING:
    from initkit._recipe import Recipe

NAME = re.compile(r"[a-z][a-z0-9_]*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
RESERVED_NEEDS = frozenset({"model", "recipes", "seed", "device", "only", "exclude", "rollback", "progress", "self"})


@dataclass(frozen=True)
class Need:
    """Data that a recipe asks for by name.

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
        if not NAME.fullmatch(self.name) or self.name in RESERVED_NEEDS:
            raise PluginError(
                f"need {self.name!r}: a need is a lower-case word that is none of {sorted(RESERVED_NEEDS)}"
            )
        if self.loader is not None and not TARGET.fullmatch(self.loader):
            raise PluginError(f"need {self.name!r}: loader {self.loader!r} must read 'module:function'")

    @classmethod
    def of(cls, need: Need | str) -> Need:
        """Read ``"graph"``, ``"inputs?"`` (optional) or a :class:`Need`."""
        if isinstance(need, Need):
            return need
        return cls(need.rstrip("?"), optional=need.endswith("?"))


@dataclass(frozen=True, repr=False)
class Card:
    """A recipe's name, home and one-line summary, readable without torch.

    Args:
        name: short snake_case name; the recipe's id is ``plugin/name``.
        target: ``"module:Class"`` of the recipe.
        summary: one line, the first line of the recipe's docstring.
        needs: data asked for, as names (``"inputs?"`` is optional) or :class:`Need`.
        layers_from: top-level packages whose layers alone the recipe fills. While none of them has been imported no
            model can hold such a layer, and :meth:`claims` says so without importing the recipe; () asks the recipe.
        bits: ``"elementwise"`` when the same seed gives the same bits everywhere, ``"machine"`` when only on
            one machine, thread count and set of versions.

    Raises:
        PluginError: a field is malformed.
    """

    name: str
    target: str
    summary: str
    needs: Sequence[Need | str] = ()
    bits: Literal["elementwise", "machine"] = "elementwise"
    layers_from: Sequence[str] = ()
    plugin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise PluginError(f"card {self.name!r}: a recipe's name is lower-case letters, digits and underscores")
        if not isinstance(self.target, str) or not TARGET.fullmatch(self.target):
            raise PluginError(f"card {self.name!r}: target {self.target!r} must read 'module:Class'")
        if not isinstance(self.summary, str) or not self.summary.strip() or "\n" in self.summary:
            raise PluginError(f"card {self.name!r}: summary must be one line of text")
        if self.bits not in ("elementwise", "machine"):
            raise PluginError(f"card {self.name!r}: bits must be 'elementwise' or 'machine', not {self.bits!r}")
        if isinstance(self.layers_from, str):
            raise PluginError(f"card {self.name!r}: layers_from is a sequence of package names, not one text")
        object.__setattr__(self, "layers_from", tuple(self.layers_from))
        object.__setattr__(self, "needs", tuple(Need.of(need) for need in self.needs))

    def __repr__(self) -> str:
        return f"Card({self.id!r}, {self.summary!r})"

    @property
    def id(self) -> str:
        """``plugin/name``."""
        return f"{self.plugin}/{self.name}" if self.plugin else self.name

    def load(self) -> type[Recipe]:
        """Import the recipe's class.

        Raises:
            PluginError: the module cannot be imported, or holds no such recipe.
        """
        module_name, _, attribute = self.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            hint = ""
            if isinstance(error, ModuleNotFoundError) and error.name:
                hint = f"; install {error.name.partition('.')[0]!r} beside the plugin"
            raise PluginError(
                f"recipe {self.id}: cannot import {module_name}: {type(error).__name__}: {error}{hint}"
            ) from error
        found = getattr(module, attribute, None)
        from initkit._recipe import Recipe

        if not (isinstance(found, type) and issubclass(found, Recipe)):
            raise PluginError(f"recipe {self.id}: {self.target} is no subclass of initkit.Recipe")
        return found

    def claims(self, model: Any) -> list[str]:
        """Names of the tensors of ``model`` that the recipe could fill, by types and shapes alone."""
        if self.layers_from and not any(package in sys.modules for package in self.layers_from):
            return []
        return list(self.load().claims(model))
