"""Tables of what reproducible numbers cost."""

from __future__ import annotations

import record
import tables


def billion_table() -> str:
    """A billion parameters from the meta device, beside the model's own start."""
    found = record.need("core", "billion")
    rows = []
    for row in found["rows"]:
        ours = row["who"] == "initkit"
        rows.append(
            [
                f"{'initkit' if ours else 'the layers themselves'}, {row['law']}",
                str(row["threads"]),
                f"{row['seconds']:.1f}",
                f"{row['processor_seconds']:.1f}",
                f"{row['seconds_ratio']:.1f}" if ours else "1.0",
                f"{row['report_seconds']:.1f}" if ours else "–",
                f"{row['peak_gib']:.2f}",
            ]
        )
    header = ["start", "threads", "s", "processor s", "times the layers' own", "of it for the report, s", "peak, GiB"]
    return tables.table(header, rows)


def billion_words() -> str:
    """What the table's model is."""
    found = record.need("core", "billion")
    return (
        f"{found['parameters'] / 1e9:.2f}·10⁹ {found['dtype']} parameters ({found['model_gib']:.2f} GiB, each tensor "
        f"{1024 * found['largest_tensor_gib']:.0f} MiB), built on the meta device; each start in a process of its own."
    )
