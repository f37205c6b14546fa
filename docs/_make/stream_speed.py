"""Tables of what reproducible numbers cost."""

from __future__ import annotations

import record
import tables


def billion_table() -> str:
    """A billion parameters from the meta device, beside the model's own start."""
    found = record.load("core", "billion")
    if found is None:
        return ""
    rows = []
    for row in found["rows"]:
        ours = row["who"] == "initkit"
        rows.append(
            [
                "initkit" if ours else "`reset_parameters`",
                str(row["threads"]),
                f"{row['processor_seconds']:.1f}",
                f"{row['processor_seconds_ratio']:.1f}" if ours else "1.0",
                f"{row['seconds_ratio']:.1f}" if ours else "1.0",
                f"{row['report_seconds'] / row['seconds']:.0%}" if ours else "–",
                f"{row['peak_gib']:.2f}",
            ]
        )
    header = ["start", "threads", "processor s", "times the layers' own", "of time by the clock", "for the report"]
    header.append("peak, GiB")
    return tables.table(header, rows)


def billion_words() -> str:
    """What the table's model is."""
    found = record.load("core", "billion")
    if found is None:
        return "No figures yet: run `python -m benchmarks core billion`."
    load, cores = found["load_before"], found["machine"]["cores"]
    return (
        f"{found['parameters'] / 1e9:.2f}·10⁹ {found['dtype']} parameters ({found['model_gib']:.2f} GiB, each tensor "
        f"{1024 * found['largest_tensor_gib']:.0f} MiB), built on the meta device; each start in a process of its own. "
        f"The machine's load before was {load:.1f} for {cores} cores."
    )
