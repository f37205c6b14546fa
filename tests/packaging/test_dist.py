"""What would be published: archives of source and wheels with metadata that an index takes, and a changelog."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [ROOT / "core", ROOT / "cli", *sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``make dist`` does, without a process for each archive."""
    folder = tmp_path_factory.mktemp("dist")
    code = (
        "import os, sys\n"
        "from hatchling.build import build_sdist, build_wheel\n"
        "for package in sys.argv[2:]:\n"
        "    os.chdir(package)\n"
        "    build_sdist(sys.argv[1])\n"
        "    build_wheel(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *map(str, PACKAGES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


@pytest.mark.slow
def test_an_index_would_take_them(dist: Path) -> None:
    pytest.importorskip("twine")
    files = sorted(map(str, dist.iterdir()))
    assert len(files) == 2 * len(PACKAGES)
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == len(files)


@pytest.mark.slow
def test_wheels_say_what_they_are(dist: Path) -> None:
    classifiers = pytest.importorskip("trove_classifiers").classifiers
    wheels = sorted(dist.glob("*.whl"))
    assert {wheel.name.split("-")[1] for wheel in wheels} == {VERSION}
    for wheel in wheels:
        found = metadata(wheel)
        assert found["License-Expression"] == "MIT", wheel.name
        assert found["License-File"] == "LICENSE", wheel.name
        assert found["Description-Content-Type"] == "text/markdown", wheel.name
        assert found["Summary"], wheel.name
        assert found["Requires-Python"] == ">=3.10", wheel.name
        said = found.get_all("Classifier", [])
        assert set(said) <= set(classifiers), wheel.name
        assert "Typing :: Typed" in said, wheel.name
        with zipfile.ZipFile(wheel) as archive:
            assert any(name.endswith("py.typed") for name in archive.namelist()), wheel.name


@pytest.mark.slow
def test_archives_of_source_hold_what_builds_them_and_nothing_else(dist: Path) -> None:
    for archive in sorted(dist.glob("*.tar.gz")):
        with tarfile.open(archive) as opened:
            names = {name.partition("/")[2] for name in opened.getnames()}
        assert {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"} <= names, archive.name
        assert any(name.startswith("src/") and name.endswith("py.typed") for name in names), archive.name
        odd = [n for n in names if "__pycache__" in n or n.endswith((".pyc", ".safetensors")) or n.startswith("tests")]
        assert odd == [], archive.name


def test_the_changelog_has_an_entry_of_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", CHANGES, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == VERSION, "the newest version that CHANGELOG.md tells of is not this one"
    released = [tuple(map(int, one.split("."))) for one in headings[1:]]
    assert released == sorted(released, reverse=True)
    entry = CHANGES.partition(f"## [{VERSION}]")[2].partition("\n## ")[0]
    assert re.search(r"^### (Added|Changed|Deprecated|Removed|Fixed|Security)\n\n- ", entry, re.MULTILINE)


def test_the_changelog_names_every_package() -> None:
    for package in PACKAGES:
        name = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        assert f"`{name}`" in CHANGES
