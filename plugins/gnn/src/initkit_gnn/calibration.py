"""The calibrating job: measure a layer, scale it, go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from initkit import CommitError, Draw, JobContext, kind_name
from initkit_gnn.calling import call_model
from initkit_gnn.layers import Layer
from initkit_gnn.variance import round_scale

if TYPE_CHECKING:
    from initkit_gnn.calibrated import Calibrated


class Calibration:
    """Calibrates layers in the order of execution, writing provisional weights through the job's context.

    Args:
        options: the recipe.
        layers: in the order of execution.
        starts: the draw that each weight starts from, by full name.
        data: what the model runs on.
        ctx: of the job.
    """

    def __init__(
        self, options: Calibrated, layers: Sequence[Layer], starts: Mapping[str, Draw], data: Data, ctx: JobContext
    ) -> None:
        self._options, self._layers, self._data, self._ctx = options, layers, data, ctx
        self._weights = {name: ctx.sample(draw, name) for name, draw in starts.items()}
        self._rows: list[dict[str, Any]] = []

    def run(self) -> dict[str, Tensor]:
        """Return the calibrated weights by full name; notes the sizes and factors."""
        for name, weight in self._weights.items():
            self._ctx.write(name, weight)
        if self._options.mode == "forward":
            self._forward()
        else:
            self._backward()
        self._ctx.note("gnn/calibrated layers", self._rows)
        return self._weights

    def _forward(self) -> None:
        done: set[str] = set()
        steps = iter(self._ctx.progress(self._layers, "calibrating layers", len(self._layers)))

        def calibrate(layer: Layer, module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
            if layer.name in done:
                return None
            done.add(layer.name)
            next(steps, None)
            first = size = self._size(layer, out)
            for _ in range(self._options.max_tries):
                if abs(size / self._options.target - 1) < self._options.tolerance:
                    break
                self._scale(layer, self._options.target / size)
                out = module.forward(*args, **kwargs)  # the layer again, with its new weights
                size = self._size(layer, out)
            self._row(layer, rms_before=first, rms_after=size)
            return out

        with self._hooked(calibrate), self._ctx.undisturbed() as model:
            call_model(model, self._data)
        missing = [layer.name for layer in self._layers if layer.name not in done]
        if missing:
            raise CommitError(f"gnn/calibrated: {', '.join(missing)} was not called with the graph given")

    def _backward(self) -> None:
        """Last layer first, scale W_(l+1) until dLoss/dz_l is as large as dLoss/dz_L; then W_1 for the logits."""
        layers = self._layers
        for i in self._ctx.progress(range(len(layers) - 2, -1, -1), "calibrating gradients", len(layers) - 1):
            first = None
            for _ in range(self._options.max_tries):
                sizes = self._gradients()
                wanted, size = sizes[layers[-1].name], sizes[layers[i].name]
                first = size if first is None else first
                if size == 0:
                    raise CommitError(f"gnn/calibrated: no gradient reaches layer {layers[i].name}")
                if abs(size / wanted - 1) < self._options.tolerance:
                    break
                self._scale(layers[i + 1], wanted / size)
            self._row(layers[i + 1], gradient_before=first, gradient_after=size)
        for _ in range(self._options.max_tries):
            size = self._output_size()
            if abs(size / self._options.target - 1) < self._options.tolerance:
                break
            self._scale(layers[0], self._options.target / size)
        self._row(layers[0], logits_rms=size)

    def _gradients(self) -> dict[str, float]:
        """√(mean (dLoss/dz)²) of every layer."""
        seen: dict[str, Tensor] = {}

        def keep(layer: Layer, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            z = _tensor(out)
            z.retain_grad()
            seen.setdefault(layer.name, z)

        with self._hooked(keep), self._ctx.undisturbed(grad=True) as model:
            data = self._data.clone()
            if data.x is not None and data.x.is_floating_point():
                data.x = data.x.detach().requires_grad_()  # gradients flow through a frozen model too
            logits = _tensor(call_model(model, data))
            labels = self._ctx.stream("labels").integers(0, max(2, logits.shape[-1]), len(logits))
            targets = torch.from_numpy(labels).to(logits.device)
            if logits.shape[-1] > 1:
                loss = nn.functional.cross_entropy(logits, targets)
            else:
                loss = nn.functional.binary_cross_entropy_with_logits(logits.squeeze(-1), targets.to(logits.dtype))
            loss.backward()  # type: ignore[no-untyped-call]
        return {name: 0.0 if z.grad is None else _rms(z.grad) for name, z in seen.items()}

    def _output_size(self) -> float:
        with self._ctx.undisturbed() as model:
            return _rms(_tensor(call_model(model, self._data)))

    @contextlib.contextmanager
    def _hooked(self, hook: Callable[..., Any]) -> Iterator[None]:
        handles = []
        for layer in self._layers:
            module = self._ctx.model.get_submodule(layer.name)

            def call(m: nn.Module, args: Any, kwargs: Any, out: Any, layer: Layer = layer) -> Any:
                return hook(layer, m, args, kwargs, out)

            handles.append(module.register_forward_hook(call, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _size(self, layer: Layer, out: Any) -> float:
        size = _rms(_tensor(out))
        if not size > 0 or size == float("inf"):
            what = "is 0 everywhere (a dead layer)" if size == 0 else "holds NaN or infinite values"
            raise CommitError(
                f"gnn/calibrated: the output of layer {layer.name} {what} on this graph; check the features"
            )
        return size

    def _scale(self, layer: Layer, factor: float) -> None:
        chain = len({matrix.role for matrix in layer.matrices if matrix.role != "inner"}) + sum(
            matrix.role == "inner" for matrix in layer.matrices
        )
        share = round_scale(factor ** (1 / chain))
        for matrix in layer.matrices:
            name = layer.full(matrix.name)
            self._weights[name] = self._weights[name] * share
            self._ctx.write(name, self._weights[name])

    def _row(self, layer: Layer, **sizes: float | None) -> None:
        found = {key: round_scale(value) for key, value in sizes.items() if value is not None}
        self._rows.append({"layer": layer.name, "type": kind_name(layer.module), **found})


def _tensor(out: Any) -> Tensor:
    z: Tensor = out[0] if isinstance(out, (tuple, list)) else out
    return z


def _rms(z: Tensor) -> float:
    return float(z.detach().to(torch.float64).square().mean().sqrt())
