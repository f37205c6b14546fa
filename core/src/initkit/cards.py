"""Cards: what a plugin says of a recipe without importing it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from initkit.errors import PluginError
from initkit.offered import Need, Offered

if TYPE_CHECKING:
    from initkit._recipe import Recipe

__all__ = ["Card", "Need"]


@dataclass(frozen=True, repr=False)
class Card(Offered):
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

    KIND: ClassVar[str] = "recipe"
    PLACE: ClassVar[str] = "module:Class"

    name: str
    target: str
    summary: str
    needs: Sequence[Need | str] = ()
    bits: Literal["elementwise", "machine"] = "elementwise"
    layers_from: Sequence[str] = ()
    plugin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in ("elementwise", "machine"):
            raise PluginError(f"recipe {self.name!r}: bits must be 'elementwise' or 'machine', not {self.bits!r}")
        if isinstance(self.layers_from, str):
            raise PluginError(f"recipe {self.name!r}: layers_from is a sequence of package names, not one text")
        object.__setattr__(self, "layers_from", tuple(self.layers_from))

    def load(self) -> type[Recipe]:
        """Import the recipe's class.

        Raises:
            PluginError: the module cannot be imported, or holds no such recipe.
        """
        found = self.found()
        from initkit._recipe import Recipe

        if not (isinstance(found, type) and issubclass(found, Recipe)):
            raise PluginError(f"recipe {self.id}: {self.target} is no subclass of initkit.Recipe")
        return found

    def claims(self, model: Any) -> list[str]:
        """Names of the tensors of ``model`` that the recipe could fill, by types and shapes alone."""
        if self.layers_from and not any(package in sys.modules for package in self.layers_from):
            return []
        return list(self.load().claims(model))
