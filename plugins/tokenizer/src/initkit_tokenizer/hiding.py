"""A vocabulary that lacks some of its tokens: what a model's own rows can be used for as an exam."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from initkit_tokenizer.layout import RowLayout
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocab_plan import make_plan
from initkit_tokenizer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from initkit import JobContext


def hidden(vocabulary: Vocabulary, ids: Collection[int]) -> Vocabulary:
    """The vocabulary without some ordinary tokens; their text is cut into what remains.

    A BPE model loses the merges that make or use them, so tokens that grew from them cannot be reached either.

    Args:
        vocabulary: to hide tokens of.
        ids: of tokens that are no added ones.
    """
    gone = set(ids)
    names = {vocabulary.tokens[i]: f"\ue000{i}\ue001" for i in gone}
    spec = copy.deepcopy(dict(vocabulary._spec))
    model: dict[str, Any] = spec["model"]
    # Renamed, not removed: ids of some models are places in a list. No text holds these private characters.
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(text, text): i for text, i in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(text, text), score] for text, score in model["vocab"]]
    if model.get("merges"):
        model["merges"] = [pair for pair in model["merges"] if not _involved(pair, names)]
    return replace(
        vocabulary,
        tokens={i: text for i, text in vocabulary.tokens.items() if i not in gone},
        keys={i: key for i, key in vocabulary.keys.items() if i not in gone},
        _spec=spec,
    )


def exam(task: RowTask, ids: Sequence[int], tokenizer: Vocabulary, wanted: Sequence[int]) -> RowTask:
    """The task of making old rows anew, as if their tokens were new ones.

    Args:
        task: the real one.
        ids: old ids to hide.
        tokenizer: that has tokens for the hidden ones; the old one itself, or the new one.
        wanted: ids of the hidden tokens in ``tokenizer``, to make rows for.

    Returns:
        a task whose ``plan.new`` are those of ``wanted`` that the rest spells, in order.
    """
    old = Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer")
    rest = hidden(old, ids)
    plan = make_plan(rest, tokenizer)
    chosen = set(wanted)
    plan = replace(plan, new=tuple(token for token in plan.new if token.id in chosen and token.kind == "pieces"))
    layout = RowLayout.of(plan, max(len(task.old), plan.new_size))
    gone = set(ids)
    return replace(
        task,
        ctx=cast("JobContext", _Silent(task.ctx)),
        plan=plan,
        layout=layout,
        trained=task.trained[[i not in gone for i in task.trained.tolist()]],
        needs={**task.needs, "old_tokenizer": rest, "tokenizer": tokenizer},
        shared={},
        facts={},
        fallbacks={},
    )


class _Silent:
    """A job's context whose notes go nowhere: an exam is not what was done."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx

    def note(self, key: str, table: Any) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


def _involved(merge: Any, names: Collection[str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names
