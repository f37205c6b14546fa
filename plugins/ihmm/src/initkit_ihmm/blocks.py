"""Starts that hardly look at the observations: uniform labels, one state, blocks of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from initkit_ihmm.features import point_features
from initkit_ihmm.jump import squared_distances
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.sequences import Sequences


@dataclass(frozen=True)
class Uniform(Labelling):
    """Labels at random, each state as likely as the others: the usual start of samplers, and the one to beat.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.

    Source: Van Gael, Saatci, Teh and Ghahramani, Beam Sampling for the Infinite Hidden Markov Model, ICML 2008.
    """

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Independent labels."""
        assert states is not None
        return Found(work.rng.integers(states, size=data.steps))


@dataclass(frozen=True)
class Single(Labelling):
    """One state for all steps: what a sampler rarely leaves; for tests.

    A finite model of several states gets one wide cluster, halved until there are enough.

    Args:
        n_states: of a finite model; a sampler always begins with one.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.

    Source: a baseline.
    """

    chooses_states = True
    exact = False

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Zeros."""
        return Found(np.zeros(data.steps, dtype=np.int64))


@dataclass(frozen=True)
class Contig(Labelling):
    """Equal blocks of time, one after the other, in each sequence: strong where states are seldom visited again.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.

    Source: Hughes, Stephenson and Sudderth, Scalable Adaptation of State Complexity for Nonparametric Hidden Markov
    Models, NeurIPS 2015 (contiguous blocks).
    """

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """``floor(i K / T)`` in each sequence."""
        assert states is not None
        return Found(np.concatenate([np.arange(long) * states // long for long in data.lengths]))


@dataclass(frozen=True)
class RandomBlocks(Labelling):
    """Means of a few random blocks of time as centres, every step to the nearest.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        block: steps in a block; shorter where a sequence is.

    Source: Hughes, Stephenson and Sudderth, Scalable Adaptation of State Complexity for Nonparametric Hidden Markov
    Models, NeurIPS 2015 (random contiguous blocks).
    """

    block: Annotated[int, Ge(1)] = 20

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Nearest block."""
        assert states is not None
        features = point_features(data)
        # A block may begin wherever it still fits into its sequence.
        begins = [np.arange(begin, max(begin + 1, end - self.block + 1)) for begin, end in data.spans]
        ends = np.repeat([end for _, end in data.spans], [len(one) for one in begins])
        every = np.concatenate(begins)
        chosen = work.rng.choice(len(every), size=states, replace=len(every) < states)
        centres = np.stack(
            [features[every[one] : min(every[one] + self.block, ends[one])].mean(axis=0) for one in chosen]
        )
        return Found(squared_distances(features, centres).argmin(axis=1), features=features)
