"""Brings the docs up to date with the code and the figures: draws the images and fills in the generated parts."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import plots
from cogapp import Cog
from cogapp.cogapp import CogError
from record import ROOT


def pages() -> list[Path]:
    """Every page with generated parts, the README included."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if path.is_file() and "[[[cog" in path.read_text(encoding="utf-8")]


def filled(path: Path) -> str:
    """A page's text with its generated parts made anew."""
    cog = Cog()
    cog.options.include_path = [str(Path(__file__).parent)]
    os.environ["COLUMNS"] = "80"
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        return str(cog.process_string(path.read_text(encoding="utf-8"), str(path)))
    finally:
        os.chdir(here)


def stale_images() -> list[Path]:
    """Images that were drawn from other figures than there are now."""
    found = []
    for file, (benchmarks, _) in plots.DRAWN.items():
        path = plots.IMAGES / file
        mark = re.search(r"rows [0-9a-f]+", path.read_text(encoding="utf-8")) if path.is_file() else None
        if mark is None or mark[0] != plots.mark(benchmarks):
            found.append(path)
    return found


def main() -> int:
    """Write what is stale, or with ``--check`` name it; a page whose parts cannot be made does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = stale_images()
    if stale and not check:
        plots.draw()
    broken = []
    for path in pages():
        try:
            text = filled(path)
        except CogError as error:
            broken.append(path)
            print(f"broken: {path.relative_to(ROOT)}\n{error}", file=sys.stderr)
            continue
        if text != path.read_text(encoding="utf-8"):
            stale.append(path)
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return int(bool(broken) or (check and bool(stale)))
