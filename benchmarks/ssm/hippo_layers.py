"""How exactly layers hold their HiPPO matrices: S4's low-rank form by measure, and S5 beside s5-pytorch.

S4: the kernel of the low-rank form, from the float32 parameters that the recipe writes, against that of the dense
HiPPO matrix in float64, both discretised by the bilinear rule with C = Bᵀ, N = 64, 256 steps of 0.02. S5: relative
error of the eigenvalues of one block against the closed form's float64 values, whether conjugate pairs are exact, and
the mean square of the entries of C times the number of states (2 where a component has the variance 1/P that the
authors' code gives it).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from s5 import S5 as Peer
from torch import nn

import initkit
from initkit_ssm.hippo import Measure, spectrum

N, LENGTH, STEP = 64, 256, 0.02
SIZES = [64, 256]
Array = npt.NDArray[np.complex128]


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for measure in ("legs", "legt", "lagt", "fout"):
        for clip in (None, 2.0):
            rows.append({"layer": "S4", "measure": measure, "b_clip": clip, "error": _kernel_error(measure, clip)})
            print(rows[-1], flush=True)
    peers = []
    for n in SIZES:
        for label in ("s5-pytorch", "ssm/s5"):
            peers.append(_s5(n, label))
            print(peers[-1], flush=True)
    unclipped = max(row["error"] for row in rows if row["b_clip"] is None)
    ours = max(row["error"] for row in peers if row["label"] == "ssm/s5")
    return {
        "seeds": [0],
        "rows": rows + peers,
        "verdicts": [
            {
                "what": "S4: greatest error of the kernel",
                "found": unclipped,
                "at_most": 1e-2,
                "holds": unclipped <= 1e-2,
            },
            {"what": "S5: greatest error of the eigenvalues", "found": ours, "at_most": 1e-6, "holds": ours <= 1e-6},
        ],
    }


class LowRank(nn.Module):
    """The tensors of S4's low-rank layout."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        modes = N // 2
        shapes = {
            "inv_dt": (1, 1),
            "A_real": (1, modes),
            "A_imag": (1, modes),
            "B": (1, 1, modes, 2),
            "C": (1, 1, modes, 2),
            "P": (rank, 1, modes, 2),
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


def _kernel_error(measure: Measure, clip: float | None) -> float:
    module = LowRank(2 if measure == "legt" else 1)
    options = {"measure": measure, "b_clip": clip, "dt_min": STEP, "dt_max": STEP}
    initkit.apply(module, initkit.recipe("ssm/s4_dplr", **options), seed=0)
    rate, freq = torch.exp(module.A_real.detach().double())[0], module.A_imag.detach().double()[0]
    poles = torch.complex(-rate, -freq)
    b = torch.view_as_complex(module.B.detach().double())[0, 0]
    p = torch.view_as_complex(module.P.detach().double())[:, 0]
    poles, b = (torch.cat([t, t.conj().resolve_conj()]) for t in (poles, b))
    p = torch.cat([p, p.conj().resolve_conj()], -1)
    a = torch.diag(poles) - p.t() @ p.conj()
    found = _responses(a.numpy(), b.numpy(), b.numpy().conj()).real
    dense_a, dense_b = _dense(measure)
    wanted = _responses(dense_a, dense_b, dense_b).real
    return float(f"{np.linalg.norm(found - wanted) / np.linalg.norm(wanted):.3g}")


def _responses(a: Any, b: Any, c: Any) -> Any:
    eye = np.eye(len(a))
    backward = np.linalg.inv(eye - STEP / 2 * a)
    forward, x = backward @ (eye + STEP / 2 * a), backward @ b * STEP
    out = []
    for _ in range(LENGTH):
        out.append(c @ x)
        x = forward @ x
    return np.array(out)


def _dense(measure: Measure) -> tuple[Any, Any]:
    """A and B as the papers define them."""
    i = np.arange(N)
    r = np.sqrt(2 * i + 1)
    if measure == "legs":
        return -np.tril(np.outer(r, r), -1) - np.diag(i + 1.0), r
    if measure == "lagt":
        return np.eye(N) / 2 - np.tril(np.ones((N, N))), np.ones(N)
    if measure == "legt":
        signs = np.where(i[:, None] >= i, 1.0, (-1.0) ** (i[:, None] - i))
        return -0.5 * np.outer(r, r) * signs, r / 2
    b = np.where(i % 2 == 0, math.sqrt(2), 0.0)
    b[0] = 1.0
    off = np.stack([np.zeros(N // 2), np.arange(N // 2)], -1).reshape(-1)[1:]
    return math.pi * (np.diag(off, -1) - np.diag(off, 1)) - np.outer(b, b), b


def _s5(n: int, label: str) -> dict[str, Any]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = Peer(64, n, block_count=1)
        if label == "ssm/s5":
            initkit.apply(layer, initkit.recipe("ssm/s5", blocks=1), seed=0)
    found = layer.seq.Lambda.detach().to(torch.complex128)
    w = spectrum("legs", n).freq
    exact = torch.sort(torch.cat([-w, w]))[0]
    order = torch.argsort(found.imag)
    error = float((torch.complex(torch.full_like(exact, -0.5), exact) - found[order]).abs().div(exact.abs()).max())
    return {
        "layer": "S5",
        "label": label,
        "states": n,
        "error": float(f"{error:.3g}"),
        "pairs": bool(torch.equal(found[order].imag, -found[order].imag.flip(0))),
        "c": float(f"{float(layer.seq.C.detach().abs().square().mean()) * n:.3g}"),
    }
