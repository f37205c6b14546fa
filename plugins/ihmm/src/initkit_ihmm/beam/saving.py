"""Checkpoints of chains, in the core's format: safetensors with JSON in the header, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from initkit import InitError
from initkit._checkpoint import load_checkpoint, save_checkpoint
from initkit_ihmm.beam.chain import Chain
from initkit_ihmm.beam.problem import Problem

FORMAT = "beam-1"


def fingerprint(problem: Problem) -> str:
    """A hash of the observations, priors and lengths: what a chain may be continued on."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (problem.x, problem.seen, problem.prior, problem.concentrations.hyper, problem.concentrations.start()):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((problem.lengths, problem.kind, problem.x.shape, problem.k_max)).encode())
    return digest.hexdigest()


def save(path: str | os.PathLike[str], chains: Sequence[Chain], options: dict[str, Any]) -> None:
    """Write all chains.

    Args:
        path: of the file.
        chains: of one problem.
        options: JSON values that must be the same when it is read.

    Raises:
        FileError: it cannot be written.
    """
    tensors, values = {}, []
    for number, chain in enumerate(chains):
        held, rest = chain.packed()
        tensors.update({f"{number}.{name}": torch.from_numpy(np.asarray(value)) for name, value in held.items()})
        values.append(rest)
    facts = {"format": FORMAT, "fingerprint": fingerprint(chains[0].problem), "options": options, "chains": values}
    save_checkpoint(path, tensors, facts)


def refuse_existing(path: str | os.PathLike[str]) -> None:
    """Raise where a checkpoint would be written over.

    Raises:
        InitError: says how to go on from it.
    """
    if Path(path).exists():
        raise InitError(f"{path} exists: fit(..., resume=True) goes on from it; remove it to begin anew")


def load(path: str | os.PathLike[str], chains: Sequence[Chain], options: dict[str, Any]) -> None:
    """Set chains to where a checkpoint left them.

    Raises:
        FileError: no such file, or no checkpoint.
        InitError: one of other data, priors or options.
    """
    tensors, facts = load_checkpoint(path)
    if facts.get("format") != FORMAT:
        raise InitError(f"{path} is a checkpoint of another kind or version: {facts.get('format')}, not {FORMAT}")
    if facts["fingerprint"] != fingerprint(chains[0].problem):
        raise InitError(f"{path} was written for other data or priors: resume on those, or fit anew")
    for name, value in options.items():
        if facts["options"].get(name) != value:
            raise InitError(f"{path} has {name}={facts['options'].get(name)}, the sampler {value}: make them equal")
    for number, (chain, values) in enumerate(zip(chains, facts["chains"], strict=True)):
        prefix = f"{number}."
        held = {n[len(prefix) :]: v.numpy() for n, v in tensors.items() if n.startswith(prefix)}
        chain.unpack(held, values)
