"""What can go wrong, its exit code, and the words it is told in."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from initkit.errors import InitError

DONE = 0


class UsageError(Exception):
    """Wrong usage: the mistake stands in the command line itself."""

    is_message = True  # it says all there is to say, to other processes too


class UserCodeError(Exception):
    """An error raised inside the user's own file.

    Args:
        headline: which file, doing what, and the error.
        frames: lines that show the user's own frames, outermost first.
        hint: what to do next, if known.
    """

    is_message = True

    def __init__(self, headline: str, frames: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(headline)
        self.headline, self.frames, self.hint = headline, frames, hint


class Interrupted(Exception):
    """Ctrl-C, with what became of the output."""


@dataclass(frozen=True)
class Failure:
    """A failure as it is told: exit code, kind (for ``--json``), one line, and further lines below it."""

    code: int
    kind: str
    message: str
    details: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The failure as JSON values."""
        found: dict[str, object] = {"kind": self.kind, "message": self.message, "exit_code": self.code}
        if self.details:
            found["details"] = list(self.details)
        return found


INTERRUPTED = Failure(130, "interrupted", "interrupted; nothing was written")
BUG = Failure(1, "bug", "this is a bug, in initkit or in a plugin: the traceback says where")


def failure_of(error: BaseException) -> Failure | None:
    """How an error is told, or None when it is no mistake of the user's and must show as it is."""
    if isinstance(error, UsageError):
        return Failure(2, "usage", one_line(str(error)))
    if isinstance(error, UserCodeError):
        hint = (error.hint,) if error.hint else ()
        return Failure(1, "user code", one_line(error.headline), (*error.frames, *hint))
    if isinstance(error, Interrupted):
        return Failure(130, "interrupted", one_line(str(error)))
    if isinstance(error, InitError):
        return Failure(1, "work", one_line(str(error)))
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    return _parsing_failure(error)


def one_line(text: str) -> str:
    """The text without line breaks and repeated blanks."""
    return " ".join(text.split())


def _parsing_failure(error: BaseException) -> Failure | None:
    """Errors of typer's parser; its base class has moved between versions, so it is found through the public one."""
    base = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    if not isinstance(error, base):
        return None
    message = one_line(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    near = getattr(error, "possibilities", None)
    if near and getattr(error, "option_name", None):
        message = f"no such option {error.option_name}; did you mean {sorted(near)[0]}?"  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "") or "initkit"
    return Failure(2, "usage", f"{message[:1].lower()}{message[1:]}", (f"see: {path} --help",))
