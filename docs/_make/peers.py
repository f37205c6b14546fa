"""Ratios to other tools, gathered from the benchmarks that measured them."""

from __future__ import annotations

from collections.abc import Iterator

import record
from tables import table

Line = tuple[str, str, str, str]  # work, peer with version, ours over theirs, page


def _version(area: str, name: str, library: str) -> str:
    return str(record.need(area, name)["versions"].get(library, "")).partition("+")[0]


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _streams() -> Iterator[Line]:
    rows = {row["what"]: row for row in record.need("core", "streams")["rows"]}
    peer = f"torch {_version('core', 'streams', 'torch')}"
    for what in ("normals, 1 thread", "normals, 2 threads", "uniforms, 1 thread", "uniforms, 2 threads"):
        if what in rows:
            yield f"a float32 tensor of {what}", peer, _ratio(rows[what]["ratio_to_torch"]), "core.md#random-streams"


def _graphs() -> Iterator[Line]:
    for row in record.need("gnn", "virgo_speed")["rows"]:
        page = "gnn.md#virgo-on-a-million-nodes"
        ratio = _ratio(1 / row["authors_over_ours"])
        yield f"Virgo's variances, {row['graph']}", "the authors' way, written from its description", ratio, page


def _meta() -> Iterator[Line]:
    peers = [row for row in record.need("inr", "meta_speed")["rows"] if row["label"] in ("torchopt", "higher")]
    for row in peers:
        if row["tasks"] == 3 and row["width"] == 64:
            name = f"{row['label']} {_version('inr', 'meta_speed', row['label'])}"
            page = "inr.md#meta-learning-beside-torchopt-and-higher"
            yield "meta-training of a SIREN", name, _ratio(1 / row["ratio"]), page


def _tokens() -> Iterator[Line]:
    for row in record.need("tokenizer", "neighbour_speed")["rows"]:
        yield row["work"], row["peer"], _ratio(row["ours"] / row["theirs"]), "index.md"
    peer = f"transformers {_version('tokenizer', 'sampling_speed', 'transformers')}"
    ratio = record.need("tokenizer", "sampling_speed")["ratios"]["resize by 1,000 rows, data"]
    yield "1,000 rows around the mean, with the covariance", peer, _ratio(1 / ratio), "index.md"


def _clusterings() -> Iterator[Line]:
    peers = {
        "kmeans": "scikit-learn",
        "hierarchical": "scikit-learn",
        "kmedoids": "kmedoids",
        "segment": "ruptures",
        "jump": "jumpmodels",
    }
    rows = record.need("ihmm", "recipe_speed")["rows"]
    for recipe, library in peers.items():
        row = next(row for row in rows if row["recipe"] == recipe and row["steps"] == 1000)
        name = f"{library} {_version('ihmm', 'recipe_speed', library)}"
        page = "ihmm.md#clusterings-of-long-series"
        yield f"ihmm/{recipe}, 1,000 steps", name, _ratio(row["ratio"]), page


def _trees() -> Iterator[Line]:
    rows = record.need("poincare", "tree_speed")["rows"]
    ours = next(row for row in rows if row["label"] == "poincare/sarkar" and row["nodes"] == 10000)
    theirs = next(row for row in rows if row["label"] != "poincare/sarkar" and row["nodes"] == 10000)
    name = f"gensim {_version('poincare', 'tree_speed', 'gensim')}, one epoch of training"
    yield (
        "a tree of 10,000 nodes in the ball",
        name,
        _ratio(ours["seconds"] / theirs["seconds"]),
        "poincare.md#trees-in-the-ball",
    )


def measured_table() -> str:
    """Time of ours over that of a peer, same work in the same run: below 1 is faster."""
    lines = [
        [f"[{work}](benchmarks/{page})", peer, ratio]
        for part in (_streams, _graphs, _meta, _tokens, _clusterings, _trees)
        for work, peer, ratio, page in part()
    ]
    return table(["work", "peer", "our time / theirs"], lines, numbers_from=2)
