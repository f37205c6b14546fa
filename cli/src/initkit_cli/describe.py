"""A recipe class in words: its options with types and ranges, its source, its BibTeX."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="), ("multiple_of", "a multiple of"))
_LENGTHS = (("min_length", "at least"), ("max_length", "at most"))


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: its type in words, its default, its range (or "")."""

    name: str
    type: str
    default: Any
    required: bool
    range: str
    takes_function: bool

    def to_dict(self) -> dict[str, Any]:
        """The option as JSON values."""
        found = {"name": self.name, "type": self.type, "range": self.range or None}
        return found | ({"required": True} if self.required else {"default": self.default})

    @property
    def shown_default(self) -> str:
        """The default as ``--set`` would give it."""
        import json

        return "(must be set)" if self.required else json.dumps(self.default, ensure_ascii=False)


def options_of(recipe_class: Any) -> list[Option]:
    """The options of a recipe class, in the order of its fields."""
    try:
        hints = typing.get_type_hints(recipe_class, include_extras=True)
    except (NameError, TypeError):  # a type that only type checkers see
        hints = {}
    found = []
    for item in dataclasses.fields(recipe_class):
        hint = hints.get(item.name, item.type)
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        required = default is dataclasses.MISSING
        found.append(
            Option(
                item.name, words(hint), None if required else _json(default), required, bounds(hint), _function(hint)
            )
        )
    return found


def words(hint: Any) -> str:
    """A type in words: ``number``, ``backward | forward``, ``list of whole number``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return words(arguments[0])
    if origin is typing.Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(words(part) for part in arguments)
    if origin in (list, tuple, set):
        if origin is tuple and Ellipsis not in arguments:
            return f"[{', '.join(map(words, arguments))}]"
        return f"list of {words(arguments[0])}" if arguments else "list"
    if origin is dict:
        return "object"
    if _function(hint):
        return "function (file.py:name)"
    if hint in _WORDS:
        return _WORDS[hint]
    return getattr(hint, "__name__", None) or str(hint)


def bounds(hint: Any) -> str:
    """A range in words: ``> 0, <= 1``; "" where there is none."""
    found: list[str] = []
    for mark in _marks(hint):
        found += [f"{sign} {value:g}" for name, sign in _BOUNDS if (value := getattr(mark, name, None)) is not None]
        found += [f"{sign} {value} long" for name, sign in _LENGTHS if (value := getattr(mark, name, None)) is not None]
    return ", ".join(dict.fromkeys(found))


def source_of(recipe_class: Any) -> str:
    """The paragraph of the docstring that begins with ``Source:``, as one line; "" where there is none."""
    lines = (inspect.getdoc(recipe_class) or "").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().startswith("Source:")), None)
    if start is None:
        return ""
    end = next((i for i in range(start, len(lines)) if not lines[i].strip()), len(lines))
    return " ".join(" ".join(lines[start:end]).split()).removeprefix("Source:").strip()


def bibtex_of(recipe_class: Any) -> list[str]:
    """The BibTeX entries of the class; [] where it has none."""
    entries = getattr(recipe_class, "bibtex", "")
    entries = (entries,) if isinstance(entries, str) else tuple(entries)
    return [inspect.cleandoc(entry).strip() for entry in entries if entry.strip()]


def _marks(hint: Any) -> list[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        marks = [part for mark in arguments[1:] for part in (mark, *getattr(mark, "metadata", ()))]
        return marks + _marks(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return [mark for part in arguments for mark in _marks(part)]
    return []


def _function(hint: Any) -> bool:
    import collections.abc

    if hint in (Callable, collections.abc.Callable) or typing.get_origin(hint) is collections.abc.Callable:
        return True
    if isinstance(hint, str):
        return "Callable" in hint
    kinds = (typing.Annotated, typing.Union, types.UnionType)
    return typing.get_origin(hint) in kinds and any(_function(part) for part in typing.get_args(hint))


def _json(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _json(part) for key, part in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"{value.__module__}:{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
