"""Sets of signals from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from initkit import NeedError
from initkit_inr.signals import as_floats, load_signal


def load_signals(path: str | Path) -> Any:
    """Read signals of one kind.

    A folder: each of its files is a signal, in the order of their names. ``.npy`` and ``.npz`` or ``.safetensors`` with
    one array: (n, *grid) or (n, *grid, channels). ``.npz`` with several arrays: a mapping, the tasks along dimension 0.

    Raises:
        NeedError: there is nothing, or it cannot be read.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise NeedError(f"signals: the folder {place} is empty")
        return [load_signal(file) for file in files]
    if not place.is_file():
        raise NeedError(f"signals: there is no file or folder {place}")
    if place.suffix.lower() == ".npz":
        try:
            with np.load(place, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError) as error:
            raise NeedError(f"signals: cannot read {place}: {' '.join(str(error).split())}") from None
        return as_floats(next(iter(found.values()))) if len(found) == 1 else found
    if place.suffix.lower() in (".npy", ".safetensors"):
        return load_signal(place)
    raise NeedError(
        f"signals: {place.name} is one signal; give a folder of such files, or an array (n, *grid, channels)"
    )
