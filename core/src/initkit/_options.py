"""Validation of a recipe's options by type and range."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping
from typing import Any

import pydantic

from initkit.errors import OptionError, did_you_mean, listed

_CONFIG = pydantic.ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


@functools.cache
def _adapters(recipe_class: type) -> dict[str, pydantic.TypeAdapter[Any]]:
    hints = typing.get_type_hints(recipe_class, include_extras=True)
    return {
        option.name: pydantic.TypeAdapter(hints[option.name], config=_CONFIG)
        for option in dataclasses.fields(recipe_class)
    }


def checked(recipe_class: type, options: Mapping[str, Any], recipe_id: str) -> dict[str, Any]:
    """Return the options with their types checked, lists turned into the tuples a field asks for.

    Args:
        recipe_class: a recipe dataclass; its field types may carry ranges as ``Annotated[float, Gt(0)]``.
        options: values by name; JSON values, tensors or callables.
        recipe_id: for messages.

    Raises:
        OptionError: an option is unknown, of the wrong type or out of range; says which.
    """
    adapters = _adapters(recipe_class)
    for name in options:
        if name not in adapters:
            raise OptionError(
                f"recipe {recipe_id} has no option {name!r}{did_you_mean(name, adapters)}; "
                f"it has {listed(adapters, 30) or 'none'}"
            )
    return {name: _check(adapters[name], name, value, recipe_id) for name, value in options.items()}


def _check(adapter: pydantic.TypeAdapter[Any], name: str, value: Any, recipe_id: str) -> Any:
    text = as_json(value)
    try:
        # Strict, so that "3" is no number and 1 no truth value; through JSON, so that a list can be a tuple.
        if text is None:
            return adapter.validate_python(value, strict=True)
        return adapter.validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise OptionError(f"recipe {recipe_id}, option {name}={value!r}: {_sentence(first['msg'])}") from None


def as_json(value: Any) -> str | None:
    """The value as canonical JSON text, or None when it is no finite JSON value."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        return json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError):
        return None


def described(value: Any) -> Any:
    """The value as it stands in reports: itself where it is JSON, else a name of what it is."""
    if as_json(value) is not None:
        return list(value) if isinstance(value, tuple) else value
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]
