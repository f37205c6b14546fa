"""The files of a run: checked before work starts, written all or none."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from initkit.errors import FileError
from initkit_cli.failures import UsageError

SUFFIX = ".safetensors"
PAGES = (".html", ".htm")


@dataclass
class Outputs:
    """Where the tensors, the report and the page go.

    Args:
        model: of the tensors.
        report: of the report.
        page: of the page; None where none is asked for.
        folder: whether the subject is written as a folder, and not its tensors as a file.
    """

    model: Path
    report: Path
    page: Path | None = None
    folder: bool = False
    written: bool = False
    _made: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, output: str | None, stem: str, page: str | None = None) -> Outputs:
        """The files of ``--output`` and ``--report``; without the former the tensors and the report bear the target's
        name and lie in the working folder. A name that ends in a slash is a folder for the whole subject.

        Raises:
            UsageError: the name is no name of such a file.
        """
        text = output if output is not None else stem + SUFFIX
        path = Path(text)
        if text.endswith(("/", os.sep)) and path.name:
            return cls(path, path.with_name(f"{path.name}.report.json"), _page(page, stem), folder=True)
        if path.is_dir():
            raise UsageError(f"--output {text} is a folder; name a file in it: {path / (stem + SUFFIX)}")
        if path.suffix != SUFFIX:
            raise UsageError(f"--output {text}: the file's name must end in {SUFFIX}: {path.with_suffix(SUFFIX)}")
        return cls(path, path.with_suffix(".report.json"), _page(page, stem))

    def no_folder(self, stem: str) -> UsageError:
        """What to say where the subject cannot be written as a folder."""
        return UsageError(f"--output {self.model}/ is a folder; name a file in it: {self.model / (stem + SUFFIX)}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, in the order in which they are written."""
        return (self.model, self.report) if self.page is None else (self.model, self.report, self.page)

    def check(self, *, force: bool) -> None:
        """Look whether the files may be written; changes nothing.

        Raises:
            UsageError: one exists, and ``force`` is not given.
            FileError: one is a folder.
        """
        for path in self.paths:
            if path is self.model and self.folder:
                if path.is_dir() and not any(path.iterdir()):
                    continue
                if os.path.lexists(path) and not path.is_dir():
                    raise FileError(f"cannot write {path}: it is a file, not a folder")
            elif path.is_dir():
                raise FileError(f"cannot write {path}: it is a folder")
            if os.path.lexists(path) and not force:
                flag = "--report" if path is self.page else "--output"
                raise UsageError(f"{path} exists; add --force to replace it, or name another file with {flag}")

    def prepare(self) -> None:
        """Make the folders, and try whether they can be written to.

        Raises:
            FileError: one cannot be made or written to; what was made is removed again.
        """
        self._prepare(self.model, "--output")
        if self.page is not None:
            self._prepare(self.page, "--report")

    def _prepare(self, file: Path, flag: str) -> None:
        folder = file.parent
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
                blocks = [path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()]
                raise FileError(f"cannot write {file}: {[*blocks, folder][0]} is a file, not a folder") from None
            why = error.strerror or str(error)
            raise FileError(f"cannot write {file}: folder {folder}: {why}; name another with {flag}") from None

    def write(self, *writers: Callable[[Path], None], force: bool) -> None:
        """Write all files or none.

        They are written in full under hidden folders beside their places and then moved; if a move fails, those
        before it are undone.

        Args:
            writers: one for each of :attr:`paths`, called with a path to write to.
            force: whether existing files are replaced.

        Raises:
            UsageError: a file has appeared meanwhile.
            FileError: one cannot be written; all are as they were.
        """
        stages: dict[Path, Path] = {}
        try:
            ready = []
            for place, write in zip(self.paths, writers, strict=True):
                if place.parent not in stages:
                    stages[place.parent] = Path(tempfile.mkdtemp(prefix=".initkit-", dir=place.parent))
                source = stages[place.parent] / place.name
                _named(write, source, place)
                ready.append((source, place))
            self.check(force=force)
            self._move(ready)
            self.written = True
        except OSError as error:
            raise FileError(f"cannot write {self.model}: {error.strerror or error}; nothing was written") from None
        finally:
            for stage in stages.values():
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
        if not self.written:
            return "nothing was written"
        *most, last = map(str, self.paths)
        return f"{', '.join(most)} and {last} were already written"

    def _move(self, ready: Sequence[tuple[Path, Path]]) -> None:
        undo: list[Callable[[], None]] = []
        try:
            for source, place in ready:
                old = source.with_name(f"{place.name}.old")
                if place.is_dir():
                    os.replace(place, old)
                    undo.append(lambda old=old, place=place: os.replace(old, place))  # type: ignore[misc]
                elif os.path.lexists(place):
                    _second_name(place, old)
                    undo.append(lambda old=old, place=place: os.replace(old, place))  # type: ignore[misc]
                else:
                    undo.append(lambda place=place: _remove(place))  # type: ignore[misc]
                os.replace(source, place)
        except BaseException:
            for step in reversed(undo):
                with contextlib.suppress(OSError):
                    step()
            raise
        for folder in {place.parent for _, place in ready}:
            _sync(folder)


def _page(text: str | None, stem: str) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if path.is_dir() or text.endswith(("/", os.sep)):
        raise UsageError(f"--report {text} is a folder; name a file in it: {path / (stem + '.html')}")
    if path.suffix.lower() not in PAGES:
        raise UsageError(
            f"--report {text}: the page's name must end in {PAGES[0]}: {path.with_suffix(PAGES[0])} "
            "(the report as JSON is written beside the tensors in any case)"
        )
    return path


def _named(write: Callable[[Path], None], source: Path, place: Path) -> None:
    """Write under the hidden folder; an error speaks of the place that was asked for."""
    try:
        write(source)
    except FileError as error:
        raise FileError(str(error).replace(str(source), str(place))) from None


def _remove(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


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
