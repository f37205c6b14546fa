"""Plugins that are not installed: one file, or a folder with a package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from initkit.errors import PluginError, listed

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Source:
    """Where a plugin's module lies.

    Attributes:
        place: the file or folder that was given.
        name: of the plugin.
        module: its dotted name.
        file: of the module.
        root: the folder that the module's imports begin from.
        alone: whether the plugin is this one file.
    """

    place: Path
    name: str
    module: str
    file: Path
    root: Path
    alone: bool

    @property
    def label(self) -> str:
        """What stands in for a distribution: the name of the file or folder, without the way to it."""
        return self.file.name if self.alone else self.file.parent.name

    @property
    def version(self) -> str:
        """What stands in for a version: the beginning of a hash of the code."""
        files = [self.file] if self.alone else sorted(self.file.parent.rglob("*.py"))
        return f"sha256-{hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest()[:12]}"

    def load(self) -> ModuleType:
        """Import the module; the folder stays on the module path, since recipes are imported later."""
        if str(self.root) not in sys.path:
            # Last for a lone file: its neighbours must not hide installed modules.
            sys.path.insert(len(sys.path) if self.alone else 0, str(self.root))
        if not self.alone:
            return importlib.import_module(self.module)
        spec = importlib.util.spec_from_file_location(self.module, self.file)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # Compiled here and not by the loader, which would leave a __pycache__ beside the file.
        code = compile(self.file.read_bytes(), str(self.file), "exec", dont_inherit=True)
        sys.modules[self.module] = module
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[self.module]
            raise
        return module


def source_of(path: str) -> Source:
    """Find the plugin at a path.

    Raises:
        PluginError: there is none.
    """
    place = Path(path).absolute()
    if place.is_dir():
        return _folder(path, place)
    if not place.is_file():
        raise PluginError(f"plugin {path}: there is no such file or folder")
    if place.suffix != ".py":
        raise PluginError(f"plugin {path}: a plugin is a Python file, or a folder with one named plugin.py")
    name = place.stem
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"plugin {path}: the file's name is the plugin's, so it must be lower-case letters, digits and underscores"
        )
    if _hides(name, place):
        raise PluginError(f"plugin {path}: there is a module {name!r} already; give the file another name")
    return Source(place, name, name, place, place.parent, alone=True)


def _folder(path: str, place: Path) -> Source:
    doors = [file for glob in ("plugin.py", "src/*/plugin.py", "*/plugin.py") for file in sorted(place.glob(glob))]
    if not doors:
        raise PluginError(f"plugin {path}: the folder holds no plugin.py, src/PACKAGE/plugin.py or PACKAGE/plugin.py")
    if len(doors) > 1:
        raise PluginError(
            f"plugin {path}: the folder holds several plugins: {listed(str(door.relative_to(place)) for door in doors)}"
        )
    package = doors[0].parent
    name = package.name.removeprefix("initkit_")
    if not package.name.isidentifier() or not _NAME.fullmatch(name):
        raise PluginError(f"plugin {path}: {package.name!r} is no name of a package")
    module = f"{package.name}.plugin"
    if _hides(package.name, package / "__init__.py", package):
        raise PluginError(
            f"plugin {path}: there is another package {package.name!r}; uninstall it or rename the folder"
        )
    return Source(place, name, module, doors[0], package.parent, alone=False)


def _hides(name: str, *places: Path) -> bool:
    """Whether another module has the name."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return name in sys.modules
    if found is None:
        return False
    where = [found.origin, *(found.submodule_search_locations or [])]
    return not any(Path(one).resolve() == place.resolve() for one in where if one for place in places)
