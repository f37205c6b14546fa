"""Meta-training beside torchopt and higher: the same loop, the same tasks, the same result, time by time.

Each library computes the gradient of the mean loss of three faces after two SGD steps at 1e-2 and moves the start by
Adam 1e-4, for the same faces in the same order. Processor seconds of one thread, medians over alternating rounds. On a
GPU the tasks run at once and one by one; where there is none, those rows say so.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

import initkit
from benchmarks.harness import HERE
from benchmarks.inr._faces import TRAIN, Siren, faces, grid
from initkit_inr.adaptation import Adaptation, Batch

ROUNDS, ITERATIONS = 5, 10
INNER_LR, OUTER_LR, STEPS = 1e-2, 1e-4, 2
CONFIGURATIONS = [(64, 3), (64, 16), (256, 3)]  # width, tasks in an iteration
MEMORY_SIZE, MEMORY_WIDTH, MEMORY_TASKS, MORE_STEPS = 89, 256, 3, 8
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
        "memory": [
            *[_memory(label, STEPS) for label in libraries()],
            *[_memory(label, MORE_STEPS) for label in ("initkit, loop", "initkit, loop, recompute")],
        ],
        "gpu": _gpu(),
    }


def libraries(size: int = 25, steps: int = STEPS) -> dict[str, Step | None]:
    """The ways of computing the gradient, for images of a size; None where a library is not installed."""
    return {
        "initkit, loop": _ours(size, steps, vectorised=False),
        "initkit, vmap": _ours(size, steps, vectorised=True),
        "initkit, loop, recompute": _ours(size, steps, vectorised=False, recompute=True),
        "torchopt": _torchopt(size, steps),
        "higher": _higher(size, steps),
    }


def _configuration(width: int, tasks: int) -> list[dict[str, Any]]:
    ways = libraries()
    iterations = ITERATIONS if width == 64 and tasks == 3 else 3
    seconds: dict[str, list[float]] = {label: [] for label in ways}
    ends: dict[str, dict[str, Tensor]] = {}
    for _ in range(ROUNDS if width == 64 else 3):
        for label, step in ways.items():
            if step is not None:
                taken, ends[label] = _trained(step, width, tasks, iterations)
                seconds[label].append(taken / iterations)
    first = ends["initkit, loop"]
    rows = []
    for label, step in ways.items():
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


def _ours(size: int, steps: int, *, vectorised: bool, recompute: bool = False) -> Step:
    coords = grid(size)

    def step(model: nn.Module, targets: Tensor) -> None:
        def loss(params: dict[str, Tensor], task: dict[str, Tensor]) -> Tensor:
            return (functional_call(model, params, (task["coords"],)) - task["target"]).square().mean()

        adaptation = Adaptation(loss, INNER_LR, "maml", vectorised, recompute)
        start = {name: value.detach() for name, value in model.named_parameters()}
        batch = Batch({"coords": coords}, {"target": targets})
        _, found = adaptation.gradient(start, [batch] * (steps + 1))
        for name, value in model.named_parameters():
            value.grad = found[name]

    return step


def _torchopt(size: int, steps: int) -> Step | None:
    try:
        import torchopt
    except ImportError:
        return None
    coords = grid(size)

    def step(model: nn.Module, targets: Tensor) -> None:
        inner = torchopt.MetaSGD(model, lr=INNER_LR)
        begin = torchopt.extract_state_dict(model, by="reference")
        state = torchopt.extract_state_dict(inner, by="reference")
        for target in targets:
            for _ in range(steps):
                inner.step((model(coords) - target).square().mean())
            outer = (model(coords) - target).square().mean() / len(targets)
            torchopt.recover_state_dict(model, begin)
            torchopt.recover_state_dict(inner, state)
            outer.backward()

    return step


def _higher(size: int, steps: int) -> Step | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import higher
    except ImportError:
        return None
    coords = grid(size)

    def step(model: nn.Module, targets: Tensor) -> None:
        inner = torch.optim.SGD(model.parameters(), lr=INNER_LR)
        for target in targets:
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (copy, tuned):
                for _ in range(steps):
                    tuned.step((copy(coords) - target).square().mean())
                ((copy(coords) - target).square().mean() / len(targets)).backward()

    return step


def _memory(label: str, steps: int) -> dict[str, Any]:
    """Most memory of one iteration over that of the process before it, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.inr.meta_speed", label, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
    words = done.stdout.split()
    found = {"label": label, "inner_steps": steps, "size": MEMORY_SIZE, "width": MEMORY_WIDTH, "tasks": MEMORY_TASKS}
    return found | ({"peak_mb": round(float(words[-1]))} if words else {"left_out": "not installed"})


def _child(label: str, steps: int) -> None:
    torch.set_num_threads(1)
    step = libraries(MEMORY_SIZE, steps)[label]
    if step is None:
        return
    model = Siren(MEMORY_WIDTH)
    targets = torch.rand(MEMORY_TASKS, MEMORY_SIZE**2, 1)
    libraries(2)[label](model, torch.rand(MEMORY_TASKS, 4, 1))  # type: ignore[misc] - what a first call takes is no matter
    before = _most_memory()
    step(model, targets)
    print((_most_memory() - before) / 1024)


def _most_memory() -> float:
    """Most resident memory of this process so far, in KiB; ``ru_maxrss`` would begin with the parent's."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return float(line.split()[1])


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


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
