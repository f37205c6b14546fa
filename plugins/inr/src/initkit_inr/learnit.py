"""Checkpoints of learnit (Tancik et al.): SIREN's parameters as arrays, read without running any code in them."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from initkit import FileError
from initkit_inr.conventions import Convention
from initkit_inr.start_facts import StartFacts

OMEGA = 200.0
# arange(178)/178 along each axis, ij
CONVENTION = Convention((0.0, 0.0), (177 / 178, 177 / 178), (1 / 178, 1 / 178), "ij")
# In the authors' experiment on faces: MAML with two steps, and a network that adds 0.5.
ABOUT = {"method": "maml", "inner_steps": 2, "inner_lr": 1e-2, "output_offset": [0.5]}

_NAME = re.compile(r"(?:^|[|/])siren_layer(?:_(\d+))?[|/].*\b([wb])$")
# What numpy pickles an array with; the module's name has changed between its versions.
_RECONSTRUCT, _SCALAR = np.zeros(0).__reduce__()[0], np.float32(0).__reduce__()[0]
_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
}


def read_learnit(path: str | os.PathLike[str]) -> list[tuple[Tensor, Tensor]]:
    """Weights (n_out, n_in) and biases (n_out,) of a SIREN in forward order.

    Args:
        path: learnit's own pickle, or its arrays in an ``.npz`` file.

    Raises:
        FileError: the file holds anything but arrays in haiku's mappings, or no SIREN.
    """
    arrays = _npz(path) if zipfile.is_zipfile(path) else _pickle(path)
    layers: dict[int, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        found = _NAME.search(name)
        if found:
            layers.setdefault(int(found[1] or 0), {})[found[2]] = torch.from_numpy(np.array(array, dtype=np.float32))
    pairs = []
    for index in range(len(layers)):
        layer = layers.get(index, {})
        if set(layer) != {"w", "b"} or layer["w"].ndim != 2 or layer["b"].shape != layer["w"].shape[1:]:
            raise FileError(f"cannot read {path}: its layer {index} is no weight (in, out) with a bias (out,)")
        pairs.append((layer["w"].T.contiguous(), layer["b"]))
    if len(pairs) < 2:
        raise FileError(f"cannot read {path}: it holds no SIREN of learnit ({len(arrays)} arrays, none 'siren_layer')")
    return pairs


def facts_of(pairs: list[tuple[Tensor, Tensor]]) -> StartFacts:
    """What is known of a SIREN of learnit."""
    network = [
        {
            "weight": f"{i}.weight",
            "shape": list(weight.shape),
            "activation": "none" if i == len(pairs) - 1 else f"sine:{OMEGA:g}",
        }
        for i, (weight, _) in enumerate(pairs)
    ]
    return StartFacts(dict(ABOUT), CONVENTION, network)


def _npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read {path}: it is no sound .npz file of arrays ({_line(error)})") from None


def _pickle(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return dict(_flat(_Reader(file).load(), ""))
    except (pickle.UnpicklingError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise FileError(f"cannot read {path}: {_line(error)}") from None
    except (IndexError, MemoryError, OverflowError, UnicodeDecodeError) as error:  # what broken pickles raise too
        raise FileError(f"cannot read {path}: it is no sound pickle ({_line(error)})") from None


class _FlatMapping(dict[str, Any]):
    """Stands in for haiku's immutable mapping."""

    def __setstate__(self, state: Any) -> None:
        held = state.get("_mapping") if isinstance(state, Mapping) else None
        if not isinstance(held, Mapping):
            raise pickle.UnpicklingError("a mapping of haiku in an unknown form; convert it to arrays in an .npz file")
        self.update(held)


class _Reader(pickle.Unpickler):
    """Makes arrays and mappings; anything else that a pickle could call is refused."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        """Numpy's arrays, haiku's mapping and ``OrderedDict``."""
        if (module, name) in _ARRAYS:
            return _ARRAYS[module, name]
        if module.startswith("haiku.") and name in ("FlatMapping", "FlatMap", "frozendict"):
            return _FlatMapping
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(
            f"it wants to call {module}.{name}; only arrays in mappings are read from a pickle (convert others to .npz)"
        )


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}|{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}|{index}" if path else str(index))
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield path, value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
