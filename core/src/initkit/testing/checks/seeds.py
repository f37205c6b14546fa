"""Values follow the run's seed, and nothing else that is random."""

from __future__ import annotations

import torch

from initkit.draws.base import Using
from initkit.testing.case import Case, Skip
from initkit.testing.observed import bits, random_state, unequal


def check_same_seed_gives_the_same_bits(case: Case) -> None:
    """Two equal models and one seed give equal bits and equal reports."""
    model = case.model()
    report = case.apply(model)
    again = bits(model)
    assert again == case.run.after.bits, f"{unequal(again, case.run.after.bits)} differ"
    assert report.to_json() == case.run.report.to_json(), "the reports differ"


def check_another_seed_gives_other_bits(case: Case) -> None:
    """Random draws follow the seed."""
    drawn = [fill.name for fill in case.planned.fills if fill.draw.random]
    if not drawn:
        raise Skip("nothing is drawn at random")
    first, second = case.run.report, case.apply(case.model(), seed=case.seed + 1)
    same = [name for name in drawn if first[name].hash == second[name].hash and first[name].std]
    assert not same, f"{same} do not depend on the seed"


def check_no_two_tensors_share_their_numbers(case: Case) -> None:
    """Tensors of one shape differ, unless a draw says whose numbers it uses."""
    report = case.run.report
    seen: dict[str, str] = {}
    for fill in case.planned.fills:
        if fill.name in report.kept or not fill.draw.random or isinstance(fill.draw, Using):
            continue
        entry = report[fill.name]
        if entry.std:
            assert entry.hash not in seen, f"{fill.name} and {seen[entry.hash]} got the same values"
            seen[entry.hash] = fill.name


def check_global_seeds_do_not_matter(case: Case) -> None:
    """Values depend on the run's seed, not on anybody's global seed."""
    one, two = case.model(), case.model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = case.apply(one)
        torch.manual_seed(2)
        second = case.apply(two)
    assert {n: e.hash for n, e in first.items()} == {n: e.hash for n, e in second.items()}, "global seeds matter"


def check_no_global_random_state_is_touched(case: Case) -> None:
    """torch's, numpy's and Python's random state stay where they were."""
    model = case.model()
    before = random_state()
    with torch.no_grad():
        list(case.made.plan(model, **case.needs))
    assert random_state() == before, "the plan drew from global random state"
    assert case.run.after.random == case.run.before.random, "applying drew from global random state"
