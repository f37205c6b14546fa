"""A recipe's page holds what its readers look for: formula, source, when to use it and when not, options, evidence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("cogapp")
pytest.importorskip("matplotlib")
pytest.importorskip("math_core")

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "docs" / "recipes"
PAGES = [path for path in sorted(RECIPES.glob("*/*.md")) if path.stem != "index"]
HEADINGS = ("When to use it", "When not", "Options", "Example", "Evidence")


def page_id(path: Path) -> str:
    return str(path.relative_to(RECIPES).with_suffix(""))


def lacking(text: str) -> list[str]:
    """What a recipe's page should have and has not."""
    from page_blocks import BLOCK

    parts = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    before, example, evidence = (
        text.partition("## When to use it")[0],
        parts.get("Example", ""),
        parts.get("Evidence", ""),
    )
    wanted = {
        "source": "- **Source:** " in text,
        "needs": "- **Needs:** " in text,
        "bits": "- **Bits:** " in text,
        "formula": "```math" in before,
        **{heading: len(parts.get(heading, "").split()) > len(heading.split()) for heading in HEADINGS},
        "an example that runs": any(found["language"] in ("python", "console") for found in BLOCK.finditer(example)),
        "plot": re.search(r"!\[[^\]]+\]\([^)]+\.svg\)", evidence),
        "numbers": re.search(r"^\| .*\d", evidence, re.MULTILINE),
        "seeds": re.search(r"\b[Ss]eeds? \d", evidence),
    }
    return [name for name, there in wanted.items() if not there]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_has_all_its_parts(path: Path) -> None:
    assert lacking(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_formulas_of_a_page_can_be_shown(path: Path) -> None:
    import formulas
    import page_blocks

    for block in page_blocks.blocks_of(path):
        if block.language == "math":
            assert formulas.mathml(block.text).startswith("<math")


def test_a_page_without_a_part_is_found() -> None:
    whole = (RECIPES / "gnn" / "virgo.md").read_text(encoding="utf-8")
    assert lacking(whole) == []
    for old, new, name in (
        ("```math", "```text", "formula"),
        ("## When not\n", "## Whenever\n", "When not"),
        (".svg)", ".txt)", "plot"),
        ("- **Source:** ", "- ", "source"),
        ("Seeds 0", "Seeds", "seeds"),
    ):
        assert lacking(whole.replace(old, new)) == [name]


def test_a_formula_that_is_none_is_found() -> None:
    import formulas
    from math_core import LatexError

    with pytest.raises(LatexError):
        formulas.mathml(r"\frac{1}{\nothing}")
