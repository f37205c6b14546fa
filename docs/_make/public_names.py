"""Which public names there are, and which of them the built site says nothing of."""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

from record import ROOT

CORE = ("initkit", "initkit.testing")
MORE = ("initkit.hookspec.Initializer", "initkit.lightning.InitCallback")  # named in the guides, not at the top


def public_names() -> list[str]:
    """Every name of ``__all__`` of the core, its battery and the plugins."""
    plugins = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/src/initkit_*/__init__.py"))
    names = [
        f"{module}.{name}"
        for module in (*CORE, *plugins)
        for name in getattr(importlib.import_module(module), "__all__", ())
    ]
    return [*names, *MORE]


def documented(site: Path) -> set[str]:
    """The names that a built site documents, from the inventory that it holds."""
    data = (site / "objects.inv").read_bytes()
    # Four lines of text, then a compressed list: name, kind, priority, address, title.
    body = data.split(b"\n", 4)[4]
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode("utf-8").splitlines() if line}


def undocumented(site: Path, names: list[str] | None = None) -> list[str]:
    """The public names that a built site says nothing of."""
    there = documented(site)
    return [name for name in (public_names() if names is None else names) if name not in there]
