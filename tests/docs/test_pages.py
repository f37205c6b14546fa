"""The docs say what the code and the figures say, and what they show works."""

from __future__ import annotations

import dataclasses
import json
import re
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
    plugins = {f"{card.plugin}/index" for card in ours}
    assert there == {card.id for card in ours} | plugins, "a page of a recipe or plugin that is not there"


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


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), f"{target} in {path.name}"
