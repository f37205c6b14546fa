"""The table of model folders that are rewritten in blocks."""

from __future__ import annotations

import record
from tables import table

BENCHMARK = ("tokenizer", "checkpoint_memory")


def memory_table() -> str:
    """Peak memory and seconds of each way."""
    cells = []
    for row in record.need(*BENCHMARK)["rows"]:
        seconds = [one["seconds"] for one in row["all"]]
        spread = f"{row['seconds']:.1f} ({min(seconds):.1f}–{max(seconds):.1f})"
        cells.append([row["way"], f"{row['peak_mb']:,}", spread, f"{row['cpu_seconds']:.1f}"])
    return table(["way", "peak memory, MB", "seconds (range)", "processor seconds"], cells)


def memory_words() -> str:
    """What was rewritten, on what, in a sentence."""
    found = record.need(*BENCHMARK)
    versions = found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers"))
    equal = "the same bytes" if found["same_bytes_as_loaded"] else "other bytes"
    rounds = len(found["rows"][0]["all"])
    return (
        f"A Llama of {found['model_mb']:,} MB in bfloat16, {found['tokens']:,} tokens of {found['width']:,} numbers, "
        f"gets {found['added']:,} more. Peak memory beyond what imports take; medians of {rounds} rounds on one thread "
        f"of a machine that does other work too. In blocks and loaded, the recipe gives {equal}. {named}."
    )
