"""The user's file as a set of names, and the model in it."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from initkit.errors import InitError, did_you_mean, listed
from initkit_cli.failures import UsageError
from initkit_cli.usercode import user_code

BUILDERS = ("model", "build_model", "build")
"""Names that are taken for the model, the first one first."""


@dataclass(frozen=True)
class Target:
    """What a command line names: ``model.py``, ``model.py:build`` or ``package.module:build``.

    Args:
        place: the file or module, as it was written.
        builder: the name after the colon, or "".
        file: the file, absolute; None for a module.
    """

    place: str
    builder: str
    file: Path | None

    @property
    def stem(self) -> str:
        """The word that names output files."""
        return self.file.stem if self.file is not None else self.place.rpartition(".")[2]


def parse_target(text: str) -> Target:
    """Read the target's notation; a file must exist.

    Raises:
        UsageError: it names neither a file that exists nor a module.
    """
    found = re.fullmatch(r"(.+?)(?::([A-Za-z_][\w.]*))?", text, re.DOTALL)
    if found is None:
        raise UsageError("give a Python file or a module")
    place, builder = found[1], found[2] or ""
    path = Path(os.path.abspath(place))
    if path.is_dir():
        raise UsageError(f"{place} is a folder; give a Python file in it, such as {Path(place) / 'model.py'}")
    if path.is_file():
        if path.suffix != ".py":
            raise UsageError(f"{place} is no Python file: a model is given as model.py, model.py:build or module:build")
        return Target(place, builder, path)
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", place) and not place.endswith(".py"):
        return Target(place, builder, None)
    near = ""
    if path.parent.is_dir():
        near = did_you_mean(path.name, (other.name for other in path.parent.glob("*.py")))
    raise UsageError(f"there is no file {place}{near}")


@dataclass(frozen=True)
class Names:
    """The names that an executed file or module defines."""

    place: str
    module: ModuleType
    folder: Path

    @classmethod
    def none(cls) -> Names:
        """No names, where no file is given."""
        return cls("", ModuleType("initkit_no_model"), Path.cwd())

    @property
    def files(self) -> tuple[str, ...]:
        """The file that was executed."""
        file = getattr(self.module, "__file__", None)
        return (file,) if file else ()

    def get(self, name: str) -> Any:
        """The value of a name; None when there is none."""
        return getattr(self.module, name, None)

    def public(self) -> dict[str, Any]:
        """Names without a leading underscore."""
        return {name: value for name, value in vars(self.module).items() if not name.startswith("_")}

    @contextlib.contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Run the user's code: its folder is on the path and its errors are the user's."""
        with _on_path(self.folder, Path(self.place).stem), user_code(doing, self.files):
            yield


def execute(target: Target) -> Names:
    """Execute the file, or import the module, and return its names.

    Raises:
        UserCodeError: it fails.
        UsageError: there is no such module.
    """
    if target.file is None:
        return _import(target)
    name = "initkit_model_" + re.sub(r"\W", "_", target.stem)
    spec = importlib.util.spec_from_file_location(name, target.file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    names = Names(target.place, module, target.file.parent)
    with names.running(target.place):
        # Compiled here and not by the loader, which would leave a __pycache__ beside the user's file.
        code = compile(target.file.read_bytes(), str(target.file), "exec", dont_inherit=True)
        sys.modules[name] = module
        exec(code, module.__dict__)
    return names


def _import(target: Target) -> Names:
    here = Path.cwd()
    with _on_path(here, ""), user_code(target.place, ()):
        try:
            module = importlib.import_module(target.place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{target.place}.".startswith(f"{error.name}."):
                raise
            raise UsageError(f"there is neither a file nor a module {target.place!r}") from None
    return Names(target.place, module, Path(module.__file__).parent if module.__file__ else here)


@contextlib.contextmanager
def _on_path(folder: Path, stem: str) -> Iterator[None]:
    """Put a folder first on the module path; last when the file would hide an installed module of its own name.

    So ``kan.py`` can say ``from kan import KAN``.
    """
    entry = str(folder)
    hides = bool(stem) and stem.isidentifier() and _found(stem)
    sys.path.insert(len(sys.path) if hides else 0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def find_model(names: Names, builder: str, arguments: Mapping[str, Any], needs: Collection[str]) -> Any:
    """Return the model: the builder that was named, else ``model``, ``build_model``, ``build``, else the only one.

    Args:
        names: of the executed file.
        builder: the name after the colon, or "".
        arguments: what ``--set-model`` gives to a function or class.
        needs: names of data, which are no models.

    Raises:
        UsageError: no such builder, or several models to choose from, or wrong arguments.
        InitError: no model at all.
    """
    name = _named(names, builder, needs)
    return _built(names, name, _looked_up(names, name), arguments)


def find_builder(names: Names, builder: str, arguments: Mapping[str, Any], needs: Collection[str]) -> Callable[[], Any]:
    """A function that makes the model anew each time: what :func:`find_model` calls, else one that copies the value."""
    name = _named(names, builder, needs)
    value = _looked_up(names, name)
    if _builds(value):
        return functools.partial(_built, names, name, value, arguments)
    return functools.partial(copy.deepcopy, value)


def _named(names: Names, builder: str, needs: Collection[str]) -> str:
    name = builder or next((word for word in BUILDERS if _is_given(names.get(word))), "")
    return name or _only_candidate(names, needs)


def _builds(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, functools.partial)


def _is_given(value: Any) -> bool:
    return value is not None and not isinstance(value, ModuleType)


def _looked_up(names: Names, dotted: str) -> Any:
    value: Any = names.module
    for part in dotted.split("."):
        if not hasattr(value, part):
            known = names.public() if value is names.module else dir(value)
            raise UsageError(f"{names.place} has no name {dotted!r}{did_you_mean(part, known)}")
        value = getattr(value, part)
    return value


def _only_candidate(names: Names, needs: Collection[str]) -> str:
    found = _candidates(names, needs)
    if not found:
        raise InitError(
            f"{names.place} defines no model: define the name 'model' (an nn.Module, an estimator, or a function that "
            f"returns one), or name a builder: {names.place}:NAME"
        )
    if len(found) > 1:
        raise UsageError(
            f"{names.place} defines several models: {listed(found, 20)}; say which: {names.place}:{found[0]}"
        )
    return found[0]


def _candidates(names: Names, needs: Collection[str]) -> list[str]:
    """Modules and estimators among the values; where there is none, the nn.Module classes that the file defines."""
    from torch import nn

    values = {name: value for name, value in names.public().items() if name not in needs}
    distinct: dict[int, str] = {}
    for name, value in values.items():
        if isinstance(value, nn.Module) or _is_estimator(value):
            distinct.setdefault(id(value), name)
    found = list(distinct.values())
    # A loss is an nn.Module too, but holds nothing to initialise.
    holding = [name for name in found if not isinstance(values[name], nn.Module) or _holds_tensors(values[name])]
    if found:
        return holding or found
    own = names.module.__name__
    return [
        name
        for name, value in values.items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == own
    ]


def _is_estimator(value: Any) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in ("fit", "get_params"))


def _holds_tensors(module: Any) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _built(names: Names, name: str, value: Any, arguments: Mapping[str, Any]) -> Any:
    where = f"{name} of {names.place}"
    if _builds(value):
        _check_arguments(where, value, arguments)
        with names.running(f"{name}() of {names.place}"):
            value = value(**arguments)
        where = f"{name}() of {names.place}"
        if inspect.isroutine(value) or inspect.isclass(value):
            raise InitError(f"{where} returns {value!r}; it must return the model")
    elif arguments:
        raise UsageError(
            f"{where} is a value and takes no arguments; --set-model needs a function or class: {names.place}:NAME"
        )
    if value is None or isinstance(value, (ModuleType, tuple, list, dict, set, bool, int, float)):
        raise InitError(f"{where} gives {type(value).__name__}; it must be a model: an nn.Module or an estimator")
    if isinstance(value, (str, os.PathLike)):
        path = names.folder / value
        if not path.exists():
            raise InitError(f"{where} is the path {os.fspath(value)!r}, but there is no {path}")
        return path
    return value


def _check_arguments(where: str, function: Any, arguments: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C: let the call itself say what is wrong
        return
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    named = [
        p for p in parameters if p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    known = [p.name for p in named]
    for name in arguments:
        if name not in known and not free:
            takes = f"it takes {listed(known, 20)}" if known else "it takes none"
            raise UsageError(f"{where} has no argument {name!r}{did_you_mean(name, known)}; {takes}")
    missing = [p.name for p in named if p.default is inspect.Parameter.empty and p.name not in arguments]
    if missing:
        raise UsageError(f"{where} must be given {listed(missing)}: --set-model {missing[0]}=VALUE")
