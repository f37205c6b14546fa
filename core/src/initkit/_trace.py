"""Print what plugins are asked and how long they take, for who writes one."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pluggy

_LONGEST = 60


@contextlib.contextmanager
def loading(name: str, module: str, *, told: bool) -> Iterator[None]:
    """Tell how long loading a plugin's module takes, whether it works or not."""
    start = time.perf_counter()
    try:
        yield
    finally:
        if told:
            _say(f"load {name} from {module}", start)


def tell_hook_calls(manager: pluggy.PluginManager) -> None:
    """Print every hook call to stderr: arguments, who was asked, what came back, how long it took."""
    starts: list[float] = []

    def before(hook: str, implementations: Any, arguments: Mapping[str, Any]) -> None:
        starts.append(time.perf_counter())

    def after(outcome: Any, hook: str, implementations: Any, arguments: Mapping[str, Any]) -> None:
        given = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
        asked = ", ".join(one.plugin_name for one in reversed(implementations)) or "nobody"
        error = outcome.exception
        found = (
            f"raises {type(error).__name__}: {_cut(str(error))}" if error is not None else _count(outcome.get_result())
        )
        _say(f"{hook}({given}) asks {asked}: {found}", starts.pop())

    manager.add_hookcall_monitoring(before, after)


def _say(text: str, start: float) -> None:
    print(f"trace: {text} [{1000 * (time.perf_counter() - start):.2f} ms]", file=sys.stderr)


def _count(result: Any) -> str:
    """What came back: of a list of lists, how many each holds."""
    if result is None:
        return "nothing"
    if not isinstance(result, list):
        return _short(result)
    if not result:
        return "nothing"
    sizes = [str(len(one)) if isinstance(one, (list, tuple)) else _short(one) for one in result]
    return f"{len(result)} result{'s' if len(result) > 1 else ''} ({', '.join(sizes)})"


def _short(value: Any) -> str:
    if isinstance(value, (str, int, float, bool)):
        return _cut(repr(value))
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
