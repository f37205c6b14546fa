"""initkit's recipes for hidden Markov models, and a beam sampler for infinite ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_ihmm.beam.normals import DiagonalGaussian, KnownVariance
    from initkit_ihmm.beam.problem import Concentrations, problem_of
    from initkit_ihmm.beam.state import to_beam_state
    from initkit_ihmm.emissions import Categorical, Gaussian, Poisson
    from initkit_ihmm.exact import exact_posterior
    from initkit_ihmm.labels import LabelInit
    from initkit_ihmm.sampler import BeamSampler

__version__ = "0.1.0"

_HOMES = {
    "BeamSampler": "initkit_ihmm.sampler",
    "Categorical": "initkit_ihmm.emissions",
    "Concentrations": "initkit_ihmm.beam.problem",
    "DiagonalGaussian": "initkit_ihmm.beam.normals",
    "Gaussian": "initkit_ihmm.emissions",
    "KnownVariance": "initkit_ihmm.beam.normals",
    "LabelInit": "initkit_ihmm.labels",
    "Poisson": "initkit_ihmm.emissions",
    "exact_posterior": "initkit_ihmm.exact",
    "problem_of": "initkit_ihmm.beam.problem",
    "to_beam_state": "initkit_ihmm.beam.state",
}
__all__ = [
    "BeamSampler",
    "Categorical",
    "Concentrations",
    "DiagonalGaussian",
    "Gaussian",
    "KnownVariance",
    "LabelInit",
    "Poisson",
    "exact_posterior",
    "problem_of",
    "to_beam_state",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'initkit_ihmm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
