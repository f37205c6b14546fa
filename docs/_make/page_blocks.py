"""The code blocks of a page, and what is wrong with those that no test runs."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from record import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A comment before a block that is not run says why.
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?"
    r"(?P<indent> *)```(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
GENERATED = re.compile(r"\]\]\]-->.*?<!--\[\[\[end\]\]\]-->", re.DOTALL)
COG = re.compile(r"<!--\[\[\[cog.*?\]\]\]-->", re.DOTALL)
COMMAND = re.compile(r"^\s*(\$|pip|initkit|make|python|git|pytest|torchrun|mkdocs) ", re.MULTILINE)
RUN = ("python", "console")  # by tests/docs
CHECKED = "checked, not run: "
NOT_RUN = "not run: "
RUN_BY = "run by "  # a test of the page's own


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: after the fence.
        rest: what stands behind the language, such as ``title="pyproject.toml"``.
        text: of the block, without the indentation of a list.
        mark: of the comment before it, or "".
        generated: whether the docs' generators made it, whose freshness is tested.
    """

    language: str
    rest: str
    text: str
    mark: str
    generated: bool

    @property
    def runs(self) -> bool:
        """Whether a test runs it: no file of its own, and no comment that says why it cannot run."""
        return self.language in RUN and "title=" not in self.rest and not self.mark.startswith((CHECKED, NOT_RUN))

    @property
    def commands(self) -> list[str]:
        """The lines that call a command."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks_of(path: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    text = path.read_text(encoding="utf-8")
    text = COG.sub(lambda found: "]]]-->".rjust(len(found[0])), text)
    made = [found.span() for found in GENERATED.finditer(text)]
    for found in BLOCK.finditer(text):
        generated = any(begin <= found.start("language") < end for begin, end in made)
        body = textwrap.dedent(found["text"])
        yield Block(found["language"], found["rest"].strip(), body, found["mark"] or "", generated)


def problem_of(block: Block) -> str | None:
    """Why a block is nothing that a reader can trust, or None."""
    if block.runs or block.generated or block.language == "math":
        return None
    if block.mark.startswith(RUN_BY):
        test = ROOT / block.mark.removeprefix(RUN_BY)
        return None if test.is_file() else f"names a test that is not there: {test.name}"
    if block.mark.startswith(NOT_RUN):
        return None if block.mark.removeprefix(NOT_RUN).strip() else "gives no reason why it is not run"
    if block.language in ("python", "toml", "yaml") and "title=" in block.rest:
        return None  # a file; the page's own test writes and uses it
    if block.language in ("json", "toml"):
        return _unread(block)
    if block.language == "bash" and block.mark.startswith(CHECKED):
        return _wrong_setup(block)
    if block.language == "text":
        return "shows a command that no test runs" if COMMAND.search(block.text) else None
    return f"is of a kind that no test runs: {block.language or 'none'}"


def _unread(block: Block) -> str | None:
    try:
        (json.loads if block.language == "json" else tomllib.loads)(block.text)
    except ValueError as error:
        return f"is no {block.language}: {error}"
    return None


def _wrong_setup(block: Block) -> str | None:
    """The packages and extras of ``pip install`` must be there, and what ``make`` makes; nothing else is checked."""
    known = published()
    for line in block.text.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0] == "make" and len(words) == 2:
            if f"\n{words[1]}:" not in (ROOT / "Makefile").read_text(encoding="utf-8"):
                return f"makes what there is not: {words[1]}"
            continue
        if words[:2] != ["pip", "install"]:
            return f"has a line that nobody checks: {line}"
        for word in words[2:]:
            name, _, extra = word.strip('"').rstrip("]").partition("[")
            if name not in known or (extra and not set(extra.split(",")) <= known[name]):
                return f"installs what there is not: {word}"
    return None


def published() -> dict[str, set[str]]:
    """The distributions of this repository with their extras."""
    found = {}
    for path in [ROOT / "core", ROOT / "cli", *(ROOT / "plugins").iterdir()]:
        file = path / "pyproject.toml"
        if file.is_file():
            project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
            found[project["name"]] = set(project.get("optional-dependencies", {}))
    return found
