"""Checkpoints of chains: safetensors with JSON in the header, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from initkit import InitError
from initkit._files import write_whole
from initkit_ihmm.beam.chain import Chain
from initkit_ihmm.beam.problem import Problem

FORMAT = 1


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
    """
    arrays, values = {}, []
    for number, chain in enumerate(chains):
        held, rest = chain.packed()
        arrays.update({f"{number}.{name}": np.ascontiguousarray(value) for name, value in held.items()})
        values.append(rest)
    header = {"format": FORMAT, "fingerprint": fingerprint(chains[0].problem), "options": options, "chains": values}
    write_whole(path, lambda temporary: save_file(arrays, temporary, {"beam": json.dumps(header, sort_keys=True)}))


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
        InitError: no such file, no checkpoint, or one of other data, priors or options.
    """
    file = Path(path)
    if not file.is_file():
        raise InitError(f"there is no checkpoint {file}: fit without resume first")
    try:
        with safe_open(str(file), framework="numpy") as held:
            header = json.loads((held.metadata() or {})["beam"])
            arrays = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InitError(f"{file} is no checkpoint of a BeamSampler: {str(error).splitlines()[0]}") from None
    if header["format"] != FORMAT:
        raise InitError(f"{file} has checkpoint format {header['format']}, this version reads {FORMAT}")
    if header["fingerprint"] != fingerprint(chains[0].problem):
        raise InitError(f"{file} was written for other data or priors: resume on those, or fit anew")
    for name, value in options.items():
        if header["options"].get(name) != value:
            raise InitError(f"{file} has {name}={header['options'].get(name)}, the sampler {value}: make them equal")
    for number, (chain, values) in enumerate(zip(chains, header["chains"], strict=True)):
        prefix = f"{number}."
        chain.unpack({n[len(prefix) :]: v for n, v in arrays.items() if n.startswith(prefix)}, values)
