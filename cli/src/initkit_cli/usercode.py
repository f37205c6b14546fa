"""Running the user's own code, and showing its errors with the user's own frames alone."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Collection, Iterator

from initkit.errors import InitError
from initkit_cli.failures import Interrupted, UsageError, UserCodeError

# Where a package's import name is not the name that pip knows.
_PIP_NAMES = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch_geometric": "torch-geometric",
    "yaml": "pyyaml",
}


@contextlib.contextmanager
def user_code(doing: str, files: Collection[str], *, always: bool = True) -> Iterator[None]:
    """Turn an error of the user's code into a :class:`UserCodeError`.

    Args:
        doing: what runs, for the headline: ``model.py``, ``build() of model.py``.
        files: files that are the user's, wherever they lie. What lies in their folders or in the working folder, and
            is no library, is the user's too.
        always: whether everything that is raised is the user's; if False, only what passes through a frame of theirs.

    Raises:
        UserCodeError: in place of the user's error. Errors of initkit and ours pass.
    """
    try:
        yield
    except (InitError, UsageError, UserCodeError, Interrupted):
        raise
    except SystemExit as error:
        hint = 'put what runs only as a script under: if __name__ == "__main__":'
        raise UserCodeError(
            f"{doing} stops the process: SystemExit: {error.code}", _frames(error, files), hint
        ) from error
    except Exception as error:
        frames = _frames(error, files)
        if not always and not frames:
            raise
        raise UserCodeError(f"{doing} fails: {headline(error)}", frames, _hint(error)) from error


def headline(error: BaseException) -> str:
    """Type and message of an error; the first lines of a long one."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = " ".join(message.split())
    return f"{name}: {text[:500]}" if text else name


def _frames(error: BaseException, files: Collection[str]) -> tuple[str, ...]:
    if isinstance(error, SyntaxError) and error.filename:
        return _syntax_frame(error)
    lines = []
    folders = {os.getcwd(), *(os.path.dirname(file) for file in files)}
    libraries = _library_folders()
    for frame in traceback.extract_tb(error.__traceback__):
        path = os.path.abspath(frame.filename)
        own = not frame.filename.startswith("<") and _under(path, folders) and not _under(path, libraries)
        if own or frame.filename in files:
            lines.append(f"  {_short(frame.filename)}:{frame.lineno}, in {frame.name}")
            if frame.line:
                lines.append(f"    {frame.line}")
    return tuple(lines)


def _syntax_frame(error: SyntaxError) -> tuple[str, ...]:
    lines = [f"  {_short(str(error.filename))}:{error.lineno}"]
    if error.text:
        text = error.text.rstrip("\n")
        indent = len(text) - len(text.lstrip())
        lines.append(f"    {text.strip()}")
        if error.offset:
            lines.append(f"    {' ' * max(error.offset - 1 - indent, 0)}^")
    return tuple(lines)


def _hint(error: BaseException) -> str:
    if isinstance(error, ImportError) and "attempted relative import" in str(error):
        return "for a file inside a package, name it as a module: package.module:build"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.partition(".")[0]
    if top in sys.modules or top in sys.stdlib_module_names:
        return ""
    return f"if {top!r} is a package: pip install {_PIP_NAMES.get(top, top)}"


def _short(filename: str) -> str:
    try:
        near = os.path.relpath(filename)
    except ValueError:  # another drive
        return filename
    return filename if near.startswith(os.pardir) else near


def _under(path: str, places: Collection[str]) -> bool:
    return any(path == place or path.startswith(place.rstrip(os.sep) + os.sep) for place in places)


def _library_folders() -> set[str]:
    """Python's own folders and those of the core, the command line and every plugin, editable installs included."""
    from initkit.plugins import registry

    found = {os.path.abspath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = ["initkit", "initkit_cli", *(plugin.module.partition(":")[0] for plugin in registry().plugins)]
    for name in packages:
        package = sys.modules.get(name.partition(".")[0])
        file = getattr(package, "__file__", None)
        if file is None:
            continue
        folder, base = os.path.split(os.path.abspath(file))
        found.add(folder if base.startswith("__init__.") else os.path.abspath(file))
    return found
