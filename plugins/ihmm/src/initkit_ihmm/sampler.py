"""The beam sampler as an estimator."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from initkit import InitError, Stream
from initkit_ihmm.beam import asking, posterior, saving
from initkit_ihmm.beam.chain import Chain, Draw
from initkit_ihmm.beam.kernels import decode
from initkit_ihmm.beam.layout import observations, packed_parameters
from initkit_ihmm.beam.problem import Concentrations, Problem, beginnings, constant_of, problem_of
from initkit_ihmm.beam.running import Progress, run_chains
from initkit_ihmm.beam.starts import Start, starts_for
from initkit_ihmm.beam.state import to_beam_state
from initkit_ihmm.emissions import Emission, Floats
from initkit_ihmm.labels import Ints, LabelInit
from initkit_ihmm.sequences import read_sequences

_SHARED = ("burn", "thin", "n_chains", "init_mode")


class BeamSampler(BaseEstimator):  # type: ignore[misc]
    """Infinite hidden Markov model (HDP-HMM), plain or sticky, by an exact beam sampler.

    ``beta ~ GEM(gamma)``; ``pi_0 ~ DP(alpha + kappa, beta)`` starts every sequence; state j goes on by ``pi_j ~
    DP(alpha + kappa, (alpha beta + kappa delta_j)/(alpha + kappa))``; observations are normal, categorical or Poisson
    with conjugate priors. One sweep draws slices, then all labels at once given them, tables, concentrations,
    parameters and transition rows; nothing is truncated below ``k_max``.

    Args:
        emission: ``"gaussian"``, ``"categorical"`` or ``"poisson"``.
        covariance_type: of Gaussians, ``"full"`` or ``"diag"``.
        prior: the emission with its prior; None is the weak prior of the data.
        n_symbols: V of categorical emissions; None is as many as occur.
        sticky: draw the self-transition bonus kappa; False is the plain model.
        kappa: a fixed bonus instead; it needs a fixed alpha.
        alpha: fixed concentration of the rows; None draws it.
        gamma: fixed concentration of beta; None draws it.
        alpha_prior: shape and rate of the gamma prior of ``alpha + kappa``.
        gamma_prior: shape and rate of gamma's.
        rho_prior: of ``rho = kappa/(alpha + kappa) ~ Beta``.
        init: where chains begin: a recipe's name, labels (T,), a LabelInit, or a list of those for the chains in turn.
            Labels that ``initkit.apply`` wrote come before it.
        init_states: states of a start whose recipe must be told.
        init_mode: the rest of a start: ``"sample"`` draws it given the labels, ``"mean"`` takes means.
        n_chains: number of chains.
        burn: sweeps that are not kept.
        draws: draws kept of each chain.
        thin: keep every so many sweeps.
        missing: ``"skip"`` sums over the states of steps with a NaN; ``"error"`` refuses them.
        k_max: most states; reaching it warns.
        max_mem: bytes of a trellis above which it is kept in float32.
        n_jobs: chains that run beside each other, in threads; -1 is one for each core.
        progress: True writes a line to stderr; or a function of sweeps done, sweeps to do and chains.
        checkpoint: a path (.safetensors) that the chains are saved to, every minute, at the end and on Ctrl-C.
        random_state: an int seed, a numpy Generator or RandomState to draw one from, or None for an arbitrary one.

    Attributes:
        labels_: int64 (T,), the draw with the least Binder loss among those with the modal number of states.
        n_states_: the most frequent number of states.
        startprob_, transmat_: (K,) and (K, K), means over the draws with K states after alignment.
        means_, covars_, probs_, rates_: those of the emission.
        occupancy_: (K,), the share of steps in each state, averaged alike.
        state_counts_: share of draws by number of states, a dict.
        parameters_: all of these by name.
        averaged_: how many draws that were.
        chains_: all chains, with ``start``, ``draws`` and ``traces``.
        pooled_: numbers of the chains that the estimates are made of: those in the best mode, whose median log joint
            is within 15 nats, or three standard deviations, of the best chain's.
        seed_: the seed that was used.
        interrupted_: whether Ctrl-C cut it short.

    Source: Van Gael, Saatci, Teh, Ghahramani, Beam sampling for the infinite hidden Markov model, ICML 2008; Fox,
    Sudderth, Jordan, Willsky, A sticky HDP-HMM, Annals of Applied Statistics 2011.
    """

    initkit_labels: ClassVar[str] = "start_labels_"

    def __init__(
        self,
        emission: Literal["gaussian", "categorical", "poisson"] = "gaussian",
        *,
        covariance_type: Literal["full", "diag"] = "full",
        prior: Emission | None = None,
        n_symbols: int | None = None,
        sticky: bool = False,
        kappa: float | None = None,
        alpha: float | None = None,
        gamma: float | None = None,
        alpha_prior: tuple[float, float] = (1.0, 1.0),
        gamma_prior: tuple[float, float] = (1.0, 1.0),
        rho_prior: tuple[float, float] = (1.0, 1.0),
        init: Start | Sequence[Start] = "overfit_merge",
        init_states: int = 10,
        init_mode: Literal["sample", "mean"] = "sample",
        n_chains: int = 4,
        burn: int = 200,
        draws: int = 200,
        thin: int = 1,
        missing: Literal["error", "skip"] = "error",
        k_max: int = 200,
        max_mem: int = 2**31,
        n_jobs: int = 1,
        progress: Progress = False,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> None:
        self.emission = emission
        self.covariance_type = covariance_type
        self.prior = prior
        self.n_symbols = n_symbols
        self.sticky = sticky
        self.kappa = kappa
        self.alpha = alpha
        self.gamma = gamma
        self.alpha_prior = alpha_prior
        self.gamma_prior = gamma_prior
        self.rho_prior = rho_prior
        self.init = init
        self.init_states = init_states
        self.init_mode = init_mode
        self.n_chains = n_chains
        self.burn = burn
        self.draws = draws
        self.thin = thin
        self.missing = missing
        self.k_max = k_max
        self.max_mem = max_mem
        self.n_jobs = n_jobs
        self.progress = progress
        self.checkpoint = checkpoint
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        lengths: Sequence[int] | npt.NDArray[Any] | None = None,
        resume: bool = False,
    ) -> BeamSampler:
        """Run the chains and sum up their draws.

        Ctrl-C ends the sweeps in progress and keeps the draws so far, with a warning; a second one stops at once.

        Args:
            X: observations (T, D), a list of sequences, or a path; symbols and counts are integers.
            y: ignored.
            lengths: of the sequences in one array.
            resume: go on from the checkpoint, or without one from the chains of the last ``fit``, up to
                ``burn + draws * thin`` sweeps: the same chain as if it had never stopped. ``draws`` may have grown.

        Raises:
            InitError: bad observations, options or starts, each with what to do.
            KeyboardInterrupt: Ctrl-C before any draw was kept (a checkpoint is written all the same).
        """
        asking.check_options(self)
        problem = self._problem(X, lengths)
        if resume and self.checkpoint is None:
            chains = self._held_chains(problem)
        else:
            if self.checkpoint is not None and not resume:
                saving.refuse_existing(self.checkpoint)
            chains = self._new_chains(problem, resume=resume)
            if self.checkpoint is not None and resume:
                saving.load(self.checkpoint, chains, self._must_match())
        whole = run_chains(
            chains,
            self.burn + self.draws * self.thin,
            n_jobs=self.n_jobs,
            progress=self.progress,
            save=None if self.checkpoint is None else lambda: self._save(chains),
        )
        self.chains_, self.problem_, self.interrupted_ = chains, problem, not whole
        if not whole:
            done = min(len(chain.traces) for chain in chains)
            on = "fit(..., resume=True) goes on from there"
            if not any(chain.draws for chain in chains):
                raise KeyboardInterrupt(f"interrupted after {done} sweeps, before a draw was kept; {on}")
            warnings.warn(f"interrupted after {done} sweeps; the draws so far are kept, {on}", stacklevel=2)
        self._sum_up()
        return self

    def predict(
        self,
        X: Any = None,
        *,
        lengths: Sequence[int] | npt.NDArray[Any] | None = None,
    ) -> Ints:
        """States of each step, int64 (T,).

        Args:
            X: None gives ``labels_``; other sequences get the most probable path under the averaged parameters.
            lengths: of the sequences.
        """
        self._fitted()
        if X is None:
            return np.array(self.labels_)
        levels, first = self._levels(X, lengths)
        return decode.viterbi(self.startprob_, self.transmat_, levels, first)[1]

    def predict_proba(
        self,
        X: Any,
        *,
        lengths: Sequence[int] | npt.NDArray[Any] | None = None,
    ) -> Floats:
        """``P(z_t = k | x)`` (T, K) under the averaged parameters."""
        self._fitted()
        levels, first = self._levels(X, lengths)
        return decode.smooth(self.startprob_, self.transmat_, levels, first)[1]

    def fit_predict(self, X: Any, y: None = None, **rest: Any) -> Ints:
        """``fit(X).labels_``."""
        return self.fit(X, **rest).predict()

    def score(
        self,
        X: Any,
        y: None = None,
        *,
        lengths: Sequence[int] | npt.NDArray[Any] | None = None,
    ) -> float:
        """Log predictive density of sequences: the log of the mean over draws of ``p(X | draw)``.

        A draw's states that are not in use (the rest of its sticks) are left out, its rows divided by their sums. At
        most 200 draws, evenly spaced, are taken.
        """
        self._fitted()
        x, seen, first = self._read_again(X, lengths)
        found = []
        for draw in posterior.thinned(self._draws()):
            rows = draw.transitions[:, :-1] / draw.transitions[:, :-1].sum(axis=1, keepdims=True)
            levels = decode.log_densities(x, seen, self.problem_.kind, draw.theta)
            found.append(decode.smooth(rows[0], np.ascontiguousarray(rows[1:]), levels, first)[0])
        top = max(found)
        return float(top + np.log(np.mean(np.exp(np.array(found) - top)))) + constant_of(self.problem_.kind, x[seen])

    def point_estimate(self, criterion: Literal["binder", "vi"] = "binder") -> Ints:
        """Labels (T,) of the draw with the least expected loss, whatever its number of states.

        Args:
            criterion: Binder's loss, or the variation of information.
        """
        self._fitted()
        found = posterior.point_estimate(self._draws(), criterion)
        return LabelInit.of(found.labels).labels

    def coclustering(self, points: Ints | None = None) -> Floats:
        """The share of draws in which two steps are in one state, (n, n).

        Args:
            points: steps; None are all, or 2000 at random where there are more than 5000.
        """
        self._fitted()
        where = posterior.points_of(self.problem_.steps) if points is None else np.asarray(points)
        return posterior.coclustering(self._draws(), where)

    def diagnostics(self) -> dict[str, dict[str, float | None]]:
        """Mean, sd, R-hat and ESS of log joint, number of states, concentrations, jumps and entropy; needs ArviZ."""
        self._fitted()
        return posterior.diagnostics(self.chains_)

    def to_arviz(self) -> Any:
        """The scalars after burn-in as ArviZ's ``InferenceData``."""
        self._fitted()
        return posterior.to_arviz(self.chains_)

    def best_by_start(self) -> dict[str, float]:
        """The largest log joint that chains reached after burn-in, by the method that started them.

        Where these differ by much more than the traces move, the start decided the mode.
        """
        self._fitted()
        found: dict[str, float] = {}
        for chain in self.chains_:
            best = float(np.array(chain.traces)[chain.burn :, 0].max(initial=-np.inf))
            found[chain.start.method] = max(best, found.get(chain.start.method, -np.inf))
        return found

    def _problem(self, X: Any, lengths: Any) -> Problem:
        plain = None if self.sticky else 0.0
        concentrations = Concentrations(
            alpha=self.alpha,
            gamma=self.gamma,
            kappa=plain if self.kappa is None else self.kappa,
            alpha_prior=self.alpha_prior,
            gamma_prior=self.gamma_prior,
            rho_prior=self.rho_prior,
        )
        data = read_sequences(X, lengths, emission=self.emission, symbols=self.n_symbols, missing=self.missing)
        emission = self.prior or asking.weak_prior(data, self.covariance_type, self.n_symbols)
        asking.check_prior(emission, data)
        spans = data.given or data.lengths
        return problem_of(
            asking.with_gaps(data), spans, emission, concentrations, k_max=int(self.k_max), max_mem=int(self.max_mem)
        )

    def _new_chains(self, problem: Problem, *, resume: bool) -> list[Chain]:
        self.seed_ = asking.seed_of(self.random_state)
        x = np.where(problem.seen[:, None], problem.x, np.nan)
        written = getattr(self, "start_labels_", None)
        init = "single" if resume else self.init if written is None else np.asarray(written)
        starts = starts_for(
            init, self.n_chains, x, problem.lengths, self.emission, n_states=self.init_states, seed=self.seed_
        )
        chains = []
        for number, start in enumerate(starts):
            rng = Stream(self.seed_, f"beam#{number}").generator()
            state = to_beam_state(start, problem, self.init_mode, rng)
            chains.append(Chain(problem, state, rng, burn=self.burn, thin=self.thin, start=start))
        return chains

    def _held_chains(self, problem: Problem) -> list[Chain]:
        held: list[Chain] | None = getattr(self, "chains_", None)
        if held is None:
            raise InitError("there is nothing to resume: no chains in memory, and no checkpoint was named")
        if saving.fingerprint(held[0].problem) != saving.fingerprint(problem):
            raise InitError("the chains in memory ran on other data or priors: resume on those, or fit anew")
        if (held[0].burn, held[0].thin) != (self.burn, self.thin):
            raise InitError(f"the chains in memory have burn={held[0].burn}, thin={held[0].thin}: make them equal")
        return held

    def _must_match(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SHARED}

    def _save(self, chains: list[Chain]) -> None:
        assert self.checkpoint is not None
        saving.save(self.checkpoint, chains, self._must_match())

    def _sum_up(self) -> None:
        self.pooled_ = posterior.in_best_mode(self.chains_)
        left = [n for n in range(len(self.chains_)) if n not in self.pooled_]
        if left:
            warnings.warn(
                f"chains {left} stayed in modes of lower log p(x, z) than chains {self.pooled_} and are left out of "
                f"the estimates; best_by_start() says by how much, more sweeps or another start may help",
                stacklevel=3,
            )
        chains = [self.chains_[n] for n in self.pooled_]
        draws = self._draws()
        counts = np.bincount([draw.K for draw in draws])
        self.state_counts_ = {k: float(n / len(draws)) for k, n in enumerate(counts.tolist()) if n}
        self.n_states_ = int(counts.argmax())
        reference: Draw = posterior.point_estimate(draws, states=self.n_states_)
        self.labels_ = LabelInit.of(reference.labels).labels
        self.parameters_, self.averaged_ = posterior.aligned_means(chains, reference)
        for name, value in self.parameters_.items():
            setattr(self, f"{name}_", value)

    def _draws(self) -> list[Draw]:
        return [draw for n in self.pooled_ for draw in self.chains_[n].draws]

    def _fitted(self) -> None:
        if not hasattr(self, "labels_"):
            raise InitError("this BeamSampler is not fitted: call fit(X) first")

    def _read_again(self, X: Any, lengths: Any) -> tuple[Floats, Any, Any]:
        symbols = self.problem_.symbols or None
        data = read_sequences(X, lengths, emission=self.emission, symbols=symbols, missing=self.missing)
        if data.x.shape[1] != self.problem_.dims:
            raise InitError(f"X has {data.x.shape[1]} columns, the sampler was fitted on {self.problem_.dims}")
        x, seen = observations(asking.with_gaps(data))
        return x, seen, beginnings(data.given or data.lengths)

    def _levels(self, X: Any, lengths: Any) -> tuple[Floats, Any]:
        x, seen, first = self._read_again(X, lengths)
        theta = packed_parameters(self.problem_.kind, self.parameters_)
        return decode.log_densities(x, seen, self.problem_.kind, theta), first
