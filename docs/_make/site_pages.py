"""Tables of plugins and their recipes, and the gallery, from the cards and from the pages themselves."""

from __future__ import annotations

import os
import re
from pathlib import Path

import record
from tables import table

import initkit
from initkit_cli.known import KNOWN

DOCS = record.ROOT / "docs"
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
# Plugins in the order of the navigation, with the names that their sections have there.
SECTIONS = {
    "gnn": "Graph neural networks",
    "poincare": "Hyperbolic networks and embeddings",
    "kan": "Kolmogorov-Arnold networks",
    "inr": "Implicit neural representations",
    "ssm": "State space models",
    "ihmm": "Hidden Markov models",
    "tokenizer": "Tokenizers",
}


def recipes_of(plugin: str) -> list[initkit.Card]:
    """The cards of a plugin, its default first."""
    return [card for card in initkit.recipes() if card.id.startswith(f"{plugin}/")]


def recipe_table(plugin: str) -> str:
    """A plugin's recipes with what they do and need, for the page of the plugin."""
    rows = []
    for card in recipes_of(plugin):
        needs = ", ".join(f"`{need.name}`{' (optional)' if need.optional else ''}" for need in card.needs) or "–"
        name = card.id.partition("/")[2]
        rows.append([f"[`{card.id}`]({name}.md)", card.summary, needs])
    return table(["recipe", "what it does", "needs"], rows, numbers_from=3)


def plugin_table(root: str = "") -> str:
    """One row a plugin: what it starts, how many recipes, what installs it."""
    rows = [
        [
            f"[{title}]({root}recipes/{name}/index.md)",
            _line(name),
            str(len(recipes_of(name))),
            f"`initkit-{name}`",
        ]
        for name, title in SECTIONS.items()
    ]
    return table(["plugin", "what it starts", "recipes", "package"], rows, numbers_from=4)


def cards() -> str:
    """The plugins as cards of the front page."""
    found = [
        f"-   **[{title}](recipes/{name}/index.md)**\n\n"
        f"    {_line(name)}. {len(recipes_of(name))} recipes; `--plugin {name}`"
        for name, title in SECTIONS.items()
    ]
    return '<div class="grid cards" markdown>\n\n' + "\n\n".join(found) + "\n\n</div>"


def images_of(page: Path) -> list[tuple[str, Path]]:
    """The plots that a page shows: (what they show, file)."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(words, (page.parent / target).resolve()) for words, target in IMAGE.findall(text) if "://" not in target]


def gallery(plugin: str) -> str:
    """Every plot of a plugin's recipe pages and guides, once, as a card that leads to its page."""
    guides = [page for page in sorted(DOCS.glob("*.md")) if page.stem not in ("index", "gallery")]
    pages = [DOCS / "recipes" / f"{card.id}.md" for card in recipes_of(plugin)]
    seen: set[Path] = set()
    found = []
    for page in [*pages, *guides]:
        for words, image in images_of(page):
            if image in seen or image.parent.name != plugin:
                continue
            seen.add(image)
            link = page.relative_to(DOCS).as_posix()
            title = page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            picture = os.path.relpath(image, DOCS)
            found.append(f"-   [![{words}]({picture})]({link})\n\n    {words}: [{title}]({link})")
    return '<div class="grid cards" markdown>\n\n' + "\n\n".join(found) + "\n\n</div>"


def _line(plugin: str) -> str:
    """What a plugin starts, from the directory of known plugins."""
    line = next(known.line for known in KNOWN if known.name == plugin)
    text = line.partition(": ")[2] or line
    return text[:1].upper() + text[1:]
