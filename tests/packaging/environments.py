"""Clean environments for wheels.

A clean environment holds the wheels and exactly the distributions that they declare, linked from this one so that
nothing is downloaded; what is not declared is missing there.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
PACKAGES = {"core": "initkit-core", "cli": "initkit-cli", **{f"plugins/{name}": f"initkit-{name}" for name in PLUGINS}}


def built(project: Path, folder: Path) -> Path:
    """Build the wheel of a project into a folder."""
    before = set(folder.glob("*.whl"))
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", *command, "--wheel-dir", str(folder), str(project)], check=True)
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


def closure(names: Iterable[str]) -> set[str]:
    """The distributions that some distributions depend on, without extras, by the metadata."""
    seen: set[str] = set()
    stack = list(names)
    while stack:
        name = re.sub(r"[-_.]+", "-", stack.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        stack += [match[0] for one in requires if "extra ==" not in one and (match := re.match(r"[\w.\-]+", one))]
    return seen


class Environment:
    """A virtual environment with wheels, and links to what they declare."""

    def __init__(self, folder: Path, wheels: list[Path], distributions: list[str]) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        site = next((folder / "lib").glob("python*")) / "site-packages"
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
        options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
        subprocess.run([*pip, *options, *map(str, wheels)], check=True)
        for name in closure(distributions) - set(PACKAGES.values()):
            self._link(name, site)
        self.bin = folder / "bin"

    def _link(self, name: str, site: Path) -> None:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return
        for top in {
            Path(file).parts[0] for file in distribution.files or () if Path(file).parts[0] not in ("..", "bin")
        }:
            source, link = Path(str(distribution.locate_file(top))), site / top
            if not link.exists() and source.exists():
                link.symlink_to(source)

    def run(self, *command: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INITKIT"))}
        env |= {"PATH": f"{self.bin}{os.pathsep}{env['PATH']}", "COLUMNS": "200", **extra}
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd or self.folder, env=env, check=False)
