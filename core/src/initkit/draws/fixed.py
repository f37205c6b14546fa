"""Draws without random numbers: a constant, given values, a job's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from initkit.draws.base import Draw, Lookup, Shape, number

if TYPE_CHECKING:
    from initkit.draws.region import Region
    from initkit.items import Job
    from initkit.streams import Stream


class Constant(Draw):
    """One value everywhere.

    Args:
        value: a number; for an integer or boolean tensor it must be one of its values.
    """

    random = False

    def __init__(self, value: bool | int | float | complex) -> None:
        self.value = value

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return a tensor filled with the value."""
        return torch.full(tuple(shape), self.value, dtype=dtype, device=device or "cpu")

    def sample_region(
        self,
        region: Region,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return a part filled with the value."""
        return torch.full(region.sizes, self.value, dtype=dtype, device=device or "cpu")

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse a value that the dtype cannot hold."""
        if isinstance(self.value, complex) and not dtype.is_complex:
            return f"{self.value} is complex, the tensor is {dtype}"
        if dtype == torch.bool:
            return None if self.value in (0, 1) else f"{self.value} is no value of {dtype}"
        if not (dtype.is_floating_point or dtype.is_complex):
            info = torch.iinfo(dtype)
            whole = isinstance(self.value, int) or (isinstance(self.value, float) and self.value.is_integer())
            if not whole or not info.min <= self.value <= info.max:  # type: ignore[operator]
                return f"{self.value} is no value of {dtype}"
            return None
        if self.value != self.value or abs(self.value) == float("inf"):
            return f"the constant is {self.value}"
        return None

    @property
    def std(self) -> float:
        """0: a constant has no spread."""
        return 0.0

    def parts(self) -> tuple[Any, ...]:
        """The value."""
        return (self.value,)

    def describe(self) -> str:
        """The value."""
        return str(self.value) if isinstance(self.value, (bool, complex)) else number(self.value)


class Values(Draw):
    """Given values.

    Args:
        tensor: of the parameter's shape; cast once to its dtype. Kept as it is, not copied.
        words: how to describe it; None says its shape.
    """

    random = False

    def __init__(self, tensor: torch.Tensor, words: str | None = None) -> None:
        self.tensor = tensor.detach()
        self.words = words

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the values in the dtype asked for."""
        return self.tensor.to(dtype, copy=True)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse another shape, integers from other dtypes, complex values into a real tensor."""
        if tuple(self.tensor.shape) != tuple(shape):
            return f"the values have shape {tuple(self.tensor.shape)}, the tensor {tuple(shape)}"
        if self.tensor.is_meta:
            return "the values are on the meta device: they hold no numbers"
        if self.tensor.dtype.is_complex and not dtype.is_complex:
            return f"the values are {self.tensor.dtype}, the tensor {dtype}"
        if not (dtype.is_floating_point or dtype.is_complex) and self.tensor.dtype != dtype:
            return f"the values are {self.tensor.dtype}, the tensor {dtype}; cast them"
        return None

    @property
    def std(self) -> float:
        """Root mean square of the values."""
        return float(self.tensor.to(torch.float64).square().mean().sqrt())

    def parts(self) -> tuple[Any, ...]:
        """The tensor."""
        return (self.tensor,)

    def describe(self) -> str:
        """The words given, or the shape."""
        return self.words or f"given values {list(self.tensor.shape)}"


class FromJob(Draw):
    """A tensor that a job yields at commit; written ``job["key"]``."""

    random = False

    def __init__(self, job: Job, key: str) -> None:
        self.job, self.key = job, key

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Refuse: the core puts the result in before it samples."""
        raise RuntimeError(f"the result {self.key!r} of job {self.job.name!r} is not there yet")

    def resolve(self, lookup: Lookup) -> Draw:
        """The job's tensor as given values."""
        return Values(lookup(self.job, self.key), self.describe())

    def jobs(self) -> list[Any]:
        """The job."""
        return [self.job]

    def parts(self) -> tuple[Any, ...]:
        """The job's name and the key."""
        return (self.job.name, self.key)

    def describe(self) -> str:
        """``computed by NAME``."""
        return f"computed by {self.job.name}"
