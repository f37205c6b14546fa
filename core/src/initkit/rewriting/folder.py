"""What a plugin knows of a checkpoint folder beside its tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from initkit.errors import FileError
from initkit.items import Set
from initkit.plugins import registry
from initkit.shards import INDEX

REPORT = "initkit.report.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx", ".ckpt", ".ot", ".pkl",
           ".bin.index.json", ".safetensors.index.json")  # fmt: skip
"""How the names of files with tensors end."""

Filter = Callable[[str], bool]


class CheckpointFolder:
    """A checkpoint folder: which model its tensors belong to, and what becomes of its other files.

    As it stands it knows no model, and copies the other files as they are. A plugin returns an instance of its own from
    the hook ``initkit_checkpoint`` for folders that it knows.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def model(self) -> Any:
        """The model on the meta device: names and shapes, no values.

        Raises:
            InitError: it is not known.
        """
        raise FileError(
            f"{self.path}: no installed plugin knows which model it holds; give a model.py that builds it "
            f"(in Python model=, built under torch.device('meta'))"
        )

    def needs(self) -> dict[str, Any]:
        """Data for recipes that the folder itself holds, by name; a path is read as the card of the need says."""
        return {}

    def write_others(
        self, new: Path, model: Any, sets: Sequence[Set], needs: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        """Write all files that hold no tensors into the new folder.

        Args:
            new: the folder; its tensors are there.
            model: as :meth:`model`, or as it was given; its attributes are set as the recipes said.
            sets: attributes that were set.
            needs: data of the recipes by name.

        Returns:
            Files that were left out: ``{"file": name, "why": words}``.
        """
        return copy_others(self.path, new)


def folder_of(path: Path) -> CheckpointFolder:
    """What the first plugin that knows the folder says of it, else what anybody can."""
    found = registry()
    for plugin in found.plugins:
        if "initkit_checkpoint" in plugin.hooks:
            given = found.ask(plugin, "initkit_checkpoint", folder=path)
            if given is not None:
                return given  # type: ignore[no-any-return]
    return CheckpointFolder(path)


def copy_others(old: Path, new: Path, *, skip: Filter = lambda name: False) -> list[dict[str, str]]:
    """Copy files without tensors, folders within included.

    Args:
        old: folder to copy from.
        new: folder to copy to.
        skip: whether a file of this name (at the top) is somebody else's affair.

    Returns:
        Files that were left out, since they hold old tensors in another form: ``{"file": name, "why": words}``.
    """
    left = []
    for file in _files(old):
        name = file.relative_to(old).as_posix()
        if name in (INDEX, REPORT) or skip(name) or (new / name).exists():
            continue
        if name.endswith(WEIGHTS):
            left.append({"file": name, "why": "it may hold old tensors"})
            continue
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, new / name)
    return left


def _files(folder: Path) -> Iterator[Path]:
    for one in sorted(folder.iterdir()):
        if one.is_file():
            yield one
        elif one.is_dir() and not one.name.startswith("."):
            yield from _files(one)
