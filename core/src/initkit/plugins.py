"""Discovery: find the installed plugins, and keep a broken one from harming the others."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy

from initkit._plugin_files import Source, source_of
from initkit._trace import loading, tell_hook_calls
from initkit.cards import Card
from initkit.errors import PluginError, did_you_mean, listed
from initkit.hookspec import PROJECT, Initializer
from initkit.probes import Probe

GROUP = "initkit"
SELECT = "INITKIT_PLUGINS"
"""Environment variable: names of the plugins that are seen, with commas between; empty text selects none."""
STRICT = "INITKIT_STRICT"
"""Environment variable: with ``1`` a broken plugin stops everything."""
TRACE = "INITKIT_TRACE"
"""Environment variable: with ``1`` every hook call is printed to stderr."""


@dataclass(frozen=True)
class Plugin:
    """One plugin; ``cause`` says why it is broken, None when it works; ``path`` is set if it is not installed."""

    name: str
    module: str
    distribution: str
    version: str
    cards: tuple[Card, ...] = ()
    hooks: tuple[str, ...] = ()
    cause: str | None = None
    path: str | None = None

    @property
    def broken(self) -> bool:
        """Whether the plugin cannot be used."""
        return self.cause is not None


@dataclass
class Registry:
    """The plugins of this process, and the pluggy manager that calls their hooks."""

    manager: pluggy.PluginManager
    plugins: tuple[Plugin, ...] = field(default=())

    def cards(self) -> list[Card]:
        """Cards of every working plugin, in order of plugin name and then of preference."""
        return [card for plugin in self.plugins for card in plugin.cards]

    def plugin(self, name: str) -> Plugin:
        """Return a working plugin.

        Raises:
            PluginError: it is not installed, or broken.
        """
        for plugin in self.plugins:
            if plugin.name == name:
                if plugin.cause is not None:
                    raise PluginError(
                        f"plugin {name!r} ({plugin.distribution} {plugin.version}) is broken: {plugin.cause}"
                    )
                return plugin
        names = [plugin.name for plugin in self.plugins]
        there = f"installed are {listed(names)}" if names else "no plugin is installed"
        raise PluginError(f"plugin {name!r} is not installed{did_you_mean(name, names)}; {there}")

    def card(self, recipe_id: str) -> Card:
        """Return the card of ``"plugin/name"``.

        Raises:
            PluginError: there is no such recipe, or its plugin is broken.
        """
        plugin_name, slash, name = recipe_id.partition("/")
        if not slash:
            ids = [card.id for card in self.cards()]
            same = [card.id for card in self.cards() if card.name == recipe_id]
            hint = f"; did you mean {same[0]!r}?" if same else did_you_mean(recipe_id, ids)
            raise PluginError(f"recipe {recipe_id!r}: a recipe's id reads 'plugin/name'{hint}")
        plugin = self.plugin(plugin_name)
        for card in plugin.cards:
            if card.name == name:
                return card
        names = [card.name for card in plugin.cards]
        raise PluginError(
            f"plugin {plugin_name!r} has no recipe {name!r}{did_you_mean(name, names)}; it has {listed(names, 30)}"
        )

    def probes(self) -> tuple[list[Probe], dict[str, str]]:
        """Probes of every working plugin, in order of plugin name; and the plugins whose hook fails, with the cause."""
        found: list[Probe] = []
        faults: dict[str, str] = {}
        for plugin in self.plugins:
            if "initkit_probes" not in plugin.hooks:
                continue
            try:
                for probe in self.ask(plugin, "initkit_probes")[0]:
                    if not isinstance(probe, Probe):
                        raise TypeError(f"it must return initkit.Probe objects, but holds {type(probe).__name__}")
                    found.append(replace(probe, plugin=plugin.name))
            except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
                faults[plugin.name] = _cause("initkit_probes fails", error)
        return found, faults

    def ask(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        """Call a hook of one plugin alone, so that a failing one does not stop the others.

        Returns:
            What pluggy gives: the result of a hook whose first result wins, else a list of results.
        """
        others = [module for name, module in self.manager.list_name_plugin() if name != plugin.name]
        return self.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)

    def add(self, path: str) -> Plugin:
        """Take up a plugin that is not installed, for this process: a file with hooks and recipes, or a folder.

        Args:
            path: of a Python file, whose name is the plugin's; or of a folder that holds ``plugin.py``,
                ``src/PACKAGE/plugin.py`` or ``PACKAGE/plugin.py``.

        Raises:
            PluginError: there is no plugin at the path, or it is broken, or its name is taken.
        """
        source = source_of(path)
        for plugin in self.plugins:
            if plugin.name == source.name:
                if plugin.module == source.module and plugin.distribution == source.label:
                    return plugin
                raise PluginError(
                    f"plugin {path}: a plugin named {source.name!r} is there already, from {plugin.distribution} "
                    f"{plugin.version}; give this one another name"
                )
        bare = Plugin(source.name, source.module, source.label, source.version, path=str(source.place))
        plugin = _load(self.manager, bare, source)
        if plugin.cause is not None:
            raise PluginError(f"plugin {path} is broken: {plugin.cause}")
        self.plugins = tuple(sorted((*self.plugins, plugin), key=lambda one: one.name))
        return plugin

    def card_of(self, target: str) -> Card | None:
        """The card whose target is ``"module:Class"``, if an installed plugin has one."""
        return next((card for card in self.cards() if card.target == target), None)


def recipes() -> list[Card]:
    """Return the cards of every installed recipe, ordered by plugin and then by preference."""
    return registry().cards()


@functools.cache
def registry() -> Registry:
    """Discover the installed plugins once a process.

    ``INITKIT_PLUGINS=a,b`` selects plugins by name; empty text selects none. A plugin that cannot be used is kept
    in the list with its cause and leaves every other plugin working; ``INITKIT_STRICT=1`` makes it an error.
    ``INITKIT_TRACE=1`` prints hook calls.

    Raises:
        PluginError: a plugin that is selected is not installed, or one is broken and that is to stop everything.
    """
    found = discover(_entry_points())
    broken = [plugin for plugin in found.plugins if plugin.broken]
    if broken and _is_set(STRICT):
        causes = "; ".join(f"{one.name} ({one.distribution} {one.version}): {one.cause}" for one in broken)
        raise PluginError(f"{STRICT} is set, and there are broken plugins: {causes}")
    return found


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def discover(entry_points: Iterable[importlib.metadata.EntryPoint]) -> Registry:
    """Load each entry point on its own and check what it gives."""
    points = sorted(entry_points, key=lambda point: (point.name, point.value, _distribution(point)[0]))
    counts = Counter(point.name for point in points)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Initializer)
    if _is_set(TRACE):
        tell_hook_calls(manager)
    found = []
    for point in points:
        distribution, version = _distribution(point)
        plugin = Plugin(point.name, point.value, distribution, version)
        if counts[point.name] > 1:
            rivals = sorted({" ".join(_distribution(other)) for other in points if other.name == point.name})
            cause = f"several distributions offer a plugin {point.name!r}: {', '.join(rivals)}; uninstall all but one"
            found.append(replace(plugin, cause=cause))
        else:
            found.append(_load(manager, plugin, point))
    return Registry(manager, tuple(found))


def _entry_points() -> Sequence[importlib.metadata.EntryPoint]:
    points = tuple(importlib.metadata.entry_points(group=GROUP))
    selection = os.environ.get(SELECT)
    if selection is None:
        return points
    wanted = {name.strip() for name in selection.split(",") if name.strip()}
    unknown = wanted - {point.name for point in points}
    if unknown:
        known = sorted({point.name for point in points})
        raise PluginError(
            f"{SELECT} names {listed(sorted(unknown))}, which is not installed"
            f"{did_you_mean(min(unknown), known)}; installed are {listed(known) or 'none'}"
        )
    return tuple(point for point in points if point.name in wanted)


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist is not None else ("unknown", "unknown")


def _load(manager: pluggy.PluginManager, plugin: Plugin, point: importlib.metadata.EntryPoint | Source) -> Plugin:
    try:
        with loading(plugin.name, plugin.module, told=_is_set(TRACE)):
            module = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
        return replace(plugin, cause=_cause("import fails", error))
    try:
        manager.register(module, name=plugin.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        if manager.is_registered(module):
            manager.unregister(module)
        return replace(plugin, cause=_cause("does not fit the hook specification", error))
    try:
        cards = _cards(manager, module, plugin.name)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        manager.unregister(module)
        return replace(plugin, cause=_cause("initkit_recipes fails", error))
    hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(module) or ()))
    return replace(plugin, cards=cards, hooks=hooks)


def _cards(manager: pluggy.PluginManager, module: Any, name: str) -> tuple[Card, ...]:
    others = [other for other in manager.get_plugins() if other is not module]
    results = manager.subset_hook_caller("initkit_recipes", remove_plugins=others)()
    if not results:
        raise PluginError("the module has no function initkit_recipes marked with @hookimpl")
    cards = results[0]
    if isinstance(cards, (str, bytes, dict)) or not isinstance(cards, Iterable):
        raise PluginError(f"it must return a list of initkit.Card, not {type(cards).__name__}")
    cards = list(cards)
    for card in cards:
        if not isinstance(card, Card):
            raise PluginError(f"it must return a list of initkit.Card, but holds {type(card).__name__}")
    twice = [card_name for card_name, count in Counter(card.name for card in cards).items() if count > 1]
    if twice:
        raise PluginError(f"two cards share the name {twice[0]!r}")
    return tuple(replace(card, plugin=name) for card in cards)


def _cause(what: str, error: BaseException) -> str:
    words = " ".join(str(error).split()) or "no message"
    place = _place(error)
    if isinstance(error, SyntaxError):
        words = error.msg
    return f"{what}: {type(error).__name__}: {words}{place}"


def _place(error: BaseException) -> str:
    """Where in the plugin's own code an error was raised: `` (file.py, line 3)``; "" where it was not there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({os.path.basename(error.filename)}, line {error.lineno})"
    ours = (os.path.dirname(__file__), os.path.dirname(pluggy.__file__), os.path.dirname(importlib.__file__))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(("<", *ours)):
            return f" ({os.path.basename(frame.filename)}, line {frame.lineno})"
    return ""
