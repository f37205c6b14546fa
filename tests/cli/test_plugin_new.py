"""``initkit plugin new``: a package that works as it stands, and mistakes told in one line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = {
    ".github",
    ".github/workflows",
    ".github/workflows/test.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "src",
    "src/initkit_fan_out",
    "src/initkit_fan_out/__init__.py",
    "src/initkit_fan_out/example.py",
    "src/initkit_fan_out/lecun.py",
    "src/initkit_fan_out/plugin.py",
    "src/initkit_fan_out/py.typed",
    "tests",
    "tests/test_conformance.py",
    "tests/test_lecun.py",
}


@pytest.mark.parametrize("name", ["fan-out", "fan_out", "initkit-fan-out", "initkit_fan_out"])
def test_a_package_is_written(initkit, work, name):
    done = initkit("plugin", "new", name, "--json")
    assert done.code == 0, done.err
    assert (done.json["plugin"], done.json["distribution"]) == ("fan_out", "initkit-fan-out")
    folder = work / "initkit-fan-out"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == FILES
    assert {str(Path(file).relative_to("initkit-fan-out")) for file in done.json["files"]} <= FILES
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "initkit-fan-out"
    assert project["entry-points"] == {"initkit": {"fan_out": "initkit_fan_out.plugin"}}
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "$" not in text.replace("${{", ""), path
            if path.suffix == ".py":
                compile(text, str(path), "exec")


def test_what_comes_next_is_said(initkit):
    lines = initkit("plugin", "new", "fan").out.splitlines()
    assert lines[-3:] == [
        '  pip install --editable "./initkit-fan[test]"',
        "  initkit plugin check fan",
        "  initkit apply --plugin fan model.py",
    ]


def test_the_package_passes_its_checks_before_it_is_installed(initkit, work):
    assert initkit("plugin", "new", "fan").code == 0
    done = initkit("plugin", "check", "./initkit-fan", "--json")
    assert done.code == 0, done.out
    assert done.json["failed"] == 0
    assert done.json["ran"] >= 40
    assert done.json["unchecked"] == []
    skipped = [one for one in done.json["recipes"][0]["results"] if one["status"] == "skipped"]
    assert all(one["words"] for one in skipped)


MISTAKES = {
    "Fan": "'Fan' is no name for a plugin: take lower-case letters and digits, a letter first",
    "fan out": "is no name for a plugin",
    "2fan": "is no name for a plugin",
    "fan--out": "is no name for a plugin",
    "initkit-": "is no name for a plugin",
    "../fan": "is no name for a plugin",
    "": "is no name for a plugin",
    "fake": "there is a plugin 'fake' already, of initkit-fake: two of one name are both refused",
    "gnn": "there is a plugin 'gnn' already, of initkit-gnn",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_bad_name_is_refused(initkit, name, listing):
    before = listing()
    done = initkit("plugin", "new", name)
    assert done.code == 2
    assert MISTAKES[name] in done.err
    assert len(done.err.splitlines()) == 1
    assert listing() == before


def test_a_folder_that_exists_is_left(initkit, work, listing):
    (work / "initkit-fan").mkdir()
    (work / "initkit-fan" / "mine.txt").write_text("mine")
    before = listing()
    done = initkit("plugin", "new", "fan")
    assert (done.code, listing()) == (2, before)
    assert "there is initkit-fan already: give another name, or --folder" in done.err
    done = initkit("plugin", "new", "fan", "--folder", "nowhere")
    assert (done.code, listing()) == (2, before)
    assert "there is no folder nowhere" in done.err
    (work / "elsewhere").mkdir()
    assert initkit("plugin", "new", "fan", "--folder", "elsewhere").code == 0
    assert (work / "elsewhere" / "initkit-fan" / "pyproject.toml").is_file()


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    from initkit.errors import InitError
    from initkit_cli import scaffold

    real = Path.write_text

    def full(path: Path, *args: object, **kwargs: object) -> int:
        if path.name == "plugin.py":
            raise OSError(28, "No space left on device")
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InitError, match=re.escape(f"cannot write {tmp_path / 'initkit-fan'}: No space left on device")):
        scaffold.write(scaffold.Names("fan"), tmp_path)
    assert list(tmp_path.iterdir()) == []
