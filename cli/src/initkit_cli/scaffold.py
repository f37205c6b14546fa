"""``initkit plugin new``: a complete package with one recipe, from templates."""

from __future__ import annotations

import os
import re
import shutil
import string
import tempfile
from dataclasses import dataclass
from pathlib import Path

import initkit
from initkit.errors import InitError
from initkit.plugins import registry
from initkit_cli.failures import UsageError
from initkit_cli.known import known

_TEMPLATES = Path(__file__).parent / "templates" / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")

# What lies where: the template's path, and the file's.
FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "LICENSE.tmpl": "LICENSE",
    "gitignore.tmpl": ".gitignore",
    "workflow.yml.tmpl": ".github/workflows/test.yml",
    "src/__init__.py.tmpl": "src/$package/__init__.py",
    "src/py.typed.tmpl": "src/$package/py.typed",
    "src/plugin.py.tmpl": "src/$package/plugin.py",
    "src/lecun.py.tmpl": "src/$package/lecun.py",
    "src/example.py.tmpl": "src/$package/example.py",
    "tests/test_conformance.py.tmpl": "tests/test_conformance.py",
    "tests/test_lecun.py.tmpl": "tests/test_lecun.py",
}


@dataclass(frozen=True)
class Names:
    """What a plugin is called: ``my_thing``, ``initkit-my-thing`` and ``initkit_my_thing``."""

    plugin: str

    @property
    def distribution(self) -> str:
        """What pip installs, and the folder's name."""
        return f"initkit-{self.plugin.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What Python imports."""
        return f"initkit_{self.plugin}"


def names_of(word: str) -> Names:
    """Read a plugin's name; ``initkit-`` before it is taken off.

    Raises:
        UsageError: it is no name, or there is such a plugin.
    """
    plugin = re.sub(r"^initkit[-_]", "", word).replace("-", "_")
    if not _NAME.fullmatch(plugin):
        raise UsageError(
            f"{word!r} is no name for a plugin: take lower-case letters and digits, a letter first, with single "
            "hyphens or underscores between them"
        )
    installed = next((one for one in registry().plugins if one.name == plugin), None)
    entry = known(plugin)
    if installed is not None or entry is not None:
        whose = installed.distribution if installed is not None else entry.distribution  # type: ignore[union-attr]
        raise UsageError(f"there is a plugin {plugin!r} already, of {whose}: two of one name are both refused")
    return Names(plugin)


def write(names: Names, parent: Path) -> list[Path]:
    """Write the package into a new folder, whole or not at all.

    Args:
        names: of the plugin.
        parent: the folder in which the new one is made.

    Returns:
        The files.

    Raises:
        UsageError: the folder is there already, or the one to make it in is not.
        InitError: it cannot be written.
    """
    folder = parent / names.distribution
    if os.path.lexists(folder):
        raise UsageError(f"there is {folder} already: give another name, or --folder")
    if not parent.is_dir():
        raise UsageError(f"there is no folder {parent}")
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{names.distribution}-", dir=parent))
    except OSError as error:
        raise InitError(f"cannot write into {parent}: {error.strerror}") from None
    try:
        written = [_fill(template, draft, names) for template in FILES]
        draft.chmod(0o777 & ~_umask())  # mkdtemp keeps others out
        draft.rename(folder)
    except OSError as error:
        raise InitError(f"cannot write {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [folder / path.relative_to(draft) for path in written]


def _fill(template: str, draft: Path, names: Names) -> Path:
    words = {
        "name": names.plugin,
        "distribution": names.distribution,
        "package": names.package,
        "core": ".".join(initkit.__version__.split(".")[:2]),
    }
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    path = draft / string.Template(FILES[template]).substitute(words)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(string.Template(text).substitute(words), encoding="utf-8")
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
