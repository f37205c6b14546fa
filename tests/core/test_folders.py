"""Subjects that a plugin writes as folders."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import initkit
from initkit.plugins import registry


def test_nobody_writes_a_plain_module() -> None:
    assert initkit.folder_writer(nn.Linear(2, 2), {}) is None


def test_the_first_plugin_that_knows_the_subject_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(nn.Linear):
        pass

    module = types.ModuleType("initkit_test_folders")

    @initkit.hookimpl
    def initkit_folder(model: Any, needs: Mapping[str, Any]) -> Callable[[Path], None] | None:
        if not isinstance(model, Mine):
            return None

        def write(folder: Path) -> None:
            (folder / "words.txt").write_text(needs["words"])

        return write

    module.initkit_folder = initkit_folder  # type: ignore[attr-defined]
    found = registry()
    found.manager.register(module, name="test_folders")
    known = types.SimpleNamespace(name="test_folders", hooks=("initkit_folder",), cards=(), broken="")
    monkeypatch.setattr(found, "plugins", (*found.plugins, known))
    try:
        assert initkit.folder_writer(nn.Linear(2, 2), {}) is None
        write = initkit.folder_writer(nn.DataParallel(Mine(2, 2)), {"words": "yes"})
        assert write is not None
        write(tmp_path)
        assert (tmp_path / "words.txt").read_text() == "yes"
    finally:
        found.manager.unregister(module)
