"""Another process whose torch and numpy may not use the processor's vector instructions, to run recipes in.

The process is started once and kept. It is sent recipe, model and data by pickle, which passes through a pipe between
two processes of one user and is never a file. Modules that it cannot import, such as test files, are loaded from where
they lie.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import io
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from typing import IO, Any, NamedTuple

from initkit._recipe import Recipe


class Place(NamedTuple):
    """Where a module lies: its file, and the folders of a package."""

    file: str | None
    folders: list[str] | None


def reason_against() -> None:
    """Skip where the other process would be as this one."""
    import torch

    from initkit.testing.case import Skip

    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        raise Skip("this process uses no vector instructions")


def start() -> None:
    """Let the other process begin, which takes seconds, while this one goes on."""
    import torch

    if torch.backends.cpu.get_cpu_capability() != "DEFAULT":
        _process()


def digests(recipe: Recipe, model: Any, needs: Mapping[str, Any], seed: int) -> dict[str, str]:
    """The hashes of what a recipe writes in the other process, by tensor.

    Raises:
        Skip: recipe, model or data cannot be sent.
        AssertionError: it fails there.
    """
    from initkit.testing.case import Skip

    data = io.BytesIO()
    pickler = _Noting(data)
    try:
        pickler.dump((recipe, model, dict(needs), seed))
    except Exception as error:  # noqa: BLE001 - objects say in many ways that they cannot be pickled
        raise Skip(f"it cannot be sent to another process: {type(error).__name__}: {error}") from None
    if "__main__" in pickler.modules:
        raise Skip("what the running script defines cannot be sent to another process")
    places = {name: place for module in pickler.modules for name, place in _places(module).items()}
    kind, found = _asked(pickle.dumps((places, data.getvalue())))
    assert kind == "done", f"without vector instructions it fails: {found}"
    return dict(found)


class _Noting(pickle.Pickler):
    """Notes the modules of classes and functions that are sent by name."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        if callable(value) and hasattr(value, "__qualname__"):
            self.modules.add(value.__module__ or "builtins")
        return NotImplemented


def _places(module: str) -> dict[str, Place]:
    """Where a module and the packages around it lie."""
    parts = module.split(".")
    found = {}
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        there = sys.modules.get(name)
        if there is not None:
            folders = getattr(there, "__path__", None)
            found[name] = Place(getattr(there, "__file__", None), None if folders is None else list(folders))
    return found


@functools.cache
def _process() -> subprocess.Popen[bytes]:
    import numpy as np

    extensions: Any = np.show_config(mode="dicts")["SIMD Extensions"]
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": ",".join(extensions.get("found", [])),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-W", "ignore", "-c", "from initkit.testing.elsewhere import serve; serve()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


def _asked(request: bytes) -> tuple[str, Any]:
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    _send(process.stdin, request)
    answer = _receive(process.stdout)
    assert answer is not None, "the process without vector instructions has died"
    kind, found = pickle.loads(answer)
    return kind, found


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(struct.pack("<q", len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(8)
    return pipe.read(struct.unpack("<q", head)[0]) if len(head) == 8 else None


# --- in the other process


def serve() -> None:
    """Answer until there is nobody who asks."""
    # What recipes and libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    finder = _Finder()
    sys.meta_path.append(finder)
    while (request := _receive(sys.stdin.buffer)) is not None:
        _send(answers, pickle.dumps(_answer(finder, request)))


def _answer(finder: _Finder, request: bytes) -> tuple[str, Any]:
    import initkit

    try:
        places, data = pickle.loads(request)
        finder.places.update(places)
        importlib.invalidate_caches()
        recipe, model, needs, seed = pickle.loads(data)
        report = initkit.apply(model, recipe, seed=seed, **needs)
        return "done", {name: entry.hash for name, entry in report.items()}
    except BaseException as error:  # noqa: BLE001 - whatever happens is the answer
        return "failed", f"{type(error).__name__}: {error}"


class _Finder:
    """Finds modules that nobody else finds, by their places in the asking process."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """As :class:`importlib.abc.MetaPathFinder` has it."""
        place = self.places.get(name)
        if place is None:
            top, _, _ = name.rpartition(".")
            around = self.places.get(top)
            return PathFinder.find_spec(name, around.folders) if around is not None and around.folders else None
        if place.file is not None:
            return spec_from_file_location(name, place.file, submodule_search_locations=place.folders)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = list(place.folders or [])
        return spec
