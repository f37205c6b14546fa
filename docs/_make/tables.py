"""Tables in Markdown, from the figures of the benchmarks and from the cards. Every function returns text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import record
from record import DATA

LABELS = {
    "pyg_default": "`gnn/pyg_default`",
    "xavier": "`gnn/xavier`",
    "kaiming": "`gnn/kaiming`",
    "orthogonal": "`gnn/orthogonal`",
    "virgo forward": "`gnn/virgo`, forward",
    "virgo forward, operator=gcn": "`gnn/virgo`, forward, operator=gcn",
    "virgo backward": "`gnn/virgo` (backward)",
    "virgo harmonic": "`gnn/virgo`, harmonic",
    "virgo mean": "`gnn/virgo`, mean",
    "calibrated": "`gnn/calibrated`",
    "calibrated 0.1": "`gnn/calibrated` (target 0.1)",
    "calibrated 1": "`gnn/calibrated`, target 1",
    "orthogonal, calibrated 0.1": "`gnn/calibrated`, orthogonal start",
}
Row = dict[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> str:
    """A table in Markdown; columns from ``numbers_from`` on are aligned to the right."""
    marks = ["---" if i < numbers_from else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, marks, *rows])


def accuracy_table(labels: Sequence[str] = ()) -> str:
    """Test accuracy in percent, mean ± standard deviation over the seeds: a line a recipe."""
    return _by_configuration(lambda row: f"{100 * row['test_mean']:.1f} ± {100 * row['test_std']:.1f}", labels)


def difference_table(labels: Sequence[str] = ()) -> str:
    """Points of accuracy over the default, with the paired 95 % interval."""

    def cell(row: Row) -> str:
        over = row.get("over_default")
        if over is None:
            return "–"
        if over["low"] == over["high"] == 0:
            return "0 in every seed"
        return f"{signed(100 * over['mean'])} ({signed(100 * over['low'])} to {signed(100 * over['high'])})"

    return _by_configuration(cell, labels)


def milestone_table(labels: Sequence[str] = ()) -> str:
    """Epochs until validation accuracy first reaches the milestone: median over the seeds that reached it."""
    seeds = len(record.need("gnn", "accuracy")["seeds"])

    def cell(row: Row) -> str:
        reached = row["milestone_reached"]
        if not reached:
            return "never"
        part = "" if reached == seeds else f" ({reached} of {seeds} seeds)"
        return f"{row['milestone_median']:g}{part}"

    return _by_configuration(cell, labels)


def _by_configuration(cell: Callable[[Row], str], labels: Sequence[str]) -> str:
    rows = record.need("gnn", "accuracy")["rows"]
    configurations = list(dict.fromkeys((row["data"], row["layers"]) for row in rows))
    header = ["recipe", *[f"{DATA[data]}, {layers} layers" for data, layers in configurations]]
    chosen = list(labels) or list(dict.fromkeys(row["label"] for row in rows))
    at = {(row["label"], row["data"], row["layers"]): row for row in rows}
    lines = [[LABELS[label], *[cell(at[label, data, layers]) for data, layers in configurations]] for label in chosen]
    return table(header, lines)


def expectations_table() -> str:
    """What was expected before the runs, and what came out."""
    rows = []
    for one in record.need("gnn", "accuracy")["expected"]:
        found = one["found"]
        rows.append(
            [
                f"{LABELS[one['label']]} on {DATA[one['data']]}, {one['layers']} layers",
                f"at least {signed(one['points'])}",
                f"{signed(100 * found['mean'])} ({signed(100 * found['low'])} to {signed(100 * found['high'])})",
                "yes" if one["met"] else "**no**",
            ]
        )
    return table(["points over the default", "expected", "found (95 % interval)", "met"], rows)


def signal_table(labels: Sequence[str] = ()) -> str:
    """Size of the signal at the last layer over that at the first, by kind of layer."""
    return _by_operator("signal_ratio", labels)


def gradient_table(labels: Sequence[str] = ()) -> str:
    """Size of the gradient at the first layer over that at the last, by kind of layer."""
    return _by_operator("gradient_ratio", labels)


def _by_operator(key: str, labels: Sequence[str]) -> str:
    rows = record.need("gnn", "variance_by_depth")["rows"]
    operators = list(dict.fromkeys(row["operator"] for row in rows))
    chosen = list(labels) or list(dict.fromkeys(row["label"] for row in rows))
    at = {(row["label"], row["operator"]): row[key] for row in rows}
    lines = [[LABELS[label], *[_spread(at[label, operator]) for operator in operators]] for label in chosen]
    return table(["recipe", *operators], lines)


def _spread(sizes: dict[str, float]) -> str:
    return f"{short(sizes['middle'])} ({short(sizes['low'])} – {short(sizes['high'])})"


def diversity_table() -> str:
    """Diversity of directions at the last hidden layer of a GCN."""
    rows = [row for row in record.need("gnn", "variance_by_depth")["rows"] if row["operator"] == "GCN"]
    return table(
        ["recipe", "layer 1", f"layer {len(rows[0]['diversity'])}"],
        [[LABELS[row["label"]], f"{row['diversity'][0]:.4f}", f"{row['diversity'][-1]:.4f}"] for row in rows],
    )


def recipe_table(root: str = "") -> str:
    """The installed recipes, each with a link to its page below ``root``."""
    import initkit

    rows = []
    for card in initkit.recipes():
        needs = ", ".join(f"`{need.name}`{' (optional)' if need.optional else ''}" for need in card.needs) or "–"
        page = f"recipes/{card.id}.md"
        there = (record.ROOT / "docs" / page).is_file()
        rows.append([f"[`{card.id}`]({root}{page})" if there else f"`{card.id}`", card.summary, needs])
    return table(["recipe", "what it does", "needs"], rows, numbers_from=3)


def made_with(area: str, name: str) -> str:
    """One line: data, seeds, versions and machine of a benchmark."""
    found = record.need(area, name)
    seeds = found["seeds"]
    words = ", ".join(f"{library} {number}" for library, number in found["versions"].items() if library in _SHOWN)
    made = "" if not generated(found) else " **The graphs were generated: the data sets were not at hand.**"
    return f"Seeds {seeds[0]}–{seeds[-1]}; {words}.{made}" if len(seeds) > 1 else f"Seed {seeds[0]}; {words}.{made}"


_SHOWN = ("python", "torch", "torch-geometric", "numpy")


def generated(found: dict[str, Any]) -> bool:
    """Whether a benchmark had to make its graphs."""
    return "generated" in (found.get("source"), *found.get("sources", {}).values())


def signed(number: float) -> str:
    """``+1.2``, ``−0.3`` with a true minus sign, ``0.0``."""
    text = f"{number:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def short(number: float) -> str:
    """Two or three digits; powers of ten where the number is large or small: ``2.1·10⁹``."""
    if number == 0:
        return "0"
    if 0.01 <= abs(number) < 1000:
        return f"{number:.3g}" if abs(number) >= 0.1 else f"{number:.2g}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def streams_table() -> str:
    """Speed of the random streams beside torch."""
    found = record.load("core", "streams")
    if found is None:
        return _absent("core", "streams")
    rows = [
        [
            row["what"],
            f"{row['processor_ms_per_million']:.1f}",
            f"{row['processor_ratio_to_torch']:.2f}",
            f"{row['ratio_to_torch']:.2f}",
        ]
        for row in found["rows"]
    ]
    header = ["numbers", "processor ms for a million", "times torch's", "times torch's by the clock"]
    return table(header, rows)


def streams_words() -> str:
    """How busy the machine was."""
    found = record.load("core", "streams")
    return "" if found is None else f"Other work on the machine: a load of {found['load_before']:.0f}."


def virgo_speed_table() -> str:
    """Time and memory of Virgo's variances, ours beside the authors' way."""
    found = record.load("gnn", "virgo_speed")
    if found is None:
        return _absent("gnn", "virgo_speed")
    header = ["graph", "ours, s", "of it reading the graph, s", "authors' way, s", "authors' / ours"]
    header += ["ours / bare products", "memory ours, MB", "memory authors', MB"]
    rows = []
    for row in found["rows"]:
        ours, authors = row["ours"], row["authors"]
        seconds = [ours["seconds"], ours["graph_seconds"], authors["seconds"]]
        ratios = [row["authors_over_ours"], row["ours_over_bare_products"]]
        memory = [f"{way['peak_mb']:.0f}" for way in (ours, authors)]
        edges = f"{row['graph']}, {row['stored_edges'] / 1e6:.1f}M edges"
        rows.append([edges, *[f"{value:.2f}" for value in seconds], *[f"{value:.1f}" for value in ratios], *memory])
    return table(header, rows)


def golden_table() -> str:
    """How far Virgo's variances are from those of the authors' code."""
    found = record.load("gnn", "virgo_speed")
    if found is None:
        return _absent("gnn", "virgo_speed")
    rows = [
        [
            f"{DATA[row['graph']]}, {'row-normalised' if row['row_normalised'] else 'raw'} features",
            "left out: no data" if "left_out" in row else short(row["largest_relative_error"]),
        ]
        for row in found["golden"]
    ]
    return table(["graph", "largest relative difference"], rows)


def rows_table(area: str, name: str) -> str:
    """The rows of a benchmark as they are: a column for each plain entry."""
    found = record.load(area, name)
    if found is None:
        return _absent(area, name)
    keys = [key for key, value in found["rows"][0].items() if isinstance(value, (str, int, float))]
    keys.sort(key=lambda key: not isinstance(found["rows"][0][key], str))
    words = sum(isinstance(found["rows"][0][key], str) for key in keys)
    header = [key.replace("_", " ") for key in keys]
    rows = [
        [value if isinstance(value := row.get(key, ""), str) else f"{value:.4g}" for key in keys]
        for row in found["rows"]
    ]
    return table(header, rows, numbers_from=words)


def _absent(area: str, name: str) -> str:
    return f"No figures yet: `python -m benchmarks {area} {name}` writes them."


def machine(area: str, name: str) -> str:
    """One line: what a speed benchmark ran on."""
    found = record.load(area, name)
    if found is None:
        return ""
    words = ", ".join(f"{library} {number}" for library, number in found["versions"].items() if library in _SHOWN)
    return f"{found['machine']['cpu']}, {found['machine']['cores']} cores; {words}."
