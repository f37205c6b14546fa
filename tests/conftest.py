"""What all tests share."""

from __future__ import annotations

import importlib.util
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

# A shell's background job ignores Ctrl-C, and so would every process that the tests start from it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, and make the emulated device known before any test runs."""
    if any({"emulated", "alike"} & set(getattr(item, "fixturenames", ())) for item in items):
        _emulation().register()
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _emulation() -> Any:
    """The module ``emulated.py``, loaded once: torch knows one such device a process."""
    name = "initkit_emulated"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("emulated.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def emulated() -> Iterator[Any]:
    """A device named ``emulated`` that computes on the CPU but keeps its tensors apart, as a GPU does."""
    with _emulation().emulated_device() as device:
        yield device


Alike = Callable[..., None]


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def alike(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Alike:
    """Applies a recipe on the CPU and on a device, and compares; see ``compared`` inside.

    On a GPU the test's report says how long both took.
    """
    import torch

    import initkit

    device: str = request.param
    emulated = request.getfixturevalue("emulated") if device == "emulated" else None

    def compared(
        build: Callable[[], Any],
        recipe: Any,
        *,
        rtol: float,
        atol: float = 0.0,
        there: Collection[str] = (),
        **needs: Any,
    ) -> None:
        """Compare every tensor of the model and every output.

        Args:
            build: makes the model on the CPU.
            recipe: to apply.
            rtol: relative tolerance.
            atol: absolute tolerance.
            there: aten operations that carry the heavy work, which must run on the device, but for what planning
                does of them on the model's own.
            needs: the data.
        """

        def applied(where: str) -> tuple[dict[str, torch.Tensor], float]:
            torch.manual_seed(0)
            model = build()
            began = time.perf_counter()
            report = initkit.apply(model, recipe, seed=0, device=where, **needs)
            if where == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
            state = model.state_dict() if isinstance(model, torch.nn.Module) else {}
            assert all(tensor.device.type == "cpu" for tensor in state.values()), "the model has left its device"
            outputs = {f"outputs/{name}": tensor.cpu() for name, tensor in report.outputs.items()}
            return {**state, **outputs}, seconds

        here, seconds = applied("cpu")
        if device == "cuda":
            applied(device)  # loads kernels
        if emulated is not None:
            emulated.work.clear()
            emulated.elsewhere.clear()
        found, device_seconds = applied(device)
        for name, tensor in here.items():
            torch.testing.assert_close(found[name], tensor, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
        if emulated is None:
            ratio = seconds / device_seconds
            record_property("device_speedup", ratio)
            print(f"{recipe}: CPU {seconds:.3f} s, {device} {device_seconds:.3f} s, {ratio:.1f} times as fast")
            return
        print(f"on the device: {emulated.work.most_common(12)}; on the CPU: {emulated.elsewhere.most_common(12)}")
        for operation in there:
            assert emulated.work[operation], f"{operation} did not run on the device; there ran {dict(emulated.work)}"
            assert emulated.elsewhere[operation] < emulated.work[operation] / 4, f"{operation} ran on the CPU"

    return compared
