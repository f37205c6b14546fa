"""The data that recipes ask for: from ``--data``, else from the name in the user's file."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from initkit.errors import InitError, NeedError, did_you_mean, listed
from initkit_cli import loaders
from initkit_cli.failures import UsageError
from initkit_cli.options import parse_pair
from initkit_cli.target import Names, Target, execute
from initkit_cli.usercode import headline


class Need(Protocol):
    """What is read of a card's need."""

    @property
    def name(self) -> str:
        """The keyword."""
        ...

    @property
    def loader(self) -> str | None:
        """``"module:function"``, or None."""
        ...

    @property
    def help(self) -> str:
        """What it is, in one line."""
        ...

    @property
    def optional(self) -> bool:
        """Whether the recipe can do without it."""
        ...


_IN_A_FILE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


def wanted(cards: Sequence[Any]) -> dict[str, tuple[Need, str]]:
    """The needs of some cards by name, each with the recipe that asks first; required or with a loader wins."""
    found: dict[str, tuple[Need, str]] = {}
    for card in cards:
        for need in card.needs:
            first = found.get(need.name)
            if first is None or (first[0].optional and not need.optional) or (not first[0].loader and need.loader):
                found[need.name] = (need, card.id)
    return found


def given(texts: Sequence[str]) -> dict[str, str]:
    """Read ``--data need=FILE``; the file must exist.

    Raises:
        UsageError: it is malformed, given twice, or there is no such file.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, source = parse_pair(text, "--data")
        if name in found:
            raise UsageError(f"--data {name} is given twice")
        in_a_file = _IN_A_FILE.fullmatch(source)
        path = Path(in_a_file[1] if in_a_file else source)
        if not path.exists():
            near = did_you_mean(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
            raise UsageError(f"--data {name}: there is no {path}{near}")
        if path.suffix == ".py" and in_a_file is None:
            raise UsageError(f"--data {name}: say what to take from {path}: {path}:{name}")
        found[name] = source
    return found


def check_given(data: Mapping[str, str], asked: Mapping[str, Any], recipes: Sequence[str]) -> None:
    """Refuse data that nobody asks for.

    Raises:
        UsageError: says what is asked for.
    """
    for name in data:
        if name not in asked:
            asks = f"it takes {listed(asked)}" if asked else "it takes no data"
            raise UsageError(f"--data {name}: {listed(recipes)} does not ask for it{did_you_mean(name, asked)}; {asks}")


def resolve(
    asked: Mapping[str, tuple[Need, str]],
    data: Mapping[str, str],
    names: Names,
    at_hand: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return each need's value; optional ones that nobody gives are left out.

    Args:
        asked: what is needed, and by whom.
        data: of ``--data``.
        names: of the user's file.
        at_hand: values, or paths, that are taken where neither says anything.

    Raises:
        NeedError: one that is required is missing; says which name to define.
        UserCodeError: the user's function fails.
    """
    found: dict[str, Any] = {}
    for name, (need, recipe) in asked.items():
        value = _from_data(need, data[name]) if name in data else _from_names(need, names)
        if value is None:
            value = _own(need, (at_hand or {}).get(name))
        if value is not None:
            found[name] = value
        elif not need.optional:
            about = f" ({need.help})" if need.help else ""
            define = f"define the name {name!r} in {names.place} (a value, a function that returns it, or a path), or "
            raise NeedError(
                f"recipe {recipe} needs {name!r}{about}: {define if names.place else ''}give --data {name}=FILE"
            )
    return found


def _from_data(need: Need, source: str) -> Any:
    in_a_file = _IN_A_FILE.fullmatch(source)
    if in_a_file is None:
        return _loaded(need, Path(source), source)
    names = execute(Target(in_a_file[1], "", Path(os.path.abspath(in_a_file[1]))))
    name = in_a_file[2]
    if not hasattr(names.module, name):
        near = did_you_mean(name, names.public())
        raise UsageError(f"--data {need.name}: {in_a_file[1]} has no name {name!r}{near}")
    return _value(need, names, name)


def _own(need: Need, value: Any) -> Any:
    return _loaded(need, value, "the checkpoint") if isinstance(value, Path) else value


def _from_names(need: Need, names: Names) -> Any:
    return _value(need, names, need.name)


def _value(need: Need, names: Names, name: str) -> Any:
    value = names.get(name)
    if inspect.isfunction(value) and not _required(value):
        with names.running(f"{name}() of {names.place}"):
            value = value()
    if isinstance(value, Path) or (isinstance(value, str) and _reads_as_path(value, need, names.folder)):
        return _loaded(need, names.folder / value, f"{name} of {names.place}")
    return value


def _required(function: Any) -> list[str]:
    """Arguments that a function must be given. One that has some is a value itself, such as a signal to be fitted."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def _reads_as_path(text: str, need: Need, folder: Path) -> bool:
    if need.loader is not None or Path(text).suffix.lower() in loaders.READERS:
        return True
    try:
        return (folder / text).exists()
    except (OSError, ValueError):  # too long for a path: it is a text
        return False


def _loaded(need: Need, path: Path, where: str) -> Any:
    if not path.exists():
        raise NeedError(f"need {need.name!r}: {where} names {path}, which does not exist")
    try:
        return loaders.load(path, need.loader, need.name)
    except InitError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        # A card's own loader met a file that is not what it reads.
        raise NeedError(f"need {need.name!r}: {need.loader} cannot read {path}: {headline(error)}") from error
