"""What ``initkit --version`` says, read from the installed metadata without importing anything heavy."""

from __future__ import annotations

import importlib.metadata

from initkit.plugins import registry


def versions() -> list[tuple[str, str]]:
    """Distribution and version of the core, the command line, each plugin and torch."""
    names = ["initkit-core", "initkit-cli"]
    found = [(name, importlib.metadata.version(name)) for name in names]
    for plugin in registry().plugins:
        note = " (broken: see initkit plugins)" if plugin.broken else ""
        found.append((plugin.distribution, f"{plugin.version}{note}"))
    try:
        found.append(("torch", importlib.metadata.version("torch")))
    except importlib.metadata.PackageNotFoundError:
        found.append(("torch", "not installed"))
    return list(dict.fromkeys(found))
