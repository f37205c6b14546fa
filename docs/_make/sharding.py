"""What a rank costs: the table of the page on sharded models."""

from __future__ import annotations

import record
from tables import table


def cost_table() -> str:
    """Memory and time of a rank, by way and number of ranks."""
    found = record.need("core", "sharded")
    size = found["parameters"] * 4 / 1e6
    rows = table(
        [
            "ranks",
            "each rank makes",
            "its part, MB",
            "peak, MB",
            "peak / part",
            "processor time, s",
            "against whole tensors",
        ],
        [
            [
                str(row["ranks"]),
                NAMES[row["way"]],
                f"{row['part_mb']:.0f}",
                f"{row['peak_mb']:.0f}",
                f"{row['peak_over_part']:.2f}",
                f"{row['processor_s']:.2f}",
                f"{row['processor_ratio']:.2f}",
            ]
            for row in found["rows"]
        ],
    )
    ours = [row for row in found["rows"] if row["way"] == "initkit"]
    shares = ", ".join(f"{row['report_s']:.2f} s of {row['processor_s']:.2f} with {row['ranks']}" for row in ours)
    return (
        f"{found['parameters']:,} parameters ({size:,.0f} MB in float32), one thread a rank, all ranks on one machine. "
        "Whole tensors and whole models are torch's `normal_`, and the others are how sharded models are usually made "
        f"independent of the number of ranks. Our time includes hashes and statistics: {shares} ranks.\n\n{rows}"
    )


NAMES = {
    "initkit": "its part, by `initkit.apply` on a meta model",
    "tensor": "each tensor whole, and keeps its part",
    "model": "the whole model, then `fully_shard`",
}
