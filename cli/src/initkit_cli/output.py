"""The two files of a run: checked before work starts, written both or neither."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from initkit.errors import FileError
from initkit_cli.failures import UsageError

SUFFIX = ".safetensors"


@dataclass
class Outputs:
    """Where the tensors and the report go.

    Args:
        model: of the tensors.
        report: of the report.
    """

    model: Path
    report: Path
    written: bool = False
    _made: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, output: str | None, stem: str) -> Outputs:
        """The files of ``--output``; without it they bear the target's name and lie in the working folder.

        Raises:
            UsageError: the name is no name of a safetensors file.
        """
        text = output if output is not None else stem + SUFFIX
        path = Path(text)
        if path.is_dir() or text.endswith(("/", os.sep)):
            raise UsageError(f"--output {text} is a folder; name a file in it: {path / (stem + SUFFIX)}")
        if path.suffix != SUFFIX:
            raise UsageError(f"--output {text}: the file's name must end in {SUFFIX}: {path.with_suffix(SUFFIX)}")
        return cls(path, path.with_suffix(".report.json"))

    def check(self, *, force: bool) -> None:
        """Look whether the files may be written; changes nothing.

        Raises:
            UsageError: one exists, and ``force`` is not given.
            FileError: one is a folder.
        """
        for path in (self.model, self.report):
            if path.is_dir():
                raise FileError(f"cannot write {path}: it is a folder")
            if os.path.lexists(path) and not force:
                raise UsageError(f"{path} exists; add --force to replace it, or name another file with --output")

    def prepare(self) -> None:
        """Make the folder, and try whether it can be written to.

        Raises:
            FileError: it cannot be made or written to; what was made is removed again.
        """
        folder = self.model.parent
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir()
                self._made.append(path)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            self.discard()
            if isinstance(error, (FileExistsError, NotADirectoryError)):
                file = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), folder)
                raise FileError(f"cannot write {self.model}: {file} is a file, not a folder") from None
            why = error.strerror or str(error)
            raise FileError(f"cannot write {self.model}: folder {folder}: {why}; name another with --output") from None

    def write(self, model: Callable[[Path], None], report: Callable[[Path], None], *, force: bool) -> None:
        """Write both files or neither.

        Both are written in full under a hidden folder beside their place and then moved; if the second move fails,
        the first is undone.

        Args:
            model: writes the tensors to a path.
            report: writes the report to a path.
            force: whether existing files are replaced.

        Raises:
            UsageError: a file has appeared meanwhile.
            FileError: one cannot be written; both are as they were.
        """
        try:
            stage = Path(tempfile.mkdtemp(prefix=".initkit-", dir=self.model.parent))
        except OSError as error:
            raise FileError(f"cannot write {self.model}: {error.strerror or error}") from None
        try:
            ready = [(stage / self.model.name, self.model), (stage / self.report.name, self.report)]
            for (source, place), write in zip(ready, (model, report), strict=True):
                _named(write, source, place)
            self.check(force=force)
            self._move(ready, stage)
            self.written = True
        except OSError as error:
            raise FileError(f"cannot write {self.model}: {error.strerror or error}; nothing was written") from None
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folders that were made for files that never came."""
        if not self.written:
            for path in reversed(self._made):
                with contextlib.suppress(OSError):
                    path.rmdir()
            self._made.clear()

    def fate(self) -> str:
        """What became of the files, for a run that was interrupted."""
        return f"{self.model} and {self.report} were already written" if self.written else "nothing was written"

    def _move(self, ready: list[tuple[Path, Path]], stage: Path) -> None:
        undo: list[Callable[[], None]] = []
        try:
            for source, place in ready:
                old = stage / f"{place.name}.old"
                if os.path.lexists(place):
                    _second_name(place, old)
                    undo.append(lambda old=old, place=place: os.replace(old, place))  # type: ignore[misc]
                else:
                    undo.append(place.unlink)
                os.replace(source, place)
        except BaseException:
            for step in reversed(undo):
                with contextlib.suppress(OSError):
                    step()
            raise
        _sync(self.model.parent)


def _named(write: Callable[[Path], None], source: Path, place: Path) -> None:
    """Write under the hidden folder; an error speaks of the place that was asked for."""
    try:
        write(source)
    except FileError as error:
        raise FileError(str(error).replace(str(source), str(place))) from None


def _second_name(path: Path, other: Path) -> None:
    """Keep a file under a second name, as a link where the file system has links."""
    try:
        os.link(path, other, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, other, follow_symlinks=False)


def _sync(folder: Path) -> None:
    # Makes the moves last; not every system lets a folder be opened.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
