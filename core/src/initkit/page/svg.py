"""Figures as SVG that lives inside the page: small, without outside references, in the page's own colours."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from initkit.drawing.style import BEFORE, FAINT, GRID, INK, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# What the figure is drawn with, and what the page has for it in light and dark.
_COLOURS = {
    INK: "currentColor",
    FAINT: "var(--faint)",
    GRID: "var(--grid)",
    BEFORE: "var(--before)",
    **{colour: f"var(--series-{i + 1})" for i, colour in enumerate(SERIES)},
}
_LONG = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline(figure: Figure, name: str, words: str) -> Markup:
    """A figure as an SVG element.

    Args:
        figure: drawn in the house's style.
        name: unique on the page; the element's ids begin with it.
        words: what it shows, for readers who do not see it.
    """
    file = io.StringIO()
    figure.savefig(
        file,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    used = {m[1] for one in root.iter() for value in one.attrib.values() for m in _REFERENCE.finditer(value)}
    used |= {one.attrib[f"{{{_XLINK}}}href"][1:] for one in root.iter() if f"{{{_XLINK}}}href" in one.attrib}
    for one in root.iter():
        _clean(one, name, used)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "class": "chart", "role": "img", "aria-label": words})
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(re.sub(r">\s+<", "><", text))


def _clean(one: ElementTree.Element, name: str, used: set[str]) -> None:
    one.tag = one.tag.removeprefix(f"{{{_SVG}}}")
    one.text = one.text if one.tag in ("text", "tspan") else None
    for key, value in list(one.attrib.items()):
        if key == "id":
            if value in used:
                one.attrib["id"] = f"{name}-{value}"
            else:
                del one.attrib["id"]
        elif key == f"{{{_XLINK}}}href":
            del one.attrib[key]
            one.attrib["href"] = f"#{name}-{value[1:]}"
        elif key == "style":
            for colour, ours in _COLOURS.items():
                value = value.replace(colour, ours)
            one.attrib[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)
        elif key == "clip-path":
            one.attrib[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)
        elif key != "viewBox":
            one.attrib[key] = " ".join(_LONG.sub(lambda found: f"{float(found[0]):.5g}", value).split())
