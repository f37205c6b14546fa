"""``--plugin`` and ``--recipe``: from words to cards, in the order of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from initkit.errors import InitError, did_you_mean, listed
from initkit_cli.failures import UsageError
from initkit_cli.known import KNOWN, known
from initkit_cli.plugin_paths import adopted

_FLAGS = frozenset({"--dry-run", "--json", "--force", "--strict", "--trace", "--help", "-h"})


class Registry(Protocol):
    """What is read of the core's registry."""

    @property
    def plugins(self) -> Sequence[Any]:
        """The installed plugins, broken ones included."""
        ...

    def plugin(self, name: str) -> Any:
        """The working plugin of a name; an InitError tells why a broken one is."""
        ...

    def cards(self) -> list[Any]:
        """All cards."""
        ...


@dataclass(frozen=True)
class Choice:
    """A recipe of a plugin; an empty ``recipe`` is the plugin's default, which depends on the model."""

    plugin: str
    recipe: str = ""


def mentions(words: Sequence[str], plugins: Sequence[str], recipes: Sequence[str]) -> list[tuple[str, str]]:
    """The ``--plugin`` and ``--recipe`` of a command line in their order, as ``("plugin", "gnn")``.

    Args:
        words: the command line.
        plugins: values of ``--plugin`` as the parser found them, paths turned into names.
        recipes: values of ``--recipe`` likewise.
    """
    found: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in ("--plugin", "--recipe"):
            given = value if equals else next(rest, "")
            found.append((flag[2:], adopted(given) if flag == "--plugin" else given))
        elif word.startswith("-") and not equals and word not in _FLAGS:
            next(rest, None)  # the option's value, which may look like anything
    by_parser = (list(plugins), list(recipes))
    seen = tuple([value for kind, value in found if kind == wanted] for wanted in ("plugin", "recipe"))
    if seen == by_parser:
        return found
    return [*(("plugin", name) for name in plugins), *(("recipe", name) for name in recipes)]


def choose(registry: Registry, said: Iterable[tuple[str, str]]) -> list[Choice]:
    """Turn mentions into recipes, in order.

    A short recipe name belongs to the plugin before it, else to the only named plugin that has it. A plugin without
    a recipe of its own adds its default, where it stands.

    Raises:
        UsageError: a plugin or recipe is unknown, not installed or ambiguous, or none is given.
        InitError: a plugin is broken.
    """
    said = list(said)
    named = list(dict.fromkeys(name for kind, name in said if kind == "plugin"))
    for name in named:
        find_plugin(registry, name)
    found: list[Choice] = []
    current = ""
    for kind, word in said:
        if kind == "plugin":
            current = word
            found.append(Choice(word))
        else:
            found.append(_recipe(registry, word, current, named))
    with_own = {choice.plugin for choice in found if choice.recipe}
    defaults: set[str] = set()
    chosen = []
    for choice in found:
        if not choice.recipe:
            if choice.plugin in with_own or choice.plugin in defaults:
                continue
            defaults.add(choice.plugin)
        chosen.append(choice)
    if not chosen:
        names = [plugin.name for plugin in registry.plugins]
        there = f"installed are {listed(names)}" if names else "no plugin is installed: see initkit list"
        raise UsageError(f"say what to apply: --plugin NAME or --recipe PLUGIN/NAME; {there}")
    return chosen


def choose_named(registry: Registry, said: Iterable[tuple[str, str]]) -> list[Choice]:
    """The recipes that are named, in order; a plugin alone adds none.

    Raises:
        UsageError, InitError: as :func:`choose`.
    """
    said = list(said)
    if not any(kind == "recipe" for kind, _ in said):
        for _, name in said:
            find_plugin(registry, name)
        return []
    return [choice for choice in choose(registry, said) if choice.recipe]


def find_plugin(registry: Registry, name: str) -> Any:
    """The plugin of a name.

    Raises:
        UsageError: it is not installed; says how to install it, or what is near.
        InitError: it is broken; says why.
    """
    names = [plugin.name for plugin in registry.plugins]
    if name in names:
        return registry.plugin(name)
    selection = os.environ.get("INITKIT_PLUGINS")
    selected = "" if selection is None else f" (INITKIT_PLUGINS={selection} selects the plugins that are seen)"
    entry = known(name)
    if entry is not None:
        raise UsageError(f"plugin {name!r} is not installed{selected}; install it with: {entry.install}")
    near = did_you_mean(name, [*names, *(entry.name for entry in KNOWN)])
    there = f"installed are {listed(names)}" if names else "no plugin is installed"
    raise UsageError(f"there is no plugin {name!r}{near}; {there}{selected}")


def find_card(registry: Registry, name: str, whose: str | None = None) -> Any:
    """The card of a full id, or of a short name that only one plugin has.

    Args:
        registry: of the plugins.
        name: of the recipe.
        whose: the plugin to look in; None looks in all.

    Raises:
        UsageError: there is none, or several.
        InitError: its plugin is broken.
    """
    plugin, slash, _ = name.partition("/")
    if slash:
        return _card_of(find_plugin(registry, plugin), name)
    if whose is not None:
        return _card_of(find_plugin(registry, whose), f"{whose}/{name}")
    same = [card for card in registry.cards() if card.name == name]
    if len(same) == 1:
        return same[0]
    if same:
        raise UsageError(
            f"several plugins have a recipe {name!r}: {listed(card.id for card in same)}; give the full id"
        )
    raise _no_recipe(name, registry.cards())


def default_card(plugin: Any, model: Any) -> Any:
    """The first card of a plugin that finds tensors of its kind in the model.

    Raises:
        InitError: none does.
    """
    for card in plugin.cards:
        if card.claims(model):
            return card
    ids = listed(card.id for card in plugin.cards)
    raise InitError(
        f"plugin {plugin.name!r}: none of its recipes finds a layer of its kind in {type(model).__name__} "
        f"(tried {ids or 'none'}); if you know better, name one with --recipe"
    )


def _recipe(registry: Registry, word: str, current: str, named: Sequence[str]) -> Choice:
    plugin, slash, _ = word.partition("/")
    if slash:
        return Choice(plugin, _card_of(find_plugin(registry, plugin), word).name)
    if current:
        return Choice(current, _card_of(find_plugin(registry, current), f"{current}/{word}").name)
    owners = [name for name in named if any(card.name == word for card in find_plugin(registry, name).cards)]
    if len(owners) == 1:
        return Choice(owners[0], word)
    if owners:
        raise UsageError(
            f"recipe {word!r}: several plugins have it; write {listed(f'{name}/{word}' for name in owners)}"
        )
    raise _no_recipe(word, registry.cards())


def _card_of(plugin: Any, recipe_id: str) -> Any:
    name = recipe_id.partition("/")[2]
    for card in plugin.cards:
        if card.name == name:
            return card
    names = [card.name for card in plugin.cards]
    has = f"it has {listed(names, 30)}" if names else "it has none"
    raise UsageError(f"plugin {plugin.name!r} has no recipe {name!r}{did_you_mean(name, names)}; {has}")


def _no_recipe(word: str, cards: Sequence[Any]) -> UsageError:
    same = [card.id for card in cards if card.name == word]
    if same:
        return UsageError(f"recipe {word!r} has no plugin before it: write --recipe {same[0]}")
    near = did_you_mean(word, [word for card in cards for word in (card.id, card.name)])
    return UsageError(f"there is no recipe {word!r}{near}; see initkit list")
