"""The example's tree in the Poincaré disc: coordinates, for the picture, and what they hold of the tree.

Points in float32 and in float64, under the projections of geoopt and hypll; ``spread`` is the recipe's order of
children, ``given`` the order of the list.
"""

from __future__ import annotations

from typing import Any

import torch

import initkit
from initkit_poincare import Tree, example, measured

SEEDS = [0]


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    tree = Tree.of(example.tree)
    names = list(tree.nodes)
    rows = []
    for dtype in (torch.float32, torch.float64):
        for children in ("spread", "given"):
            model = example.PoincareEmbedding(len(names), 2)
            model.points.data = model.points.data.to(dtype)
            sarkar = initkit.recipe("poincare/sarkar", children=children)
            report = initkit.apply(model, sarkar, tree=example.tree, nodes=names)
            (found,) = report.notes["poincare/sarkar embedding"]
            points = model.points.detach()
            again = measured(tree, points, found["tau"])
            rows.append(
                {
                    "dtype": str(dtype).removeprefix("torch."),
                    "children": children,
                    "tau": found["tau"],
                    "d_avg": round(again.average, 4),
                    "d_wc": round(again.worst, 3),
                    "map": round(again.map, 4),
                    "points": [[round(float(x), 7) for x in point] for point in points] if children == "spread" else [],
                }
            )
    return {
        "seeds": SEEDS,
        "names": names,
        "parents": tree.parent.tolist(),
        "levels": tree.level.tolist(),
        "rows": rows,
    }
