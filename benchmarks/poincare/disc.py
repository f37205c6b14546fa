"""The example's tree in the Poincaré disc: coordinates, for the picture, and what they hold of the tree.

float32 points under the projection of geoopt and hypll; ``spread`` is the recipe's order of children, ``given`` the
order of the list.
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
    for children in ("spread", "given"):
        model = example.model(dim=2)
        report = initkit.apply(
            model, initkit.recipe("poincare/sarkar", children=children), tree=example.tree, nodes=names
        )
        (found,) = report.notes["poincare/sarkar embedding"]
        points = model.points.detach()
        again = measured(tree, points, found["tau"])
        rows.append(
            {
                "children": children,
                "tau": found["tau"],
                "d_avg": round(again.average, 4),
                "d_wc": round(again.worst, 3),
                "map": round(again.map, 4),
                "points": [[round(float(x), 4) for x in point] for point in points],
            }
        )
    return {
        "seeds": SEEDS,
        "names": names,
        "parents": tree.parent.tolist(),
        "levels": tree.level.tolist(),
        "rows": rows,
    }
