"""Seconds of nearest tokens, sparse means and matching pursuit, ours beside the authors' packages on the same arrays.

The peers are imported where they are installed: ``wechsel``, ``deepfocus`` and ``mergekit`` without their dependencies
(``pip install --no-deps``), with ``fasttext-community``, ``datasets``, ``nltk``, ``entmax``, ``fastdist`` and
``print-on-steroids``, ``immutables``, ``accelerate``, ``peft``. A peer that is missing is left out of the record, and
the record says so.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initkit_tokenizer.neighbours import softmax_weights, sparsemax_weights, weighted_rows
from initkit_tokenizer.pursuit import pursue

REPEATS = 3


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    numbers = torch.Generator().manual_seed(0)
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    for peer in (against_wechsel, against_focus, against_mergekit):
        try:
            rows += peer(numbers)
        except ImportError as error:
            missing.append(f"{peer.__name__.removeprefix('against_')}: {error}")
    return {"seed": 0, "repeats": REPEATS, "threads": 1, "rows": rows, "missing": missing}


def against_wechsel(numbers: torch.Generator) -> list[dict[str, Any]]:
    """Top 10 of 16,000 for 4,000 tokens, 100 dimensions, softmax, rows of 256.

    The package makes its vectors in float64, so that is what it is given; in a second row it gets ours in float32.
    """
    from wechsel import create_target_embeddings

    source, target = torch.randn(16000, 100, generator=numbers), torch.randn(4000, 100, generator=numbers)
    table = torch.randn(16000, 256, generator=numbers)

    def ours() -> Tensor:
        weights, places = softmax_weights(target, source, 10, 0.1)
        return weighted_rows(table, places, weights)

    old, new = Names(16000), Names(4000)

    def theirs(kind: torch.dtype) -> Callable[[], Tensor]:
        arrays = source.to(kind).numpy(), target.to(kind).numpy()

        def made() -> Tensor:
            rows, _, _ = create_target_embeddings(
                *arrays, old, new, table.numpy(), neighbors=10, temperature=0.1, verbose=False
            )
            return torch.from_numpy(rows)

        return made

    work = "WECHSEL's rows, 4,000 x 16,000 x 100"
    return [
        compared(f"{work}, float64 as the package makes them", "wechsel", ours, theirs(torch.float64)),
        compared(f"{work}, float32", "wechsel", ours, theirs(torch.float32)),
    ]


def against_focus(numbers: torch.Generator) -> list[dict[str, Any]]:
    """Sparsemax over 8,000 anchors for 3,000 tokens, 100 dimensions, rows of 256."""
    from deepfocus.focus import focus_additional_token_initialization
    from deepfocus.vocab_helper import NewToken, OverlappingToken

    # A few common directions, so that cosines spread as those of word vectors do.
    mix = torch.randn(12, 100, generator=numbers)
    anchors = torch.randn(8000, 12, generator=numbers) @ mix
    wanted = torch.randn(3000, 12, generator=numbers) @ mix
    table = torch.randn(8000, 256, generator=numbers)

    def ours() -> Tensor:
        weights, places = sparsemax_weights(wanted, anchors)
        return weighted_rows(table, places, weights)

    class Named:
        def __init__(self, place: int) -> None:
            self.id, self.native_form = place, str(place)

    old = {
        str(i): OverlappingToken(
            source=[], target=Named(i), source_embedding=table[i], auxiliary_embedding=anchors[i], use_for_focus=True
        )
        for i in range(len(anchors))
    }
    new = {str(i): NewToken(target=Named(i), auxiliary_embedding=wanted[i]) for i in range(len(wanted))}

    def theirs() -> Tensor:
        made: Tensor = focus_additional_token_initialization(old, new, torch.zeros(len(wanted), 256), device="cpu")
        return made

    return [compared("FOCUS' rows, 3,000 x 8,000 x 100", "deepfocus", ours, theirs)]


def against_mergekit(numbers: torch.Generator) -> list[dict[str, Any]]:
    """128 targets in 4,096 atoms of 1,024 dimensions, k = 32."""
    from mergekit.tokensurgeon.omp import batch_omp

    atoms, targets = torch.randn(4096, 1024, generator=numbers), torch.randn(512, 1024, generator=numbers)

    def ours() -> Tensor:
        found = pursue(atoms, targets, 32)
        return weighted_rows(atoms, found.picks.clamp_min(0), found.coefficients)

    def theirs() -> Tensor:
        made = []
        for part in targets.split(128):
            picks, coefficients = batch_omp(part, atoms, 32)
            made.append(torch.bmm(coefficients.unsqueeze(1), atoms[picks]).squeeze(1))
        return torch.cat(made)

    return [compared("OMP, 512 targets, N = 4,096, D = 1,024, k = 32", "mergekit", ours, theirs)]


class Names:
    """What the peer asks a tokenizer."""

    def __init__(self, count: int) -> None:
        self.vocab = {str(i): i for i in range(count)}
        self.special_tokens_map: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.vocab)

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        return str(ids) if np.ndim(ids) == 0 else [str(i) for i in ids]


def compared(work: str, peer: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> dict[str, Any]:
    """Least processor seconds of both, turn by turn, after one run that does not count; and how far results differ."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    made: dict[str, Tensor] = {}
    for repeat in range(REPEATS + 1):
        for name, fn in (("ours", ours), ("theirs", theirs)):
            start = time.process_time()
            with contextlib.redirect_stderr(io.StringIO()):
                made[name] = fn()
            if repeat:
                seconds[name].append(round(time.process_time() - start, 3))
    return {
        "work": work,
        "peer": peer,
        "ours": min(seconds["ours"]),
        "theirs": min(seconds["theirs"]),
        "all": seconds,
        "difference": float((made["ours"].float() - made["theirs"].float()).abs().max()),
    }
