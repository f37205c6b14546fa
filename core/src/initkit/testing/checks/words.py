"""What a recipe says of itself: its docstring, its card, its paper."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields

from initkit._recipe import needs_of
from initkit.testing.case import Case, Skip

_ENTRY = re.compile(r"@\w+\s*\{\s*[^\s,{}]+\s*,")
_FIELD = re.compile(r"(\w+)\s*=\s*")


def check_docstring_has_summary_and_source(case: Case) -> None:
    """The docstring begins with the card's summary and has a line ``Source:`` that names the paper."""
    text = type(case.made).__doc__ or ""
    first = text.strip().partition("\n")[0].strip()
    card = case.found_card
    if card is not None:
        assert first == card.summary, f"the docstring begins {first!r}, the card says {card.summary!r}"
    assert any(line.strip().startswith("Source:") for line in text.splitlines()), (
        "no line 'Source: ...' names the paper"
    )


def check_docstring_explains_every_option(case: Case) -> None:
    """The ``Args:`` of the docstring, or of a base's, has a line for each option."""
    options = [option.name for option in fields(case.made)]
    if not options:
        raise Skip("the recipe has no options")
    text = "\n".join(inspect.cleandoc(kind.__doc__ or "") for kind in type(case.made).__mro__)
    missing = [name for name in options if not re.search(rf"^\s+{re.escape(name)}:\s*\S", text, re.MULTILINE)]
    assert "Args:" in text, "the docstring has no Args:"
    assert not missing, f"Args: says nothing of {', '.join(missing)}"


def check_bibtex_parses(case: Case) -> None:
    """The paper's BibTeX entries are well formed, with author or editor, title and year."""
    given: str | Sequence[str] = case.made.bibtex
    entries = (given,) if isinstance(given, str) else tuple(given)
    text = "\n".join(entries).strip()
    if not text:
        raise Skip("the recipe gives no BibTeX")
    found = list(_parsed(text))
    assert found, "no BibTeX entry"
    for names in found:
        missing = [name for name in ("title", "year") if name not in names]
        assert not missing, f"an entry has no {missing[0]}"
        assert {"author", "editor"} & names, "an entry has no author"


def _parsed(text: str) -> Iterator[set[str]]:
    """The names of each entry's fields."""
    rest = text
    while rest:
        head = _ENTRY.match(rest)
        assert head, f"no BibTeX entry begins at {rest[:40]!r}"
        end = _closing(rest, rest.index("{"))
        yield {name.lower() for name in _names(rest[head.end() : end])}
        rest = rest[end + 1 :].strip()


def _names(body: str) -> Iterator[str]:
    rest = body.strip().strip(",").strip()
    while rest:
        head = _FIELD.match(rest)
        assert head, f"no field 'name = value' at {rest[:40]!r}"
        yield head[1]
        value = rest[head.end() :]
        if value.startswith("{"):
            end = _closing(value, 0) + 1
        elif value.startswith('"'):
            end = value.index('"', 1) + 1 if '"' in value[1:] else -1
            assert end > 0, f"a quote is not closed at {value[:40]!r}"
        else:
            end = len(value.partition(",")[0])
        after = value[end:].strip()
        assert not after or after.startswith(","), f"a comma is missing at {after[:40]!r}"
        rest = after.lstrip(",").strip()


def _closing(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        if text[place - 1 : place] == "\\":
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise AssertionError(f"a brace is not closed at {text[start : start + 40]!r}")


def check_card_names_the_needs(case: Case) -> None:
    """The card's needs are the keyword-only arguments of ``plan``."""
    asked = needs_of(case.made)
    said = {need.name: need.optional for need in case.card.asked}
    wanted = {**dict.fromkeys(asked.required, False), **dict.fromkeys(asked.optional, True)}
    assert said == wanted, f"the card says {said}, plan asks for {wanted} (name: optional)"
