"""A callback for Lightning: initialise at the start of ``fit``, log the inspection, go on.

Needs ``lightning`` 2.2 or later, or ``pytorch_lightning``: ``pip install "initkit-core[lightning]"``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from torch.utils import _pytree

from initkit._apply import Recipes, made_recipes
from initkit._guard import random_state
from initkit._start import Start, start
from initkit.errors import InitError, NeedError, OptionError
from initkit.page import check_ready, write_page

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _package() -> str:
    """The one that is in use, else the one that is installed."""
    for name in _PACKAGES:
        if sys.modules.get(name) is not None:
            return name
    for name in _PACKAGES:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return name
    raise InitError('the callback needs Lightning: pip install "initkit-core[lightning]"')


if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    Callback = importlib.import_module(_package()).Callback


class InitCallback(Callback):
    """Apply recipes once at the start of ``fit``, before the optimizer takes a step, and log how the model starts.

    It acts in ``on_fit_start``: layers that the module makes in ``setup`` or ``configure_model`` are there, and a run
    that resumes from a checkpoint is known and left alone. Where the strategy cuts the parameters into shards it acts
    in ``setup``, while they are whole; a checkpoint is loaded over them there. A module that this callback has
    initialised before is left alone too. ``Tuner.lr_find`` runs before it: for its sake call :func:`initkit.start` on
    the module instead.

    In distributed runs every rank writes the same bits, since values depend on the seed and the tensors' names alone;
    nothing is sent. The order of the data is the same with the callback and without.

    Numbers go to the trainer's loggers as ``init/...``, verdicts to the log of rank zero.

    Example::

        trainer = Trainer(callbacks=[InitCallback("gnn/virgo", graph=data, inputs=lambda batch: batch[0])])

    Args:
        recipes: as :func:`initkit.apply`.
        inputs: ``inputs(batch)``, what the module's forward takes, from the first batch of the training data; or the
            value itself. None: nothing is inspected.
        targets: ``targets(batch)``, or the value itself.
        part: name of the submodule that is initialised and inspected, such as ``"net"``; "" is the module itself.
        seed: of the random streams.
        healthy: whether a verdict that is FAIL stops the run.
        page: where :func:`initkit.write_page` writes, on rank zero.
        needs: the data that recipes and probes ask for.

    Attributes:
        start: what was done and found; None before that.

    Raises:
        InitError: from ``fit``, as :func:`initkit.start`.
    """

    def __init__(
        self,
        recipes: Recipes,
        *,
        inputs: Callable[[Any], Any] | Any = None,
        targets: Callable[[Any], Any] | Any = None,
        part: str = "",
        seed: int = 0,
        healthy: bool = False,
        page: str | None = None,
        **needs: Any,
    ) -> None:
        self.recipes = made_recipes(recipes)  # a mistake in a recipe shows here
        self.start: Start | None = None
        self._inputs, self._targets, self._part = inputs, targets, part
        self._seed, self._healthy, self._page, self._needs = seed, healthy, page, needs
        self._done: weakref.ref[Any] | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Initialise a module that will be cut into shards."""
        shards = getattr(trainer.strategy, "restore_checkpoint_after_setup", False)
        if stage == "fit" and shards and next(iter(pl_module.parameters()), None) is not None:
            self._begin(trainer, pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Initialise any other module."""
        self._begin(trainer, pl_module)

    def _begin(self, trainer: Any, module: Any) -> None:
        if self._done is not None and self._done() is module:
            return
        say = _rank_zero_info()
        if trainer.ckpt_path:
            say(f"initkit: resuming from {trainer.ckpt_path}: nothing is initialised")
            return
        part = self._chosen(module)
        if self._page is not None:
            check_ready()
        self.start = start(part, self.recipes, seed=self._seed, log=None, **self._data(trainer), **self._needs)
        self._done = weakref.ref(module)
        self._tell(trainer, say, self.start, part)

    def _chosen(self, module: Any) -> Any:
        try:
            return module.get_submodule(self._part)
        except AttributeError as error:
            raise OptionError(f"part={self._part!r}: {error}") from None

    def _tell(self, trainer: Any, say: Callable[[str], None], found: Start, part: Any) -> None:
        after = found.after
        say(found.words.partition("\n")[0])
        for line in after.lines() if after is not None else ():
            say(line)
        numbers = {f"init/{name}": value for name, value in found.numbers().items()}
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=trainer.global_step)
        if self._page is not None and trainer.is_global_zero:
            write_page(self._page, report=found.report, model=part, inspection=after)
        if self._healthy and after is not None:
            after.assert_healthy()

    def _data(self, trainer: Any) -> dict[str, Any]:
        wanted = {"inputs": self._inputs, "targets": self._targets}
        if any(_takes_batch(value) for value in wanted.values()):
            batch = _first_batch(trainer)
            wanted = {name: value(batch) if _takes_batch(value) else value for name, value in wanted.items()}
        return wanted


def _takes_batch(value: Any) -> bool:
    return callable(value) and not hasattr(value, "shape")


def _first_batch(trainer: Any) -> Any:
    """The first batch of the training data; the global random state is restored."""
    # Where trainer.fit, the module and the datamodule put it; asking the trainer would disturb the order of the data.
    source = getattr(trainer.fit_loop, "_data_source", None)
    if source is None:
        raise NeedError("this version of Lightning hides its training data: give inputs= as a value")
    try:
        with random_state():
            return _pytree.tree_map(_first, source.dataloader(), is_leaf=_is_loader)
    except StopIteration:
        raise NeedError("the training data is empty: there is no batch to inspect the model with") from None


def _is_loader(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (list, tuple, dict))


def _first(loader: Any) -> Any:
    return next(iter(loader))


def _rank_zero_info() -> Callable[[str], None]:
    package = Callback.__module__.partition(".callbacks")[0]
    return importlib.import_module(f"{package}.utilities.rank_zero").rank_zero_info  # type: ignore[no-any-return]
