"""Every code block of the site and of the README is run, checked, or says why it cannot be."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

pytest.importorskip("cogapp")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
READMES = [ROOT / name / "README.md" for name in ("core", "cli")] + sorted((ROOT / "plugins").glob("*/README.md"))
ALL = [*PAGES, *READMES]
MOST_NOT_RUN = 12


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def running(path: Path, language: str) -> list[Any]:
    import page_blocks

    return [block for block in page_blocks.blocks_of(path) if block.runs and block.language == language]


def example_of(path: Path) -> Path:
    """The model.py that a README speaks of: that of its plugin, else of the gnn plugin."""
    plugin = path.parent.name if path.parent.parent.name == "plugins" else "gnn"
    return ROOT / "plugins" / plugin / "src" / f"initkit_{plugin}" / "example.py"


def run_python(path: Path, monkeypatch: pytest.MonkeyPatch, given: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Run a page's Python in one namespace, from top to bottom."""
    names: dict[str, Any] = {**given, "__name__": "docs_page"}
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "docs_page", type(sys)("docs_page"))
    for block in running(path, "python"):
        exec(compile(block.text, str(path), "exec", dont_inherit=True), names)


def given_by(example: Path) -> dict[str, Any]:
    """The names of a model.py, the model built."""
    names = runpy.run_path(str(example))
    model = names["model"]
    return {**names, "model": model if isinstance(model, torch.nn.Module) else model()}


def run_commands(path: Path) -> None:
    """Run a page's commands in one folder, from top to bottom."""
    from initkit_cli.__main__ import main

    for block in running(path, "console"):
        for line in block.commands:
            program, *words = shlex.split(line, comments=True)
            assert program == "initkit", f"only the command itself is run: {line}"
            assert main(words) == 0, line


@pytest.mark.parametrize("path", [p for p in PAGES if "```python" in p.read_text(encoding="utf-8")], ids=page_id)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    run_python(path, monkeypatch)


@pytest.mark.parametrize("path", [p for p in READMES if "```python" in p.read_text(encoding="utf-8")], ids=page_id)
def test_python_of_a_package_s_readme_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins where a model.py left it: with ``model`` and the data."""
    monkeypatch.chdir(tmp_path)
    run_python(path, monkeypatch, given_by(example_of(path)))


@pytest.mark.parametrize("path", [p for p in ALL if "```console" in p.read_text(encoding="utf-8")], ids=page_id)
def test_commands_work(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(example_of(path), tmp_path / "model.py")
    monkeypatch.chdir(tmp_path)
    run_commands(path)


def test_no_other_block_shows_what_nobody_checks() -> None:
    import page_blocks

    found = [
        f"{page_id(path)}: a block {problem}\n{block.text}"
        for path in ALL
        for block in page_blocks.blocks_of(path)
        if (problem := page_blocks.problem_of(block)) is not None
    ]
    assert not found, "\n".join(found)


def test_few_blocks_are_not_run() -> None:
    import page_blocks

    marked = [
        f"{page_id(path)}: {block.mark}"
        for path in PAGES
        for block in page_blocks.blocks_of(path)
        if block.mark.startswith(page_blocks.NOT_RUN)
    ]
    assert len(marked) <= MOST_NOT_RUN, "\n".join(marked)


def test_what_make_is_told_on_pages_is_there() -> None:
    told = {
        word
        for path in PAGES
        for word in re.findall(r"(?:`|^|\$ )make (\w[\w-]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= told
    assert told <= targets


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_demo_of_the_readme_works() -> None:
    command = ["make", "--assume-old=.venv/.runtime", f"BIN={Path(sys.executable).parent}", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done: gnn/virgo filled 100.0% of the parameters" in done.stdout + done.stderr
    assert (ROOT / "out" / "gnn.safetensors").is_file()


FAULTY = {
    "a name that is not there": "```python\nimport initkit\ninitkit.aply\n```\n",
    "a line that fails": "```python\nassert 1 + 1 == 3\n```\n",
}


@pytest.mark.parametrize("text", FAULTY.values(), ids=FAULTY)
def test_a_faulty_python_block_is_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n```python\nx = 1\n```\n\n{text}", encoding="utf-8")
    with pytest.raises((AttributeError, AssertionError)):
        run_python(page, monkeypatch)


@pytest.mark.parametrize("line", ["initkit aply", "initkit show gnn/virgos", "rm -r examples"])
def test_a_faulty_command_is_found(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ {line}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        run_commands(page)


UNCHECKED = {
    "```bash\ninitkit list\n```\n": "no test runs",
    "```\ninitkit list\n```\n": "none",
    "```text\n$ initkit list\n```\n": "shows a command",
    "1. In a list:\n\n    ```text\n    pip install x\n    ```\n": "shows a command",
    "<!-- not run:  -->\n```python\nx\n```\n": "gives no reason",
    "<!-- checked, not run: published -->\n```bash\npip install initkit\n```\n": "what there is not",
    '<!-- checked, not run: published -->\n```bash\npip install "initkit-cli[gnnn]"\n```\n': "what there is not",
    "<!-- checked, not run: published -->\n```bash\nrm -r /\n```\n": "nobody checks",
    "<!-- run by tests/docs/test_nothing.py -->\n```shell\nls\n```\n": "test_nothing.py",
    "```json\n{,}\n```\n": "no json",
    "```rust\nfn main() {}\n```\n": "rust",
}


@pytest.mark.parametrize(("text", "problem"), UNCHECKED.items(), ids=range(len(UNCHECKED)))
def test_a_block_that_nobody_checks_is_found(text: str, problem: str, tmp_path: Path) -> None:
    import page_blocks

    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}", encoding="utf-8")
    (block,) = page_blocks.blocks_of(page)
    assert problem in (page_blocks.problem_of(block) or "")
