"""Meta-learned starts: weights from which a few steps of gradient descent fit a new signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from torch import Tensor, nn

from initkit import Draw, Fill, InitError, Item, Job, JobContext, NeedError, OptionError, PlanError, Recipe
from initkit.jobs import check_checkpoint
from initkit_inr.adaptation import Method
from initkit_inr.calling import check_stateless
from initkit_inr.layers import LayerPlan, Said, find_layers
from initkit_inr.learned import Learned
from initkit_inr.meta_training import MetaTraining
from initkit_inr.start_facts import network_rows
from initkit_inr.starts import check_values, sampled, siren_draws, trained_names, warn_of
from initkit_inr.tasks import Tasks

NAMES = {"maml": "MAML", "fomaml": "first-order MAML", "reptile": "Reptile"}


@dataclass(frozen=True)
class Meta(Recipe):
    """Meta-learned start: weights from which a few SGD steps fit a new signal of the kind they have seen.

    Each outer iteration adapts the weights to a few signals by ``inner_steps`` steps of plain SGD on the mean squared
    error and moves the start by Adam. MAML follows the exact gradient of the loss after those steps, through the
    steps; its first-order variant takes the gradient where the steps end; Reptile goes towards the adapted weights.
    At use the network is fitted by SGD with the same learning rate as the inner steps.

    The start is that of networks called with the same coordinates: their range, its end points and their order go
    into the saved file, and ``learned=FILE`` refuses others.

    Args:
        method: ``maml``, ``fomaml`` (first-order MAML) or ``reptile``.
        iters: outer iterations; the authors take 150,000 for CelebA.
        tasks_per_iter: signals in an outer iteration.
        inner_steps: K, the steps of SGD that adapt the weights to a signal.
        inner_lr: their learning rate.
        outer_lr: learning rate of Adam; below 5,000 iterations 1e-4, the authors' 1e-5 for 150,000.
        points_per_step: a new random subset of the points for each step, to save memory; null takes all.
        start: what is learned from: ``siren`` draws from this run's seed with zero biases, or the values ``present``.
        activation: where it cannot be read from the model: ``sine:30``, or one for each layer.
        val_tasks: that many signals, the last ones, choose the iteration by their loss after the inner steps.
        val_every: iterations between two such looks.
        patience: looks without a lower loss after which learning ends; 0 never ends early.
        vectorize: tasks at once (``vmap``) or one by one (``loop``); ``auto`` is vmap on a GPU and loop on a CPU.
        recompute: MAML holds the weights of each inner step and not its graph: memory of one step for more time.
        loss_fn: another loss than the mean squared error: ``loss_fn(model, params, task)`` with ``params`` for
            ``torch.func.functional_call`` and a task's tensors by name.
        learned: a start that was learned before: a file that initkit saved, or learnit's checkpoint (.npz, .pkl).
        checkpoint: a file that takes the last good state on Ctrl-C or when the loss is no number, and every 500
            iterations; if it exists, learning goes on from it.

    Source: Tancik, Mildenhall, Wang, Schmidt, Srinivasan, Barron, Ng, Learned Initializations for Optimizing
    Coordinate-Based Neural Representations, CVPR 2021 (arXiv 2012.02189).
    """

    reads_values: ClassVar[bool] = True
    bibtex: ClassVar[str] = """@inproceedings{tancik2021learned,
  title = {Learned Initializations for Optimizing Coordinate-Based Neural Representations},
  author = {Tancik, Matthew and Mildenhall, Ben and Wang, Terrance and Schmidt, Divi and Srinivasan, Pratul P. and
    Barron, Jonathan T. and Ng, Ren},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2021},
  eprint = {2012.02189},
  archivePrefix = {arXiv}
}"""

    method: Method = "maml"
    iters: Annotated[int, Ge(1)] = 1000
    tasks_per_iter: Annotated[int, Ge(1)] = 3
    inner_steps: Annotated[int, Ge(1)] = 2
    inner_lr: Annotated[float, Gt(0)] = 1e-2
    outer_lr: Annotated[float, Gt(0)] = 1e-4
    points_per_step: Annotated[int, Ge(1)] | None = None
    start: Literal["siren", "present"] = "siren"
    activation: Said = None
    val_tasks: Annotated[int, Ge(0)] = 0
    val_every: Annotated[int, Ge(1)] = 100
    patience: Annotated[int, Ge(0)] = 0
    vectorize: Literal["auto", "vmap", "loop"] = "auto"
    recompute: bool = False
    loss_fn: Callable[..., Any] | None = None
    learned: str | None = None
    checkpoint: str | None = None

    def check(self) -> None:
        """Check the options; the checkpoint's folder must exist."""
        super().check()
        check_checkpoint(self.id, self.checkpoint)
        if self.recompute and self.method != "maml":
            raise OptionError(f"recipe {self.id}: recompute=True is for method='maml', not {self.method!r}")
        if self.patience and not self.val_tasks:
            raise OptionError(f"recipe {self.id}: patience={self.patience} needs val_tasks, the signals that choose")

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """All parameters of a sine network."""
        try:
            check_stateless(model, "inr/meta")
            siren_draws(model, find_layers(model), "inr/meta", "zero")
        except InitError:
            return []
        return trained_names(model)

    def plan(self, model: nn.Module, *, signals: Any = None, coords: Any = None) -> Iterator[Item]:
        """Yield the learning job and a fill for each parameter.

        Args:
            model: takes coordinates (points, d) and gives (points, channels).
            signals: (n, *grid) or (n, *grid, channels), or for a ``loss_fn`` a mapping of tensors with the tasks
                along dimension 0. Needed unless ``learned`` is given.
            coords: (points, d) or (*grid, d); by default ``linspace(-1, 1)`` along each axis of the signals' grid.
        """
        check_stateless(model, self.id)
        layers, draws = self._starts(model)
        if self.learned is not None:
            yield from Learned.read(self.learned).items(model, layers, coords, self.id)
            return
        if signals is None:
            raise NeedError(
                f"recipe {self.id} needs 'signals' to learn from: give signals=..., or define the name 'signals' in "
                "model.py; learned=FILE takes a start that was learned before"
            )
        tasks = self._read(signals, coords, layers)
        names = trained_names(model)
        if not names:
            raise PlanError(f"recipe {self.id}: {type(model).__name__} has no parameters to learn")
        check_values(model, [name for name in names if name not in draws], self.id)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            return MetaTraining(self, sampled(ctx, draws, names), tasks, ctx).run(network_rows(layers))

        train = tasks.count - self.val_tasks
        words = (
            f"{NAMES[self.method]}: at most {self.iters} iterations of {self.tasks_per_iter} of {train} signals, "
            f"{self.inner_steps} SGD steps at {self.inner_lr:g} on each"
        )
        yield (job := Job("learn", run, words))
        for name in names:
            yield Fill(name, job[name], why=f"learned from {train} signals by {NAMES[self.method]}")

    def _starts(self, model: nn.Module) -> tuple[LayerPlan | None, dict[str, Draw]]:
        """The layers, where they can be read, and the draws that learning begins with."""
        wanted = self.start == "siren" and self.learned is None
        try:
            layers = find_layers(model, self.activation)
        except InitError:
            if wanted:
                raise
            return None, {}
        warn_of(layers, self.id)
        return layers, siren_draws(model, layers, self.id, "zero") if wanted else {}

    def _read(self, signals: Any, coords: Any, layers: LayerPlan | None) -> Tasks:
        axes = layers[0].n_in if layers and layers[0].n_in <= 4 else None
        tasks = Tasks.of(signals, coords, axes, own_loss=self.loss_fn is not None)
        if self.points_per_step and tasks.points is None:
            raise NeedError(
                f"signals: points_per_step={self.points_per_step} needs 'target' (n, points, channels) among them"
            )
        train = tasks.count - self.val_tasks
        if train < max(2, self.tasks_per_iter):
            raise NeedError(
                f"signals: {tasks.count} of them, {self.val_tasks} held out, leave {train}; learning takes at least "
                f"two, and tasks_per_iter={self.tasks_per_iter} different ones in an iteration"
            )
        return tasks
