"""Plan recipes for a model, and apply them: all or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from initkit._check import Narrowing, checked_items
from initkit._commit import Commit
from initkit._guard import random_state
from initkit._journal import Journal
from initkit._names import unwrapped
from initkit._plan import Plan, Section
from initkit._recipe import Recipe, needs_of, recipe
from initkit.errors import CommitError, InitError, NeedError, OptionError, PlanError, did_you_mean, listed
from initkit.jobs import Progress
from initkit.plugins import registry
from initkit.ranks.agreement import facts_of_plan, facts_of_report
from initkit.ranks.find import kind_name, ranks_of, refuse_flattened, reshard
from initkit.ranks.group import Ranks
from initkit.ranks.run import in_words, join
from initkit.report import Report, described
from initkit.slots import Slots, slots_of

Recipes = str | Recipe | Sequence[str | Recipe]


def plan(
    model: Any,
    recipes: Recipes,
    *,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    **needs: Any,
) -> Plan:
    """Say what recipes would write. Writes nothing and runs no job.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        recipes: an id, a recipe, or several in order; each is planned on the model as it is now.
        only: globs over tensor names; nothing else may be written.
        exclude: globs over tensor names that may not be written.
        needs: the data that the recipes ask for.

    Raises:
        InitError: an unknown recipe or keyword, data that is missing, or a plan that does not fit the model.
    """
    run = _Run(model, recipes, only, exclude, needs)
    return Plan([run.section(one) for one in run.recipes], run.slots, kind_name(run.model))


def apply(
    model: Any,
    recipes: Recipes,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    rollback: bool = True,
    progress: Progress | None = None,
    **needs: Any,
) -> Report:
    """Plan, check and write recipes: everything or nothing.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows. Wrappers such as DDP's are seen
            through.
        recipes: an id, a recipe, or several in order, each planned on the result of the one before.
        seed: of the random streams, 0..2⁶⁴-1.
        device: where heavy work runs and meta tensors are made: ``"cpu"``, ``"cuda"``, ``"auto"`` (CUDA when
            there is one); None is the model's own device.
        only: globs over tensor names; nothing else is written.
        exclude: globs over tensor names that are not written.
        rollback: whether to hold copies so that a failure restores the model. False saves their memory; a failure
            then leaves the model half written, and says so.
        progress: called as ``progress(iterable, words, total)``; returns what to iterate over.
        needs: the data that the recipes ask for.

    Returns:
        What was written, kept and left.

    Raises:
        InitError: as :func:`plan`; or writing failed. The model, attributes included, is as it was before.
    """
    with Journal(keep=rollback) as journal:
        try:
            return _applied(
                model,
                recipes,
                journal,
                seed=seed,
                device=device,
                only=only,
                exclude=exclude,
                progress=progress,
                **needs,
            )
        except BaseException as error:
            journal.rollback()
            if journal.wrote and not rollback and isinstance(error, Exception):
                raise CommitError(f"the model is half written, since rollback=False: {error}") from error
            raise


def _applied(
    model: Any,
    recipes: Recipes,
    journal: Journal,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
    **needs: Any,
) -> Report:
    ranks = ranks_of(model)
    with ranks.together("plan"):
        check_seed(seed)
        run = _Run(model, recipes, only, exclude, needs)
        where = device_of(device, run.slots)
        sections = _planned_ahead(run)
        _check_meta(run, sections)
        report = Report(kind_name(run.model), seed, [described(one) for one in run.recipes])
        planned = facts_of_plan(report, sections)
    ranks.meet("plan", planned)
    run.join(ranks)
    commit = Commit(run.slots, report, journal, where, progress, ranks)
    with ranks.together("commit"):
        _write_all(run, sections, commit)
        commit.finish()
    ranks.meet("report", facts_of_report(report))
    return report


@contextlib.contextmanager
def tried(model: Any, recipes: Recipes, **options: Any) -> Iterator[Report]:
    """Context in which recipes are applied; on leaving it the model is as it was, bit for bit.

    Args:
        model: as :func:`apply`.
        recipes: likewise.
        options: likewise, ``rollback`` aside.

    Raises:
        InitError: as :func:`apply`.
    """
    with Journal() as journal:
        try:
            yield _applied(model, recipes, journal, **options)
        finally:
            journal.rollback()


def _write_all(run: _Run, sections: list[Section | None], commit: Commit) -> None:
    changed = False
    for one, ahead in zip(run.recipes, sections, strict=True):
        section = run.section(one) if ahead is None or changed or one.reads_values else ahead
        commit.write(section)
        if section.changes_structure():
            changed = True
            commit.slots = run.renewed()


class _Run:
    """The recipes of one call, the data they share and the slots of the model."""

    def __init__(
        self, model: Any, recipes: Recipes, only: Sequence[str], exclude: Sequence[str], needs: dict[str, Any]
    ) -> None:
        self.recipes = made_recipes(recipes)
        check_needs(self.recipes, needs)
        refuse_flattened(model)
        self.model = unwrapped(model)
        reshard(self.model)
        self.slots: Slots = slots_of(self.model)
        self._ranks = Ranks()
        self._narrowing = Narrowing(globs_of(only, "only"), globs_of(exclude, "exclude"))
        self._narrowing.check(self.slots)
        self._needs = needs

    def join(self, ranks: Ranks) -> None:
        """Open the roads between the processes that hold the model's tensors."""
        self._ranks = ranks
        join(ranks, self.slots)

    def renewed(self) -> Slots:
        """The slots of the model as it is now."""
        self.slots = slots_of(self.model)
        join(self._ranks, self.slots)
        return self.slots

    def section(self, one: Recipe) -> Section:
        """Plan one recipe on the model as it is now, and check its items."""
        one.check()
        wanted = needs_of(one)
        given = {name: self._needs[name] for name in wanted.all if name in self._needs}
        with random_state(), torch.no_grad():
            items = in_words(f"recipe {one.id}", lambda: list(one.plan(self.model, **given)))
        return Section(one, checked_items(one, items, self.slots, self._narrowing))


def _planned_ahead(run: _Run) -> list[Section | None]:
    """Plan every recipe before anything is written, so that a late mistake costs nothing.

    A recipe that only fits the model as an earlier one leaves it (resized, attributes set) gets None: it is planned
    at its turn.
    """
    sections: list[Section | None] = []
    changes = False
    for one in run.recipes:
        try:
            section = run.section(one)
        except InitError:
            if not changes:
                raise
            sections.append(None)
        else:
            sections.append(section)
            changes = changes or section.changes_structure()
    return sections


def made_recipes(recipes: Recipes) -> list[Recipe]:
    """The recipes of an argument that takes ids, instances or a sequence of both.

    Raises:
        OptionError: something is no recipe.
        PluginError: an id is unknown.
    """
    listed_recipes = list(recipes) if isinstance(recipes, (list, tuple)) else [recipes]
    if not listed_recipes:
        raise OptionError("give at least one recipe")
    made = []
    for one in listed_recipes:
        if isinstance(one, str):
            one = recipe(one)
        if not isinstance(one, Recipe):
            hint = "; make an instance of it" if isinstance(one, type) and issubclass(one, Recipe) else ""
            raise OptionError(f"{one!r} is no recipe: give an id such as 'gnn/virgo' or a Recipe{hint}")
        made.append(one)
    return made


def check_needs(recipes: list[Recipe], needs: dict[str, Any]) -> None:
    """Refuse data that no recipe asks for, and the lack of data that one must have.

    Raises:
        NeedError: says which.
    """
    known = {name for one in recipes for name in needs_of(one).all}
    for name in needs:
        if name not in known:
            ids = listed(one.id for one in recipes)
            asks = listed(sorted(known)) or "nothing"
            raise NeedError(f"unknown keyword {name!r}{did_you_mean(name, known)}; {ids} asks for {asks}")
    for one in recipes:
        for name in needs_of(one).required:
            if needs.get(name) is None:
                help_text = _need_help(one, name)
                raise NeedError(
                    f"recipe {one.id} needs {name!r}{help_text}: give it as the keyword {name}=..., "
                    f"or define the name {name!r} in model.py"
                )


def _need_help(one: Recipe, name: str) -> str:
    card = next((card for card in registry().cards() if card.id == one.id), None)
    words = next((need.help for need in card.asked if need.name == name), "") if card else ""
    return f" ({words})" if words else ""


def check_seed(seed: object) -> None:
    """Refuse what is no seed.

    Raises:
        OptionError: it is none.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise OptionError(f"seed {seed!r}: a seed is an int from 0 to 2**64 - 1")


def globs_of(globs: Sequence[str], word: str) -> tuple[str, ...]:
    """Globs over tensor names; a text alone is one.

    Raises:
        OptionError: something is no text.
    """
    found = (globs,) if isinstance(globs, str) else tuple(globs)
    if not all(isinstance(glob, str) for glob in found):
        raise OptionError(f"{word}={globs!r}: give globs over tensor names, such as 'conv*.weight'")
    return found


def device_of(device: str | torch.device | None, slots: Slots) -> torch.device:
    """The device that heavy work runs on.

    Args:
        device: that is asked for; ``"auto"`` is CUDA when there is one, None the model's own.
        slots: of the model.

    Raises:
        OptionError: it cannot be used.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device is None:
        own = next((slot.home for slot in slots.values() if slot.home is not None), None)
        return own if own is not None else torch.device("cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    if found.type == "meta":
        raise OptionError("device 'meta' holds no numbers; give 'cpu' or 'cuda'")
    return found


def _check_meta(run: _Run, sections: list[Section | None]) -> None:
    """A meta tensor that nobody fills would stay without numbers."""
    if any(section is None for section in sections):
        return
    filled = {fill.name for fill in Plan([s for s in sections if s is not None], run.slots, "").fills}
    hollow = [name for name, slot in run.slots.items() if slot.is_meta() and name not in filled]
    reached = {original for name in filled for original in run.slots[name].originals}
    hollow = [name for name in hollow if name not in reached and not run.slots[name].originals]
    if hollow:
        raise PlanError(
            f"{listed(hollow)} on the meta device would be left without values; add a recipe that fills them "
            "(one whose rule is torch's own default), or materialise them first"
        )
