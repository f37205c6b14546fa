"""initkit's recipes for hidden Markov models, and a beam sampler for infinite ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_ihmm.adapters import init_from, repair
    from initkit_ihmm.beam.normals import DiagonalGaussian, KnownVariance
    from initkit_ihmm.beam.problem import Concentrations, problem_of
    from initkit_ihmm.beam.state import to_beam_state
    from initkit_ihmm.choosing import choose_n_states
    from initkit_ihmm.emissions import Categorical, Gaussian, Poisson
    from initkit_ihmm.exact import exact_posterior
    from initkit_ihmm.explaining import explain
    from initkit_ihmm.finite import Shape, Start, params_from_labels, to_dict, to_dynamax
    from initkit_ihmm.labels import LabelInit
    from initkit_ihmm.sampler import BeamSampler
    from initkit_ihmm.sequences import read_sequences

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
    "Shape": "initkit_ihmm.finite",
    "Start": "initkit_ihmm.finite",
    "choose_n_states": "initkit_ihmm.choosing",
    "exact_posterior": "initkit_ihmm.exact",
    "explain": "initkit_ihmm.explaining",
    "init_from": "initkit_ihmm.adapters",
    "params_from_labels": "initkit_ihmm.finite",
    "problem_of": "initkit_ihmm.beam.problem",
    "read_sequences": "initkit_ihmm.sequences",
    "repair": "initkit_ihmm.adapters",
    "to_beam_state": "initkit_ihmm.beam.state",
    "to_dict": "initkit_ihmm.finite",
    "to_dynamax": "initkit_ihmm.finite",
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
    "Shape",
    "Start",
    "choose_n_states",
    "exact_posterior",
    "explain",
    "init_from",
    "params_from_labels",
    "problem_of",
    "read_sequences",
    "repair",
    "to_beam_state",
    "to_dict",
    "to_dynamax",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'initkit_ihmm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
