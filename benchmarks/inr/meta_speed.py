"""Meta-training beside torchopt and higher: the same loop, the same tasks, the same result, time by time.

Each library computes the gradient of the mean loss of three faces after two SGD steps at 1e-2 and moves the start by
Adam 1e-4, for the same faces in the same order. Processor seconds of one thread, medians over alternating rounds. On a
GPU the tasks run at once and one by one; where there is none, those rows say so.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

import initkit
from benchmarks.inr._faces import TRAIN, Siren, faces, grid
from initkit_inr.adaptation import Adaptation, Batch

ROUNDS, ITERATIONS = 5, 10
INNER_LR, OUTER_LR, STEPS = 1e-2, 1e-4, 2
CONFIGURATIONS = [(64, 3), (64, 16), (256, 3)]  # width, tasks in an iteration
Step = Callable[[nn.Module, Tensor], None]  # puts the gradient into the model's parameters


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for width, tasks in CONFIGURATIONS for row in _configuration(width, tasks)]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": [0],
        "protocol": {"rounds": ROUNDS, "iterations": ITERATIONS, "inner_steps": STEPS, "points": 625},
        "rows": rows,
        "gpu": _gpu(),
    }


def _configuration(width: int, tasks: int) -> list[dict[str, Any]]:
    libraries: dict[str, Step | None] = {
        "initkit, loop": _ours(vectorised=False),
        "initkit, vmap": _ours(vectorised=True),
        "initkit, loop, recompute": _ours(vectorised=False, recompute=True),
        "torchopt": _torchopt(),
        "higher": _higher(),
    }
    iterations = ITERATIONS if width == 64 and tasks == 3 else 3
    seconds: dict[str, list[float]] = {label: [] for label in libraries}
    ends: dict[str, dict[str, Tensor]] = {}
    for _ in range(ROUNDS if width == 64 else 3):
        for label, step in libraries.items():
            if step is not None:
                taken, ends[label] = _trained(step, width, tasks, iterations)
                seconds[label].append(taken / iterations)
    first = ends["initkit, loop"]
    rows = []
    for label, step in libraries.items():
        if step is None:
            rows.append({"width": width, "tasks": tasks, "label": label, "left_out": "not installed"})
            continue
        apart = max(float((value - first[name]).abs().max()) for name, value in ends[label].items())
        median = statistics.median(seconds[label])
        ratios = [b / a for a, b in zip(seconds["initkit, loop"], seconds[label], strict=True)]
        rows.append(
            {
                "width": width,
                "tasks": tasks,
                "label": label,
                "milliseconds": round(1000 * median, 2),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
                "difference": float(f"{apart:.3g}"),
                "iterations": iterations,
            }
        )
        print(f"width {width}, {tasks} tasks, {label}: {1000 * median:.1f} ms, differs {apart:.1e}", file=sys.stderr)
    return rows


def _trained(step: Step, width: int, tasks: int, iterations: int) -> tuple[float, dict[str, Tensor]]:
    """Processor seconds of some iterations after a first one, and the parameters at the end."""
    model = Siren(width)
    initkit.apply(model, initkit.recipe("inr/siren", bias="zero"), seed=0)
    adam = torch.optim.Adam(model.parameters(), lr=OUTER_LR)
    targets = torch.from_numpy(faces()[TRAIN]).reshape(80, -1, 1)
    begin = 0.0
    for iteration in range(iterations + 1):
        if iteration == 1:
            begin = time.process_time()
        chosen = torch.arange(iteration * tasks, (iteration + 1) * tasks) % 80
        adam.zero_grad()
        step(model, targets[chosen])
        adam.step()
    return time.process_time() - begin, {name: value.detach() for name, value in model.named_parameters()}


def _ours(*, vectorised: bool, recompute: bool = False) -> Step:
    coords = grid(25)

    def step(model: nn.Module, targets: Tensor) -> None:
        def loss(params: dict[str, Tensor], task: dict[str, Tensor]) -> Tensor:
            return (functional_call(model, params, (task["coords"],)) - task["target"]).square().mean()

        adaptation = Adaptation(loss, INNER_LR, "maml", vectorised, recompute)
        start = {name: value.detach() for name, value in model.named_parameters()}
        batch = Batch({"coords": coords}, {"target": targets})
        _, found = adaptation.gradient(start, [batch] * (STEPS + 1))
        for name, value in model.named_parameters():
            value.grad = found[name]

    return step


def _torchopt() -> Step | None:
    try:
        import torchopt
    except ImportError:
        return None
    coords = grid(25)

    def step(model: nn.Module, targets: Tensor) -> None:
        inner = torchopt.MetaSGD(model, lr=INNER_LR)
        begin = torchopt.extract_state_dict(model, by="reference")
        state = torchopt.extract_state_dict(inner, by="reference")
        for target in targets:
            for _ in range(STEPS):
                inner.step((model(coords) - target).square().mean())
            outer = (model(coords) - target).square().mean() / len(targets)
            torchopt.recover_state_dict(model, begin)
            torchopt.recover_state_dict(inner, state)
            outer.backward()

    return step


def _higher() -> Step | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import higher
    except ImportError:
        return None
    coords = grid(25)

    def step(model: nn.Module, targets: Tensor) -> None:
        inner = torch.optim.SGD(model.parameters(), lr=INNER_LR)
        for target in targets:
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (copy, tuned):
                for _ in range(STEPS):
                    tuned.step((copy(coords) - target).square().mean())
                ((copy(coords) - target).square().mean() / len(targets)).backward()

    return step


def _gpu() -> dict[str, Any]:
    """Tasks at once against one by one on a GPU."""
    if not torch.cuda.is_available():
        return {"left_out": "there was no GPU"}
    rows = []
    for width, tasks in CONFIGURATIONS:
        found = {}
        for vectorize in ("vmap", "loop"):
            model = Siren(width)
            recipe = initkit.recipe("inr/meta", iters=50, tasks_per_iter=tasks, vectorize=vectorize)
            initkit.apply(model, recipe, signals=faces()[TRAIN], device="cuda")
            torch.cuda.synchronize()
            begin = time.perf_counter()
            initkit.apply(model, recipe, signals=faces()[TRAIN], device="cuda")
            torch.cuda.synchronize()
            found[vectorize] = time.perf_counter() - begin
        rows.append({"width": width, "tasks": tasks, "loop_over_vmap": round(found["loop"] / found["vmap"], 3)})
    return {"name": torch.cuda.get_device_name(), "rows": rows}
