"""Output rows of tools from what the model makes of their names, and the penalty that holds them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import CommitError, Item
from initkit_tokenizer import statistics
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.description import described_pieces, mean_rows
from initkit_tokenizer.pieces import Cutter
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary

_BRACKETS = str.maketrans("", "", "[]<>")


@dataclass(frozen=True)
class ToolToken(RowRecipe):
    """Tools start, in the output matrix, where the model's own hidden states of their names point.

    The model reads the tool's name without brackets, with no start or end token; a is the mean over positions of its
    hidden states after the final norm, and the output row is a/‖a‖·c, with c the mean norm of output rows. Input rows
    are the mean of the rows of the token's description, or of its own pieces. Where the head is tied to the input there
    is no row for the output alone: all get the input's.

    Args:
        compat: ``authors`` takes c = 1/√``compat_width`` for every model.
        compat_width: the authors' 5120 is the width of a 13B Llama.

    Source: Li et al., TokenLearning, 2025 (arXiv 2506.14248); ``prior_penalty`` is its regulariser.
    """

    bibtex: ClassVar[str] = """@misc{li2025tokenlearning,
  title = {TokenLearning},
  author = {Li and others},
  year = {2025},
  eprint = {2506.14248},
  archivePrefix = {arXiv}
}"""

    compat: Literal["authors"] | None = None
    compat_width: Annotated[int, Ge(1)] = 5120

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any, descriptions: Any = None) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: called with ids, (1, positions); with an output matrix of its own.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            descriptions: ``{token: text}`` for the input rows.
        """
        yield from self.items(model, old_tokenizer, tokenizer, descriptions=descriptions)

    def rows(self, task: RowTask) -> Tensor:
        """Directions of hidden states for the head, means of pieces for the input."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        pieces = described_pieces(task, required=False)
        if task.role == "input":
            if not task.untied:
                task.facts["head"] = (
                    "tied: rows of the input" if task.output else "there is none: rows of the input alone"
                )
            return mean_rows(task, pieces)
        return self._directions(task)

    def _directions(self, task: RowTask) -> Tensor:
        cutter = Cutter(Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer"))
        names = [token.text.translate(_BRACKETS).strip() or token.text for token in task.plan.new]
        length = self.compat_width**-0.5 if self.compat == "authors" else statistics.mean_norm(task.old, task.trained)
        rows = torch.zeros(task.count, task.width, device=task.old.device)
        cuts = list(enumerate(cutter.cut([name.encode() for name in names])))
        task.fallbacks.clear()
        for place, cut in task.ctx.progress(cuts, "reading the tools' names", len(cuts)):
            if not cut.ids:
                task.fall_back(place, f"no old token spells any part of {names[place]!r}")
                continue
            states = _final_states(task, cut.ids)
            rows[place] = name_direction(states) * length
        return rows


def name_direction(states: Tensor) -> Tensor:
    """a/‖a‖ with a the mean of hidden states (positions, d)."""
    a = states.to(torch.float32).mean(0)
    unit: Tensor = a / a.norm().clamp_min(torch.finfo(torch.float32).tiny)
    return unit


def prior_penalty(prior: Tensor, *, strength: float = 1e-2, squared: bool = False) -> Callable[[Tensor], Tensor]:
    """The regulariser that holds tool rows near their start: strength·‖W - P‖_F, to be added to the loss.

    Args:
        prior: P, the rows as they start, (tools, d); copied.
        strength: the authors' 1e-2.
        squared: strength·‖W - P‖²_F instead; the authors' is not squared.

    Returns:
        a function of W, (tools, d), that gives a scalar.

    Source: Li et al., TokenLearning, 2025 (arXiv 2506.14248), their code.
    """
    fixed = prior.detach().clone()

    def penalty(rows: Tensor) -> Tensor:
        difference = rows - fixed.to(rows.device, rows.dtype)
        distance = difference.square().sum() if squared else torch.linalg.vector_norm(difference)
        return strength * distance

    return penalty


def _final_states(task: RowTask, ids: tuple[int, ...]) -> Tensor:
    """What the output matrix is given at each position, (positions, d): hidden states after the final norm.

    Raises:
        CommitError: the model cannot be called with ids, or does not call its head on them.
    """
    head = task.ctx.model.get_submodule(task.tensor.name.rpartition(".")[0])
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    try:
        task.ctx.forward(torch.tensor([ids], device=task.ctx.device))
    except (TypeError, ValueError) as error:
        raise CommitError(
            f"recipe tokenizer/tool_token: {type(task.ctx.model).__name__} cannot be called with ids alone ({error})"
        ) from None
    finally:
        handle.remove()
    if len(seen) != 1 or tuple(seen[0].shape) != (1, len(ids), task.width):
        found = [tuple(states.shape) for states in seen]
        raise CommitError(
            f"recipe tokenizer/tool_token: {type(head).__name__} of {task.tensor.name} was given {found or 'nothing'}; "
            f"expected one call with {(1, len(ids), task.width)}"
        )
    return seen[0][0].to(task.old.device)
