"""Recipes: the base class, and making one from its id."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from initkit import _options
from initkit.errors import InitError, OptionError, PlanError
from initkit.plugins import registry

if TYPE_CHECKING:
    from initkit.items import Item
    from initkit.rewriting.checkpoint import StoredModel


@dataclass(frozen=True)
class Recipe:
    """A named way to initialise one kind of layer.

    A recipe is a frozen dataclass whose fields are its options, and a method :meth:`plan` that yields items. The
    first line of its docstring is the summary on its card; a line that begins with ``Source:`` names the paper.

    Example::

        @dataclass(frozen=True)
        class Small(Recipe):
            \"\"\"Small normal weights everywhere.

            Source: this example.
            \"\"\"

            std: Annotated[float, Gt(0)] = 0.02

            def plan(self, model):
                for name, parameter in model.named_parameters():
                    if parameter.ndim > 1:
                        yield Fill(name, Normal(self.std), why="small")

    Raises:
        OptionError: an option is of the wrong type or out of range.
    """

    reads_values: ClassVar[bool] = False
    """Whether ``plan`` reads present values, so that applying the recipe twice may differ."""

    bibtex: ClassVar[str] = ""
    """The paper as a BibTeX entry, for ``initkit cite``."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Check the options by type and range; called when the recipe is made and again before its plan.

        A subclass that relates several options extends it and raises :class:`OptionError`.
        """
        raw = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        for name, value in _options.checked(type(self), raw, self.id).items():
            object.__setattr__(self, name, value)

    def plan(self, model: Any, *needs: Any, **named: Any) -> Iterator[Item]:
        """Yield what to write, reading types and shapes.

        A recipe names the data that it asks for as keyword-only arguments: ``def plan(self, model, *, graph)``.

        Args:
            model: the subject, without outer wrappers such as DDP's. Never written to.
        """
        raise NotImplementedError(f"{type(self).__name__} has no plan")

    def plan_stored(self, model: Any, stored: StoredModel, **needs: Any) -> Iterator[Item]:
        """Yield what to write into a checkpoint that stays on the disk: as it stands, what :meth:`plan` yields.

        Each tensor is made and written on its own, and jobs read tensors with ``ctx.read``. A recipe that can make a
        tensor part by part from parts of the present one extends it: it yields a draw of its own whose ``pieces`` come
        one after the other, and reads present values from ``stored.rows(name)`` by index.

        Args:
            model: the subject on the meta device, in the checkpoint's shapes and types.
            stored: its tensors in the files.
            needs: the data that :meth:`plan` asks for.

        Raises:
            PlanError: the recipe reads present values while it plans.
        """
        if self.reads_values:
            raise PlanError(
                f"recipe {self.id} reads present values while it plans, and a checkpoint is not in memory; load the "
                f"model and apply the recipe to it"
            )
        yield from self.plan(model, **needs)

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Names of the tensors that the recipe could fill, by types and shapes alone; [] when none.

        As it stands it plans with default options where the plan asks for no data; a recipe that does extends it.
        """
        from initkit.items import Fill

        try:
            made = cls()
            if needs_of(made).required:
                return []
            return [item.name for item in made.plan(model) if isinstance(item, Fill)]
        except InitError:
            return []

    @property
    def id(self) -> str:
        """``plugin/name`` when an installed plugin has a card for this class, else ``module:Class``."""
        target = f"{type(self).__module__}:{type(self).__qualname__}"
        card = registry().card_of(target)
        return card.id if card is not None else target

    def options(self) -> dict[str, Any]:
        """The options by name, as JSON values."""
        return {option.name: _options.described(getattr(self, option.name)) for option in dataclasses.fields(self)}


def recipe(recipe_id: str, **options: Any) -> Recipe:
    """Make a recipe from its id and options.

    Args:
        recipe_id: ``"plugin/name"``.
        options: the recipe's options.

    Raises:
        PluginError: no such recipe, or its plugin is broken.
        OptionError: an option is unknown, of the wrong type or out of range.
    """
    recipe_class = registry().card(recipe_id).load()
    checked = _options.checked(recipe_class, options, recipe_id)
    missing = [
        option.name
        for option in dataclasses.fields(recipe_class)
        if option.name not in checked
        and option.default is dataclasses.MISSING
        and option.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise OptionError(f"recipe {recipe_id} must be given the option {missing[0]!r}")
    return recipe_class(**checked)


@dataclass(frozen=True)
class NeedNames:
    """The data that a recipe's ``plan`` asks for."""

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Required and optional names."""
        return self.required + self.optional


def needs_of(made: Recipe) -> NeedNames:
    """Read the keyword-only arguments of the recipe's ``plan``."""
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(made.plan).parameters
    keyword_only = [p for p in parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return NeedNames(
        tuple(p.name for p in keyword_only if p.default is inspect.Parameter.empty),
        tuple(p.name for p in keyword_only if p.default is not inspect.Parameter.empty),
    )
