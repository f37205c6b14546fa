"""The packages of WECHSEL and FOCUS and the recipes that follow them, on the same model, tokenizers and vectors.

The case is that of ``german``, seed 0. Compared are all rows of input and head: with ``compat="authors"`` they should
be the package's, but for rows drawn at random and, in FOCUS, tokens whose overlap the package finds otherwise. The
packages ask for fastText's own library; ``pip install datasets nltk`` and ``pip install --no-deps wechsel deepfocus
fasttext-community entmax fastdist print-on-steroids`` give what runs without a compiler.
"""

from __future__ import annotations

import copy
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import initkit
from benchmarks.tokenizer._causal import bits_per_byte
from benchmarks.tokenizer._starts import Case
from benchmarks.tokenizer._text import dictionary
from benchmarks.tokenizer._vectors import fasttext as fasttext_file
from benchmarks.tokenizer._vectors import of_tokens
from benchmarks.tokenizer.german import SIZE, case_of
from initkit_tokenizer import make_plan

Rows = Callable[[Tensor], tuple[Tensor, set[int], dict[str, int]]]


def run() -> dict[str, Any]:
    case = case_of(0)
    old, new = (
        PreTrainedTokenizerFast(tokenizer_object=one, eos_token="<eos>", pad_token="<pad>")
        for one in (case.old, case.new)
    )
    found = []
    for package, recipe, options, kind, rows in (
        ("wechsel", "wechsel", {}, "vectors", _wechsel(old, new)),
        ("deepfocus", "focus", {"vectors_of": "tokens"}, "vectors of tokens", _focus(old, new)),
    ):
        begin = time.perf_counter()
        theirs, random, counts = _model(case, rows)
        seconds = time.perf_counter() - begin
        row: dict[str, Any] = {"package": package, "version": version(package), "recipe": recipe, **counts}
        row["seconds of the package"] = round(seconds, 1)
        row["bits of the package"] = round(bits_per_byte(theirs, case.new, case.test), 4)
        for label, chosen in (("compat", {**options, "compat": "authors"}), ("default", options)):
            begin = time.perf_counter()
            ours = _ours(case, recipe, chosen, kind)
            row[f"seconds, {label}"] = round(time.perf_counter() - begin, 1)
            row[f"bits, {label}"] = round(bits_per_byte(ours, case.new, case.test), 4)
            row[f"rows, {label}"] = _compared(theirs, ours, random)
        found.append(row)
        print(row, flush=True)
    return {"seeds": [0], "rows": found}


def _compared(theirs: LlamaForCausalLM, ours: LlamaForCausalLM, random: set[int]) -> dict[str, Any]:
    """How many rows agree, those that the package drew at random left out; and by how much the rest differ."""
    same = total = 0
    largest = 0.0
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        a, b = theirs.get_parameter(name).detach(), ours.get_parameter(name).detach()
        far = (a - b).abs().amax(1) / a.norm(dim=1).mean()
        kept = torch.tensor([i not in random for i in range(len(a))])
        equal = far[kept] < 1e-4
        same, total = same + int(equal.sum()), total + int(kept.sum())
        largest = max(largest, float(far[kept][equal].max()) if bool(equal.any()) else 0.0)
    return {"equal": same, "compared": total, "largest difference of equal ones": float(f"{largest:.2g}")}


def _model(case: Case, rows: Rows) -> tuple[LlamaForCausalLM, set[int], dict[str, int]]:
    made = copy.deepcopy(case.model)
    random: set[int] = set()
    counts: dict[str, int] = {}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weight = made.get_parameter(name)
        values, random, counts = rows(weight.detach().clone())
        weight.data = values.to(weight.dtype)
    return made, random, counts


def _ours(case: Case, name: str, options: dict[str, Any], kind: str) -> LlamaForCausalLM:
    made = copy.deepcopy(case.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initkit.apply(
            made,
            initkit.recipe(f"tokenizer/{name}", **options),
            tokenizer=case.new,
            old_tokenizer=case.old,
            seed=case.seed,
            **case.needs[kind],
        )
    return made


def _plain(path: Path) -> Any:
    """A model of fastText whose word vectors are means of its rows; fasttext-community gives them length one."""
    import fasttext

    model = fasttext.load_model(str(path))
    rows = model.get_input_matrix()

    def vector(word: str) -> Any:
        ids = model.get_subwords(word)[1]
        return rows[ids].mean(0) if len(ids) else np.zeros(rows.shape[1], dtype=np.float32)

    model.get_word_vector = vector
    return model


def _wechsel(old: Any, new: Any) -> Rows:
    from wechsel import WECHSEL

    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("".join(f"{a}\t{b}\n" for a, b in dictionary()))
        file.flush()
        made = WECHSEL(
            _plain(fasttext_file("en")),
            _plain(fasttext_file("de")),
            bilingual_dictionary=file.name,
        )

    def rows(matrix: Tensor) -> tuple[Tensor, set[int], dict[str, int]]:
        values, info = made.apply(old, new, matrix.numpy())
        random = set(new.convert_tokens_to_ids(info.not_found))
        return torch.from_numpy(values), random, {"drawn at random": len(random)}

    return rows


def _focus(old: Any, new: Any) -> Rows:
    import fasttext
    from deepfocus import FOCUS
    from deepfocus.focus import get_overlapping_tokens

    path = of_tokens("de", SIZE)
    known = set(fasttext.load_model(str(path)).words)
    overlap, others = get_overlapping_tokens(new, old, match_symbols=False, exact_match_all=True, fuzzy_match_all=False)
    random = {one.target.id for token, one in others.items() if token not in known}
    theirs = {one.target.id for one in overlap.values()}
    ours = set(make_plan(old, new).copied)
    counts = {"overlap": len(theirs), "overlap of ours": len(ours), "in both": len(theirs & ours)}

    def rows(matrix: Tensor) -> tuple[Tensor, set[int], dict[str, int]]:
        values = FOCUS(new, old, matrix, fasttext_model_path=str(path), verbosity="silent")
        return values, random, {**counts, "drawn at random": len(random)}

    return rows
