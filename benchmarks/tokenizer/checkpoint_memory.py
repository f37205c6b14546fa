"""Memory and time of giving a model folder of about 1 GB a larger vocabulary, beside loading, resizing and saving it.

A Llama in bfloat16 with 65,792 tokens of 2,048 numbers, input and head apart, and four layers, in shards of 256 MB;
16,384 tokens are added. Both tokenizers are byte-level BPE: all pairs of bytes, and pairs of pairs. ``in blocks`` and
``a table at a time`` are ``expand_checkpoint``; ``loaded`` is the same recipe on the loaded model; the last is
transformers' ``resize_token_embeddings``, without the slow sampling of its default, between ``from_pretrained`` and
``save_pretrained``. Each runs in a process of its own on one thread; memory is the peak beyond what imports take, as
Linux says it. Seconds are medians over rounds, taken in turn; those of folders include ``fsync``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROUNDS, SEED = 3, 0
WIDTH, LAYERS, ADDED = 2048, 4, 16_384
WAYS = {
    "tokenizer/subword, in blocks": ("blocks", "subword"),
    "tokenizer/auto, a table at a time": ("blocks", "auto"),
    "tokenizer/subword, loaded": ("loaded", "subword"),
    "transformers, mean_resizing=False": ("resized", "normal"),
}


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        old, new = _tokenizers(place)
        size = _model(place / "model", old)
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        same = None
        for number in range(ROUNDS):
            for way, (kind, what) in WAYS.items():
                found[way].append(_alone(place, kind, what))
                print(way, found[way][-1], flush=True)
            if number == 0:
                same = _same(place / "blocks subword", place / "loaded subword")
            for kind, what in WAYS.values():
                shutil.rmtree(place / f"{kind} {what}")
    rows = [
        {
            "way": way,
            "peak_mb": round(statistics.median(one["peak_mb"] for one in runs)),
            "seconds": round(statistics.median(one["seconds"] for one in runs), 1),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in runs), 1),
            "all": runs,
        }
        for way, runs in found.items()
    ]
    return {
        "seeds": [SEED],
        "threads": 1,
        "model_mb": round(size / 1e6),
        "tokens": old,
        "added": new - old,
        "width": WIDTH,
        "same_bytes_as_loaded": same,
        "rows": rows,
    }


def _tokenizers(place: Path) -> tuple[int, int]:
    """Write both; returns how many tokens they have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(one, two) for one in alphabet for two in alphabet]
    letters = [chr(code) for code in range(ord("a"), ord("a") + 26)]
    pairs = [(one + two) for one in letters for two in letters][:128]
    longer = [(one, two) for one in pairs for two in pairs][:ADDED]
    sizes = []
    for name, rules in (("old", merges), ("new", merges + longer)):
        words = [*alphabet, *(one + two for one, two in rules)]
        made = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=rules))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        (place / name).mkdir()
        made.save(str(place / name / "tokenizer.json"))
        sizes.append(len(words))
    return sizes[0], sizes[1]


def _model(folder: Path, rows: int) -> int:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=rows, hidden_size=WIDTH, intermediate_size=5632, num_hidden_layers=LAYERS, num_attention_heads=16
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device="cpu")
    torch.manual_seed(SEED)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.uniform_(-0.03, 0.03)
    model.save_pretrained(folder, max_shard_size="256MB")
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _alone(place: Path, kind: str, what: str) -> dict[str, float]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tokenizer.checkpoint_memory", str(place), kind, what]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _same(one: Path, two: Path) -> bool:
    """Whether two folders hold the same tensors, bit for bit."""
    from safetensors.torch import load_file

    def tensors(folder: Path) -> dict[str, torch.Tensor]:
        return {name: t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}

    first, second = tensors(one), tensors(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def work(place: Path, kind: str, what: str) -> dict[str, float]:
    """One way, in this process."""
    from transformers import LlamaForCausalLM

    import initkit
    from initkit_tokenizer import expand_checkpoint, save_model

    torch.set_num_threads(1)
    source, target = place / "model", place / f"{kind} {what}"
    before = peak_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    needs = {"old_tokenizer": place / "old", "tokenizer": place / "new"}
    if kind == "blocks":
        expand_checkpoint(source, target, f"tokenizer/{what}", **needs, seed=SEED)
    else:
        model = LlamaForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
        if kind == "loaded":
            initkit.apply(model, f"tokenizer/{what}", **needs, seed=SEED)
            save_model(model, place / "new", target)
        else:
            model.resize_token_embeddings(model.config.vocab_size + ADDED, mean_resizing=False)
            model.save_pretrained(target)
    return {
        "peak_mb": round((peak_bytes() - before) / 1e6, 1),
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def peak_bytes() -> int:
    """Bytes of memory that this process has held at most; unlike ``getrusage`` it counts nothing of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
