"""Docstrings as Markdown: roles such as ``:func:`initkit.apply``` become links, and ``::`` begins no literal block."""

from __future__ import annotations

import re
from typing import Any

import griffe
import public_names

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc|obj):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites every docstring that the site shows."""

    def __init__(self) -> None:
        super().__init__()
        self.names = set(public_names.public_names())

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"::$", ":", ROLE.sub(self._link, obj.docstring.value), flags=re.MULTILINE)

    def _link(self, role: re.Match[str]) -> str:
        name = role[1]
        return f"[`{name}`][{name}]" if name in self.names else f"`{name}`"
