"""The table of a checkpoint that is rewritten under a limit of memory."""

from __future__ import annotations

import record
from tables import table

BENCHMARK = ("core", "checkpoint_rewrite")
WAYS = {
    "copy": "the files copied",
    "head": "a head of {largest} drawn anew",
    "rows": "the embedding gets {rows} more rows",
    "whole": "ten orthogonal matrices, each made whole",
    "all": "every tensor drawn anew",
}


def memory_table() -> str:
    """Peak memory and seconds of each way."""
    found = record.need(*BENCHMARK)
    words = {"largest": _mib(found["largest_tensor_bytes"]), "rows": f"{found['added_rows']:,}"}
    cells = []
    for row in found["rows"]:
        seconds = [one["seconds"] for one in row["all"]]
        spread = f"{row['seconds']:.0f}" + (f" ({min(seconds):.0f}–{max(seconds):.0f})" if len(seconds) > 1 else "")
        done = WAYS[row["way"]].format(**words)
        cells.append([done, f"{max(0, row['peak_mb']):,}", spread, f"{row['cpu_seconds']:.1f}"])
    return table(["what is done", "peak memory, MB", "seconds (range)", "processor seconds"], cells)


def memory_words() -> str:
    """What was rewritten, under what limit, in a sentence."""
    found = record.need(*BENCHMARK)
    versions = found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "initkit-core"))
    holds = "holds" if found["limit_holds_the_largest_tensor"] else "does not hold"
    return (
        f"A language model of {found['checkpoint_bytes'] / 2**30:.2f} GiB in {found['shards']} shards, "
        f"{found['parameters'] / 1e9:.2f} billion numbers in bfloat16. The process may take "
        f"{_mib(found['room_bytes'])} of address space beyond its imports, which {holds} the largest tensor of "
        f"{_mib(found['largest_tensor_bytes'])}. Largest peak and median seconds of one or two rounds, taken in turn "
        f"on one thread; `fsync` is included "
        f"everywhere. {named}."
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
