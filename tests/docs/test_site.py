"""The site builds, needs nothing from elsewhere, and its build stops at broken links and undocumented names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

for needed in ("mkdocs", "mkdocstrings", "math_core", "ziamath", "cogapp", "matplotlib"):
    pytest.importorskip(needed)

ROOT = Path(__file__).resolve().parents[2]
COMMAND_LINE = ROOT / "docs" / "command-line.md"
FORMULA = re.compile(r"<math\b")


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As ``make docs`` builds it."""
    command = ["-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(out)]
    return subprocess.run(
        [sys.executable, *command],
        cwd=config.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix("")
        folder = name.parent if name.stem == "index" else name
        assert (site / folder / "index.html").is_file(), name


@pytest.mark.slow
def test_every_public_name_is_documented(site: Path) -> None:
    import public_names

    assert len(public_names.public_names()) > 100
    assert public_names.undocumented(site) == []
    assert public_names.undocumented(site, ["initkit.apply", "initkit.aply"]) == ["initkit.aply"]


@pytest.mark.slow
def test_formulas_are_shown_without_a_script(site: Path) -> None:
    virgo = (site / "recipes" / "gnn" / "virgo" / "index.html").read_text(encoding="utf-8")
    assert FORMULA.search(virgo)
    assert r"\frac" not in virgo
    font = (site / "assets" / "stix-two-math.woff").read_bytes()
    assert font[:4] == b"wOFF"
    assert len(font) < 600_000


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"', text)
        fetched += re.findall(r'<link\b(?![^>]*rel="canonical")[^>]*\bhref="(?:https?:)?//[^"]*"', text)
        assert fetched == [], page


def small(folder: Path, pages: dict[str, str]) -> Path:
    """A site of a few pages under the rules of ours."""
    rules = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    kept = [block for block in re.split(r"^(?=\w)", rules, flags=re.MULTILINE) if block.startswith("validation:")]
    assert kept, "mkdocs.yml says nothing of links"
    (folder / "docs").mkdir()
    for name, text in pages.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    config = folder / "mkdocs.yml"
    config.write_text(f"site_name: small\n{kept[0]}", encoding="utf-8")
    return config


@pytest.mark.parametrize(
    ("link", "broken"),
    [("other.md#there", ""), ("other.md#elsewhere", "#elsewhere"), ("missing.md", "missing.md")],
)
def test_a_broken_link_or_anchor_stops_the_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, link: str, broken: str
) -> None:
    from mkdocs.commands.build import build as build_here
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    pages = {"index.md": f"# A page\n\n[a link]({link})\n", "other.md": "# Other\n\n## There\n"}
    config = load_config(str(small(tmp_path, pages)), site_dir=str(tmp_path / "site"), strict=True)
    with pytest.raises(Abort) if broken else nullcontext():
        build_here(config)
    assert broken in caplog.text


def test_every_command_and_option_is_told() -> None:
    import commands

    text = COMMAND_LINE.read_text(encoding="utf-8")
    assert commands.untold(text) == []
    assert commands.untold(text.replace("--rollback ", "").replace("--exclude ", "")) == ["apply --exclude"]
    assert "diff" in commands.untold(text.replace("### diff\n", ""))
