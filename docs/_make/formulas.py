"""Formulas of pages: LaTeX in ``math`` blocks becomes MathML when the site is built; a mistake stops the build."""

from __future__ import annotations

import importlib.util
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from math_core import LatexToMathML

CONVERTER = LatexToMathML(fancy_error=False)
MATH = re.compile(r"<math\b.*?</math>", re.DOTALL)


def mathml(latex: str) -> str:
    """A displayed formula.

    Raises:
        math_core.LatexError: it is no LaTeX, or uses what MathML Core cannot show.
        ValueError: it sets a distance between rows.
    """
    if re.search(r"\\\\\s*\[", latex):
        raise ValueError(f"MathML has no space between rows of its own, \\\\[...]: {latex}")
    return CONVERTER.convert_with_local_state(" ".join(latex.split()), displaystyle=True)


def fence(source: str, language: str, css_class: str, options: dict[str, Any], md: Any, **_: Any) -> str:
    """A ``math`` block of a page, for pymdownx.superfences; it scrolls by itself where it is wider than the page."""
    return f'<div class="formula" tabindex="0">{mathml(source)}</div>'


def font(pages: Iterable[Path]) -> bytes:
    """STIX Two Math as WOFF with the characters that the formulas of some HTML pages need."""
    from fontTools import subset

    options = subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True)
    package = importlib.util.find_spec("ziamath")
    assert package is not None
    assert package.submodule_search_locations
    source = Path(package.submodule_search_locations[0]) / "fonts" / "STIXTwoMath-Regular.ttf"
    loaded = subset.load_font(io.BytesIO(source.read_bytes()), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(sorted(set(_characters(pages)))))
    subsetter.subset(loaded)
    out = io.BytesIO()
    subset.save_font(loaded, out, options)
    return out.getvalue()


def _characters(pages: Iterable[Path]) -> Iterator[str]:
    import html

    used = set()
    for page in pages:
        for formula in MATH.findall(page.read_text(encoding="utf-8")):
            used |= set(html.unescape(re.sub(r"<[^>]*>", "", formula)))
    yield from used
    # A letter that stands alone is shown in italics, which are characters of their own.
    for code in range(0x1D400, 0x1D800):
        if unicodedata.normalize("NFKC", chr(code)) in used:
            yield chr(code)
    yield from "ℎ√"  # the italic h, and what roots are drawn with
