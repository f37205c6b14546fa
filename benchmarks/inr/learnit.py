"""A published meta-learned SIREN, imported and fitted to a face it has never seen, at two resolutions.

The checkpoint is learnit's (Tancik et al.): CelebA, MAML, 150,000 iterations, coordinates arange(178)/178, omega 200.
The face is the astronaut's that ships with scikit-image; plain starts are drawn from three seeds.
"""

from __future__ import annotations

import base64
import statistics
import sys
from typing import Any

import skimage
import torch
from skimage.transform import resize
from torch import Tensor

import initkit
from benchmarks.harness import data_folder
from benchmarks.inr._faces import Siren, curves

SEEDS = (0, 1, 2)
STEPS = (0, 1, 2, 4, 8)
SHOWN_STEPS = (0, 2, 8)
SHOWN_SIZE = 48
# PSNR that the published start reached elsewhere, at 178 x 178
KNOWN = {0: 11.17, 1: 25.13, 2: 30.58, 4: 33.72, 8: 35.82}


def run() -> dict[str, Any]:
    path = data_folder() / "learnit" / "celeba_maml.npz"
    if not path.is_file():
        return {"seeds": list(SEEDS), "rows": [], "left_out": "no checkpoint"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows, pictures = [], {}
    try:
        for size in (178, 89):
            target = _face(size)
            model = Siren(256, 4, 200.0, 3)
            initkit.apply(model, initkit.recipe("inr/meta", learned=str(path)), coords=_coords(size))
            psnr, images = curves(model, _coords(size), target, "SGD", 1e-2, STEPS)
            rows.append(_row("learnit", "SGD", 1e-2, size, [psnr]))
            if size == 178:
                pictures["learnit"] = {str(step): _small(images[step][0], size) for step in SHOWN_STEPS}
            for optimiser, lr in (("SGD", 1e-2), ("Adam", 1e-4)) if size == 178 else ():
                runs = []
                for seed in SEEDS:
                    initkit.apply(model, initkit.recipe("inr/siren", bias="zero"), seed=seed)
                    psnr, images = curves(model, _coords(size), target, optimiser, lr, STEPS)
                    runs.append(psnr)
                rows.append(_row("siren", optimiser, lr, size, runs))
                pictures[f"siren, {optimiser}"] = {str(step): _small(images[step][0], size) for step in SHOWN_STEPS}
    finally:
        torch.set_num_threads(threads)
    found = rows[0]["psnr"]
    return {
        "seeds": list(SEEDS),
        "rows": rows,
        "pictures": {"size": SHOWN_SIZE, "target": _small(_face(178)[0], 178), "starts": pictures},
        "expected": [
            {
                "words": f"the published start after {step} steps, dB",
                "wanted": wanted,
                "found": found[str(step)]["mean"],
                "met": abs(found[str(step)]["mean"] - wanted) < 0.02,
            }
            for step, wanted in KNOWN.items()
        ],
    }


def _coords(size: int) -> Tensor:
    axis = torch.arange(size) / size
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def _face(size: int) -> Tensor:
    """The astronaut's face as one target (1, points, 3)."""
    image = skimage.data.astronaut()[10:200, 130:320] / 255.0
    made = resize(image, (size, size), order=1, anti_aliasing=True)
    return torch.from_numpy(made.reshape(1, size * size, 3).astype("f4"))


def _row(label: str, optimiser: str, lr: float, size: int, runs: list[dict[int, list[float]]]) -> dict[str, Any]:
    psnr = {}
    for step in STEPS:
        values = [run[step][0] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        psnr[str(step)] = {
            "values": [round(value, 3) for value in values],
            "mean": round(statistics.fmean(values), 3),
            "std": round(spread, 3),
        }
    words = ", ".join(f"{step}: {one['mean']:.2f}" for step, one in psnr.items())
    print(f"{label}, {optimiser} {lr:g}, {size}: {words}", file=sys.stderr, flush=True)
    return {"label": label, "optimiser": optimiser, "lr": lr, "size": size, "psnr": psnr}


def _small(image: Tensor, size: int) -> str:
    """An image in 8-bit numbers at the size of the docs, in base64."""
    small = resize(image.reshape(size, size, 3).clamp(0, 1).numpy(), (SHOWN_SIZE, SHOWN_SIZE), anti_aliasing=True)
    return base64.b64encode((small * 255).round().astype("u1").tobytes()).decode()
