"""Signals: reading them from files, and as arrays with channels last."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from initkit import NeedError

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")


def load_signal(path: str | Path) -> torch.Tensor:
    """Read a signal from a file, as float32 with channels last.

    ``.wav``: samples in [-1, 1], (N, channels). Images (with Pillow installed): values in [0, 1], (H, W, channels).
    ``.npy``, ``.npz`` (one array) and ``.safetensors`` (one tensor): the values as they are, whole numbers of 8 bits
    as values in [0, 1].

    Raises:
        NeedError: the file is missing, broken or holds no signal.
    """
    file = Path(path)
    if not file.is_file():
        raise NeedError(f"signal: there is no file {file}")
    suffix = file.suffix.lower()
    try:
        if suffix == ".wav":
            return torch.from_numpy(_wav(file))
        if suffix in _IMAGES:
            return torch.from_numpy(_image(file))
        if suffix == ".npy":
            return as_floats(np.load(file, allow_pickle=False))
        if suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return as_floats(_only({name: arrays[name] for name in arrays.files}, file))
        if suffix == ".safetensors":
            from safetensors.torch import load_file

            return as_floats(_only(load_file(file), file))
    except (OSError, ValueError, EOFError, wave.Error) as error:
        if isinstance(error, NeedError):
            raise
        raise NeedError(f"signal: cannot read {file}: {' '.join(str(error).split())}") from None
    kinds = ", ".join((".wav", ".npy", ".npz", ".safetensors", *_IMAGES))
    raise NeedError(f"signal: cannot read {file.name}: a signal comes from {kinds}")


def as_floats(signal: Any) -> torch.Tensor:
    """A signal as a floating-point tensor on the CPU; whole numbers of 8 bits become values in [0, 1].

    Raises:
        NeedError: it is no array of numbers, is empty, or holds NaN or infinity.
    """
    try:
        found = torch.as_tensor(np.asarray(signal) if not isinstance(signal, torch.Tensor) else signal).detach().cpu()
    except (TypeError, ValueError):
        raise NeedError(f"signal: {type(signal).__name__} is no array of numbers") from None
    if found.is_complex():
        raise NeedError("signal: it is complex; give real and imaginary parts as channels")
    if found.dtype == torch.uint8:
        found = found.to(torch.float32) / 255
    elif found.dtype not in (torch.float32, torch.float64):
        found = found.to(torch.float32)
    if found.numel() == 0:
        raise NeedError(f"signal: it is empty, shape {tuple(found.shape)}")
    finite = np.isfinite(found.numpy())  # ten times faster than torch's
    if not finite.all():
        bad = finite.size - int(finite.sum())
        raise NeedError(f"signal: {bad} of its {found.numel()} values are NaN or infinite")
    return found


def _wav(file: Path) -> npt.NDArray[Any]:
    with wave.open(str(file), "rb") as sound:
        width, channels, frames = sound.getsampwidth(), sound.getnchannels(), sound.getnframes()
        data = sound.readframes(frames)
    if width == 1:
        samples = np.frombuffer(data, np.uint8).astype(np.float64) / 128 - 1
    elif width in (2, 4):
        samples = np.frombuffer(data, f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
        padded = np.zeros((len(parts), 4), np.uint8)
        padded[:, 1:] = parts
        samples = padded.view("<i4")[:, 0].astype(np.float64) / 2**31
    else:
        raise NeedError(f"signal: {file.name} has samples of {8 * width} bits")
    return samples.reshape(-1, channels).astype(np.float32)


def _image(file: Path) -> npt.NDArray[Any]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise NeedError("signal: images are read with Pillow: pip install pillow") from None
    try:
        with Image.open(file) as image:
            if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
                pixels = np.asarray(image.convert("RGB"))
            else:
                pixels = np.asarray(image)
    except UnidentifiedImageError:
        raise NeedError(f"signal: {file} is no image") from None
    most = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    values = pixels.astype(np.float32) / most
    return values[..., None] if values.ndim == 2 else values


def _only(arrays: dict[str, Any], file: Path) -> Any:
    if len(arrays) != 1:
        raise NeedError(f"signal: {file.name} holds {', '.join(sorted(arrays)) or 'nothing'}; a signal is one array")
    return next(iter(arrays.values()))
