"""The docs say what the code and the figures say, and what they show works."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cogapp")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    """(what stands behind the language, text) of each block."""
    text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(found[2].strip(), found[3]) for found in BLOCK.finditer(text) if found[1] == language]


def shown(path: Path) -> list[str]:
    """The lines of a page that call the command."""
    lines = "".join(text for _, text in blocks(path, "console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_generated_parts_are_fresh(path: Path) -> None:
    import pages

    text = path.read_text(encoding="utf-8")
    assert "[[[cog" not in text or pages.filled(path) == text, "run `make docs`"


def test_images_show_the_figures_that_there_are() -> None:
    import pages

    assert pages.stale_images() == [], "run `make docs`"


def test_images_are_drawn_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import plots

    monkeypatch.setattr(plots, "DRAWN", {"gnn/depth.svg": plots.DRAWN["gnn/depth.svg"]})
    for folder in ("a", "b"):
        plots.draw(tmp_path / folder)
    first, second = ((tmp_path / folder / "gnn" / "depth.svg").read_bytes() for folder in ("a", "b"))
    assert first == second
    assert b"<dc:date>" not in first


def test_every_recipe_has_a_page_and_a_place_in_the_navigation() -> None:
    import initkit

    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    ours = [card for card in initkit.recipes() if card.target.startswith("initkit_")]
    assert ours
    for card in ours:
        assert (DOCS / "recipes" / f"{card.id}.md").is_file(), f"{card.id} has no page"
        assert f"recipes/{card.id}.md" in navigation
    there = {str(path.relative_to(DOCS / "recipes").with_suffix("")) for path in (DOCS / "recipes").rglob("*.md")}
    assert there == {card.id for card in ours}, "a page of a recipe that is not there"


def test_every_option_is_on_the_recipe_s_page_with_its_default_and_meaning() -> None:
    import recipes

    import initkit

    for card in initkit.recipes():
        page = DOCS / "recipes" / f"{card.id}.md"
        if not page.is_file():
            continue  # said by the test above
        text = page.read_text(encoding="utf-8")
        meaning = recipes.arguments(card.load())
        for option in dataclasses.fields(card.load()):
            row = next((line for line in text.splitlines() if line.startswith(f"| `{option.name}` |")), None)
            assert row is not None, f"{card.id}: {option.name}"
            default = row.split("|")[2].strip(" `")
            wanted: Any = option.default
            as_set = json.dumps(list(wanted)) if isinstance(wanted, tuple) else ""  # a tuple is given as a JSON list
            assert default in (str(wanted), str(wanted).lower(), "null" if wanted is None else as_set), row
            assert meaning.get(option.name), f"{card.id}: {option.name} is not explained in the docstring"


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    names: dict[str, Any] = {"__name__": "docs_page"}
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "docs_page", type(sys)("docs_page"))
    for attributes, code in blocks(path, "python"):
        if "title=" not in attributes:  # a file of its own, see the test of the plugin
            exec(compile(code, str(path), "exec"), names)


@pytest.mark.parametrize("path", [p for p in PAGES if shown(p)], ids=page_id)
def test_commands_work(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from initkit.plugins import registry
    from initkit_cli.__main__ import main

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for attributes, text in blocks(path, "python"):
        title = re.fullmatch(r'title="(\w+\.py)"', attributes)
        if title is not None:
            (tmp_path / title[1]).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for line in shown(path):
        program, *words = shlex.split(line, comments=True)
        assert program == "initkit"
        assert main(words) == 0, line
    registry.cache_clear()  # plugins that were given by their path


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), f"{target} in {path.name}"


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "recipes" / "gnn" / "virgo" / "index.html").is_file()


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
