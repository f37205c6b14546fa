"""Every recipe passes the battery that strangers' recipes must pass, on a small Gaussian HMM and on other emissions."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hmmlearn import hmm

from initkit.testing import Case, parametrize_with_checks

rng = np.random.default_rng(0)
states = np.repeat([0, 1, 2, 0, 2, 1], 30)
series = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[states] + rng.normal(size=(180, 2))
symbols = (states + 3 * (rng.random(180) < 0.3))[:, None]
counts = rng.poisson(np.array([2.0, 8.0, 20.0])[states])[:, None]
shares = rng.multinomial(20, [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], size=(180, 3))[np.arange(180), states]
NAMES = (
    "portfolio",
    "overfit_merge",
    "kmeans",
    "windowed",
    "jump",
    "segment",
    "gmm",
    "hierarchical",
    "kmedoids",
    "spectral",
    "hdbscan",
    "dp_means",
    "contig",
    "random_blocks",
    "uniform",
    "single",
)


def gaussian() -> Any:
    return hmm.GaussianHMM(3, covariance_type="full")


def cases() -> list[Case]:
    found = [Case(f"ihmm/{name}", gaussian, {"sequences": series, "lengths": [100, 80]}) for name in NAMES]
    others = {
        "mixture": (lambda: hmm.GMMHMM(3, n_mix=2), series),
        "categorical": (lambda: hmm.CategoricalHMM(3), symbols),
        "multinomial": (lambda: hmm.MultinomialHMM(3, n_trials=20), shares),
        "poisson": (lambda: hmm.PoissonHMM(3), counts),
    }
    for build, given in others.values():
        found.append(Case("ihmm/overfit_merge", build, {"sequences": given}))
    return found


@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)


def test_every_recipe_is_here() -> None:
    import initkit

    assert {card.id for card in initkit.recipes() if card.plugin == "ihmm"} == {f"ihmm/{name}" for name in NAMES}


def test_a_model_of_others_costs_no_import() -> None:
    code = (
        "import initkit, sys, torch; "
        "found = [card.claims(torch.nn.Linear(2, 2)) for card in initkit.recipes() if card.plugin == 'ihmm']; "
        "assert not any(found); "
        "print([name for name in ('sklearn', 'numba', 'hmmlearn', 'initkit_ihmm.recipe') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["portfolio", "kmeans"])
def test_claims_nothing_else(name: str) -> None:
    from torch import nn

    import initkit

    recipe = next(card for card in initkit.recipes() if card.id == f"ihmm/{name}")
    assert recipe.claims(nn.Linear(2, 2)) == []
    assert recipe.claims(gaussian()) == ["startprob_", "transmat_", "means_", "covars_"]
