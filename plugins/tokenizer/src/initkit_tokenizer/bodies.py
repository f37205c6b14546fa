"""What a model makes of tokens: its last hidden states, with rows in the place of some tokens' own."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from initkit import CommitError

if TYPE_CHECKING:
    from initkit import JobContext
    from initkit_tokenizer.task import RowTask


class Body:
    """A model from its embedding to its last hidden states, those after the final norm.

    Of a model of transformers that is its base model (of an encoder and a decoder the encoder); of any other, what its
    head is given, or what it returns where it has none. The model is run as it is: put it into the mode it is to have.

    Args:
        model: the subject, or a copy of it.
        embedding: name of the module that looks tokens up.
        head: name of the module that gives logits, if there is one.
        recipe: its id, for messages.
    """

    def __init__(self, model: nn.Module, embedding: str, head: str | None, recipe: str) -> None:
        self.model, self.recipe = model, recipe
        self.embedding = model.get_submodule(embedding)
        self.head = None if head is None else model.get_submodule(head)
        self._runs = self._inner()
        self._masked = "attention_mask" in inspect.signature(self._runs.forward).parameters
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
        self.width, self.device = int(weight.shape[1]), weight.device

    @classmethod
    def of(cls, task: RowTask, recipe: str, model: nn.Module | None = None) -> Body:
        """The body that the tensor of a task feeds.

        Args:
            task: of an input.
            recipe: its id, for messages.
            model: a copy of the task's model to run in its place.
        """
        name = task.tensor.name.rpartition(".")[0]
        return cls(task.ctx.model if model is None else model, name, task.output or None, recipe)

    def _inner(self) -> nn.Module:
        model = self.model
        bare = getattr(model, "get_base_model", None)  # of PEFT
        found = bare() if callable(bare) else model
        if getattr(getattr(found, "config", None), "is_encoder_decoder", False):
            found = found.get_encoder()  # type: ignore[operator]
        elif isinstance(getattr(found, "text_model", None), nn.Module):
            found = found.text_model
        else:
            found = getattr(found, "base_model", found)
        return found if isinstance(found, nn.Module) and self._tables(found) else model

    def _tables(self, where: nn.Module) -> list[nn.Module]:
        """The modules that look tokens up there: the embedding, and others with the same weight (T5's)."""
        return [
            module
            for module in where.modules()
            if module is self.embedding or (isinstance(module, nn.Embedding) and module.weight is self.embedding.weight)
        ]

    def states(self, ids: Tensor, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Last hidden states, (batch, positions, d).

        Args:
            ids: (batch, positions), int64, on :attr:`device`; i >= 0 is an old token, -1 - j is row j of ``rows``.
            mask: 1 where there is a token, (batch, positions); None is everywhere.
            rows: what some tokens are looked up as, (any, d); gradients flow to them.

        Raises:
            CommitError: the model cannot be called with ids alone, or gives no states of the embedding's width.
        """
        with self._replaced(ids, rows) as used, self._watched() as seen:
            given = self._called(ids.clamp_min(0), mask)
        found = getattr(given, "last_hidden_state", None)
        if found is None:
            found = seen[0] if len(seen) == 1 else given[0] if isinstance(given, tuple) and given else given
        wanted = (*ids.shape, self.width)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise CommitError(
                f"recipe {self.recipe}: the hidden states of {type(self._runs).__name__} are {shape}, expected {wanted}"
            )
        if not used:
            raise CommitError(
                f"recipe {self.recipe}: {type(self._runs).__name__} does not look its tokens up in this embedding; "
                f"name the module that it uses with embedding=NAME"
            )
        return found

    def reads(self) -> bool:
        """Whether the model looks its tokens up in this embedding: PEFT keeps one beside that it does not use.

        Raises:
            CommitError: the model cannot be called with ids alone.
        """
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.device)
        with torch.no_grad(), self._replaced(ids, None) as used:
            self._called(ids, None)
        return bool(used)

    def _called(self, ids: Tensor, mask: Tensor | None) -> Any:
        named: dict[str, Any] = {} if mask is None or not self._masked else {"attention_mask": mask}
        try:
            return self._runs(ids, **named)
        except (TypeError, ValueError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise CommitError(
                f"recipe {self.recipe}: {type(self._runs).__name__} cannot be called with ids alone ({reason})"
            ) from None

    @property
    def takes_masks(self) -> bool:
        """Whether padding can be hidden from the model."""
        return self._masked

    def causal(self) -> bool:
        """Whether a state depends on what stands before it alone; found by changing the last token."""
        with torch.no_grad():
            one, two = torch.tensor([[0, 1, 0], [0, 1, 1]], device=self.device)[:, None]
            return bool(torch.equal(self.states(one)[:, :2], self.states(two)[:, :2]))

    def gives_logits(self) -> bool:
        """Whether logits are the head of the last hidden states and nothing else; found by comparing both."""
        if self.head is None:
            return False
        with torch.no_grad():
            ids = torch.tensor([[0, 1, 0]], device=self.device)
            try:
                given = self.model(ids)
                made = self.head(self.states(ids))
            except (TypeError, ValueError, RuntimeError):
                return False
        logits = getattr(given, "logits", given)
        return (
            isinstance(logits, Tensor)
            and logits.shape == made.shape
            and bool(torch.allclose(logits.float(), made.float(), rtol=1e-3, atol=1e-4))
        )

    @contextlib.contextmanager
    def _replaced(self, ids: Tensor, rows: Tensor | None) -> Iterator[list[bool]]:
        """Rows take the place of what the embedding gives; says whether it was asked."""
        used: list[bool] = []

        def replace(module: nn.Module, args: Any, given: Tensor) -> Tensor | None:
            used.append(True)
            if rows is None or tuple(given.shape[:-1]) != tuple(ids.shape):
                return None
            new = ids < 0
            looked_up = rows[(-1 - ids).clamp_min(0)] * self._factor(given, ids)
            return torch.where(new[..., None], looked_up.to(given.dtype), given)

        handles = [module.register_forward_hook(replace) for module in self._tables(self._runs)]
        try:
            yield used
        finally:
            for handle in handles:
                handle.remove()

    def _factor(self, given: Tensor, ids: Tensor) -> float | Tensor:
        """What the embedding multiplies its rows by (Gemma: the root of d), from an old token it has looked up."""
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            base = weight[ids.clamp_min(0)]
            if torch.equal(base, given):
                return 1.0
            place = base.float().abs().flatten().argmax()
            return (given.float().flatten()[place] / base.float().flatten()[place]).detach()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[list[Tensor]]:
        """What the head is given."""
        seen: list[Tensor] = []
        if self.head is None or self._runs is not self.model:
            yield seen
            return
        handle = self.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        try:
            yield seen
        finally:
            handle.remove()


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradient for any parameter inside; ``requires_grad`` is restored."""
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def running(ctx: JobContext, *, grad: bool = False) -> Iterator[nn.Module]:
    """The job's model in eval mode on ``ctx.device``: itself, or a copy where it stays elsewhere.

    Args:
        ctx: of the job.
        grad: whether autograd records; parameters take no gradient.
    """
    with ctx.undisturbed(grad=grad) as model, frozen(model):
        stays = next((parameter.device for parameter in model.parameters()), ctx.device)
        yield model if stays == ctx.device else copy.deepcopy(model).to(ctx.device)
