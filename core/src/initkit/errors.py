"""Errors that a user can act on. Each message says what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InitError(ValueError):
    """Root of all errors that initkit raises on purpose."""


class OptionError(InitError):
    """A recipe's option is unknown, of the wrong type or out of range."""


class NeedError(InitError):
    """A recipe asks for data that is missing, unknown or unusable."""


class PlanError(InitError):
    """A recipe cannot plan this model, or its plan does not fit the model."""


class CommitError(InitError):
    """Writing a plan failed; the model is as it was before."""


class PluginError(InitError):
    """A plugin is unknown, broken or not installed."""


class ProbeError(InitError):
    """A model that cannot be measured or trained as asked."""


class RankError(InitError):
    """Of several processes that hold one model, one has failed or does not do what the others do.

    Attributes:
        told: whether every process raises it with the same words.
    """

    told: bool = False


class FileError(InitError):
    """A file cannot be read or written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to ``word``, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def headline(error: BaseException) -> str:
    """Type and message of a stranger's error, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def listed(words: Iterable[str], most: int = 8) -> str:
    """Join words for a message, naming at most ``most`` of them and counting the rest."""
    items = list(words)
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
