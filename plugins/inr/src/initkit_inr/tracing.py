"""Follow a model symbolically: its linear maps in the order of execution, and what lies between them.

Nothing is run on data unless the model itself asks a question about a value (an assertion, a branch); then the answer
comes from the example inputs, where there are some.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from initkit import PlanError
from initkit_inr.evaluation import Evaluator, Unfollowable, attribute_at

CAT = (torch.cat, torch.concat, torch.concatenate)


@dataclass(frozen=True)
class Affine:
    """A linear map as the model calls it: ``nn.Linear``, or ``F.linear`` on parameters.

    Attributes:
        name: of the module that owns the weight.
        weight, bias: qualified names of the tensors; bias None where there is none.
        n_in, n_out: the widths.
        dtype: of the weight.
        node: the call.
        input: what it is called with.
    """

    name: str
    weight: str
    bias: str | None
    n_in: int
    n_out: int
    dtype: torch.dtype
    node: fx.Node
    input: fx.Node


class _Tracer(fx.Tracer):
    """Answers the model's questions about values from example inputs."""

    trace_asserts = False

    def __init__(self, inputs: Mapping[str, Any] | None) -> None:
        super().__init__(autowrap_functions=_whole())
        self._inputs = inputs
        self.constants: dict[str, Tensor] = {}

    def to_bool(self, obj: fx.Proxy) -> bool:
        if self._inputs is None:
            return super().to_bool(obj)
        run = Evaluator(self.root, self.constants, double=False)
        with torch.no_grad():
            return bool(run(obj.node, {}, self._inputs))

    def create_arg(self, a: Any) -> Any:
        made = super().create_arg(a)
        if isinstance(a, Tensor) and a in self.tensor_attrs:
            # The base class hangs constants on the model; they are kept here, and taken off it after the trace.
            self.constants[str(self.tensor_attrs[a])] = a
        return made


class Trace:
    """A followed model.

    Args:
        model: the model; left as it is.
        inputs: example values of forward's arguments by name, for models that ask about them.

    Raises:
        Unfollowable: Python's control flow depends on values that are not there.
        PlanError: a linear map is reached twice.
    """

    def __init__(self, model: nn.Module, inputs: Mapping[str, Any] | None = None) -> None:
        self.model = model
        tracer = _Tracer(inputs)
        defaults = {
            p.name: p.default
            for p in inspect.signature(model.forward).parameters.values()
            if p.default is not p.empty and p.name not in (inputs or {})
        }
        try:
            with _undisturbed(model):
                model.eval()  # dropout is no part of an activation
                self.graph = tracer.trace(model, concrete_args=defaults or None)
        except Exception as error:
            raise Unfollowable(f"{type(model).__name__}.forward cannot be followed: {_line(error)}") from error
        self.constants = tracer.constants
        self.affines = list(self._find())
        self.of_node = {affine.node: affine for affine in self.affines}
        seen: dict[str, Affine] = {}
        for affine in self.affines:
            if affine.weight in seen:
                raise PlanError(f"{affine.weight} is used twice in a forward pass: no start fits both places")
            seen[affine.weight] = affine

    def _find(self) -> Iterator[Affine]:
        for node in self.graph.nodes:
            if node.op == "call_module":
                module = self.model.get_submodule(str(node.target))
                if isinstance(module, nn.Linear):
                    name = str(node.target)
                    yield Affine(
                        name,
                        f"{name}.weight" if name else "weight",
                        None if module.bias is None else f"{name}.bias" if name else "bias",
                        module.in_features,
                        module.out_features,
                        module.weight.dtype,
                        node,
                        _argument(node, 0, "input"),
                    )
            elif node.op == "call_function" and node.target is functional.linear:
                yield self._raw(node)

    def _raw(self, node: fx.Node) -> Affine:
        weight, bias = _argument(node, 1, "weight"), _argument(node, 2, "bias")
        value = self._parameter(weight)
        if value is None:
            raise PlanError(
                f"a linear map's weight ({weight}) is computed in the forward pass: initialise what it is made of"
            )
        name = str(weight.target)
        given = None if bias is None or self._parameter(bias) is None else str(bias.target)
        n_out, n_in = value.shape
        return Affine(name.rpartition(".")[0], name, given, n_in, n_out, value.dtype, node, _argument(node, 0, "input"))

    def _parameter(self, node: Any) -> nn.Parameter | None:
        if not isinstance(node, fx.Node) or node.op != "get_attr":
            return None
        value = attribute_at(self.model, str(node.target))
        return value if isinstance(value, nn.Parameter) else None

    def origins(self, node: fx.Node) -> tuple[list[Affine], bool]:
        """The linear maps that a value is made of without others between, and whether the model's input is in it."""
        found: dict[str, Affine] = {}
        raw = False
        seen: set[fx.Node] = set()
        stack = [node]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            if at in self.of_node:
                found[self.of_node[at].weight] = self.of_node[at]
            elif at.op == "placeholder":
                raw = True
            else:
                stack.extend(at.all_input_nodes)
        return [affine for affine in self.affines if affine.weight in found], raw

    @property
    def arguments(self) -> list[fx.Node]:
        """The arguments of forward, in order."""
        return [node for node in self.graph.nodes if node.op == "placeholder"]

    @property
    def output(self) -> fx.Node | None:
        """What the model returns, where it is one tensor."""
        (node,) = [node for node in self.graph.nodes if node.op == "output"]
        value = node.args[0]
        return value if isinstance(value, fx.Node) else None

    def function(self, node: fx.Node, source: fx.Node, width: int) -> Callable[[Tensor], Tensor]:
        """What is computed of one linear map's output, as an elementwise function of a float64 vector.

        Args:
            node: the value.
            source: the linear map's call.
            width: of its output.

        Raises:
            PlanError: it is not elementwise, or not the same for all units.
        """
        run = Evaluator(self.model, self.constants, double=True)
        probe = torch.linspace(-0.93, 1.07, 9, dtype=torch.float64)
        mixed = (torch.arange(9 * width, dtype=torch.float64).reshape(9, width) * 0.377).sin()

        def rows(z: Tensor) -> Tensor:
            value: Tensor = run(node, {source: z}, {})
            return value.expand(len(z), width)

        def batch_of_rows(z: Tensor) -> Tensor:
            value: Tensor = run(node, {source: z[None]}, {})
            return value[0].expand(len(z), width)

        failure: Exception | None = None
        for full in (rows, batch_of_rows):
            try:
                flat, mix = full(probe[:, None].expand(-1, width)), full(mixed)
                break
            except PlanError:
                raise
            except Exception as error:  # noqa: BLE001 - the user's own operations, on a shape they may not expect
                failure = error
        else:
            raise PlanError(f"it is not elementwise ({_line(failure)})")
        if not torch.allclose(flat, flat[:, :1].expand_as(flat), rtol=1e-9, atol=1e-12, equal_nan=True):
            raise PlanError("its units have different activations")

        def one(z: Tensor) -> Tensor:
            return full(z.reshape(-1, 1).expand(-1, width))[:, 0]

        def narrow(z: Tensor) -> Tensor:
            value: Tensor = run(node, {source: z.reshape(-1, 1)}, {})
            return value.reshape(-1, value.shape[-1])[:, 0]

        try:  # one column does for all, and is what long vectors want
            if torch.allclose(narrow(probe), flat[:, 0], rtol=1e-6, atol=1e-9, equal_nan=True):
                one = narrow
        except Exception:  # noqa: BLE001 - the user's own operations, which may ask for the full width
            pass
        same = torch.allclose(one(mixed.reshape(-1)).reshape(9, width), mix, rtol=1e-6, atol=1e-9, equal_nan=True)
        if not same:
            raise PlanError("it is not elementwise: a unit's activation depends on the other units")
        return one

    def values(self, nodes: Sequence[fx.Node], inputs: Mapping[str, Any]) -> list[Any]:
        """Values as the model computes them from its inputs, in float64."""
        run = Evaluator(self.model, self.constants, double=True)
        known: dict[fx.Node, Any] = {}
        with torch.no_grad():
            for node in nodes:
                known[node] = run(node, known, inputs)
        return [known[node] for node in nodes]


def _whole() -> tuple[Callable[..., Any], ...]:
    """Functions that are not looked into: einops asks its arguments for types which a followed value does not have."""
    einops = sys.modules.get("einops")
    names = ("rearrange", "reduce", "repeat", "einsum", "pack", "unpack")
    return tuple(getattr(einops, name) for name in names if hasattr(einops, name))


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """A forward pass that is followed leaves no trace: in buffers, in attributes that it sets, in random numbers."""
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    buffers = [
        (m, name, b, b.detach().clone()) for m in model.modules() for name, b in m._buffers.items() if b is not None
    ]
    numpy_state = np.random.get_state()  # noqa: NPY002 - users' code uses it
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            for owner, before in attributes:
                vars(owner).clear()
                vars(owner).update(before)
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer
                if not (buffer.is_meta or torch.equal(buffer, value)):
                    buffer.detach().copy_(value)


def _argument(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


def _line(error: Exception | None) -> str:
    return " ".join(str(error).split())[:160]
