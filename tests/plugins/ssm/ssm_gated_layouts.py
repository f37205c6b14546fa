"""Gated layers as public libraries store them: names and shapes of their parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _p(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


class Mamba(nn.Module):
    """mamba_ssm's and mambapy's layout."""

    def __init__(self, width: int = 12, state: int = 4, rank: int = 2) -> None:
        super().__init__()
        self.A_log, self.D = _p(width, state), _p(width)
        self.in_proj = nn.Linear(6, 2 * width)
        self.conv1d = nn.Conv1d(width, width, 4, groups=width, padding=3)
        self.x_proj = nn.Linear(width, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, width)
        self.out_proj = nn.Linear(width, 6)


class Vim(Mamba):
    """Vision Mamba's layout: a second set of parameters for the way back."""

    def __init__(self, width: int = 12, state: int = 4, rank: int = 2) -> None:
        super().__init__(width, state, rank)
        self.A_b_log, self.D_b = _p(width, state), _p(width)
        self.conv1d_b = nn.Conv1d(width, width, 4, groups=width, padding=3)
        self.x_proj_b = nn.Linear(width, rank + 2 * state, bias=False)
        self.dt_proj_b = nn.Linear(rank, width)


class Mamba2(nn.Module):
    """mamba_ssm's and flash-linear-attention's layout."""

    def __init__(self, heads: int = 6, skips: int | None = None, limits: tuple[float, float] | None = None) -> None:
        super().__init__()
        self.A_log, self.dt_bias, self.D = _p(heads), _p(heads), _p(skips or heads)
        self.in_proj, self.out_proj = nn.Linear(6, 40, bias=False), nn.Linear(12, 6, bias=False)
        if limits is not None:
            self.dt_limit = limits


class Mamba3(nn.Module):
    """mamba_ssm's layout, several inputs and outputs."""

    def __init__(self, heads: int = 6, rank: int = 2, state: int = 4) -> None:
        super().__init__()
        self.dt_bias, self.D = _p(heads), _p(heads)
        self.B_bias, self.C_bias = _p(heads, rank, state), _p(heads, rank, state)
        self.mimo_x, self.mimo_z, self.mimo_o = (_p(heads, rank, 3) for _ in range(3))
        self.in_proj, self.out_proj = nn.Linear(6, 40, bias=False), nn.Linear(12, 6, bias=False)


class GatedDelta(nn.Module):
    """flash-linear-attention's layout; Comba has a ``D`` too."""

    def __init__(self, heads: int = 6, channels: int = 1, skip: bool = False) -> None:
        super().__init__()
        self.A_log, self.dt_bias = _p(heads), _p(heads * channels)
        if skip:
            self.D = _p(heads)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(6, 12, bias=False) for _ in range(3))
        self.a_proj, self.o_proj = nn.Linear(6, heads, bias=False), nn.Linear(12, 6, bias=False)


class ForgetGate(nn.Module):
    """The gate of Kimi's attention in transformers' layout, with a lower bound where one is given."""

    def __init__(self, heads: int = 3, channels: int = 4, bound: float | None = None) -> None:
        super().__init__()
        self.A_log, self.dt_bias = _p(1, 1, heads, 1), _p(heads * channels)
        self.f_a_proj, self.f_b_proj = nn.Linear(6, 4, bias=False), nn.Linear(4, heads * channels, bias=False)
        self.safe_gate_lower_bound = bound

    def decay(self) -> Tensor:
        """The layer's own formula, at a projection of 0; -log of the factor."""
        rate = torch.exp(self.A_log.reshape(-1)).repeat_interleave(len(self.dt_bias) // self.A_log.numel())
        if self.safe_gate_lower_bound is not None:
            return -self.safe_gate_lower_bound * torch.sigmoid(rate * self.dt_bias)
        return rate * nn.functional.softplus(self.dt_bias)


class _BlockDiagonal(nn.Module):
    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.w, self.b = _p(blocks, width, width), _p(blocks, width)


class _Conv(nn.Module):
    def __init__(self, taps: int, width: int) -> None:
        super().__init__()
        self.w, self.b = _p(taps, width), _p(width)


class RGLRU(nn.Module):
    """recurrentgemma's layout."""

    def __init__(self, blocks: int = 3, width: int = 4) -> None:
        super().__init__()
        self.a_param = _p(blocks * width)
        self.input_gate, self.a_gate = _BlockDiagonal(blocks, width), _BlockDiagonal(blocks, width)


class RecurrentBlock(nn.Module):
    """recurrentgemma's block: a convolution before the unit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1d, self.rg_lru = _Conv(4, 12), RGLRU()


class DenseRGLRU(nn.Module):
    """lrnnx's layout: log a itself, gates of full width."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.c = 8.0
        self.a_log = nn.Parameter(torch.log(0.9 + 0.099 * torch.rand(width, 1)))
        self.recurrent_gate_proj, self.input_gate_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.in_proj, self.out_proj = nn.Linear(6, width), nn.Linear(width, 6)
        self.conv1d = nn.Conv1d(width, width, 4, groups=width, padding=3)


class FusedMLstm(nn.Module):
    """The large xLSTM's layer with both gates in one projection."""

    def __init__(self, heads: int = 3) -> None:
        super().__init__()
        self.ifgate_preact = nn.Linear(6, 2 * heads)


class SLstm(nn.Module):
    """xlstm's cell with heads first."""

    def __init__(self, heads: int = 2, width: int = 5) -> None:
        super().__init__()
        self._recurrent_kernel_, self._bias_ = _p(heads, width, 4, width), _p(heads, 4, width)


class MinGRU(nn.Module):
    """minGRU's layout; ``gates=3`` is minLSTM's."""

    def __init__(self, width: int = 6, gates: int = 2, bias: bool = False) -> None:
        super().__init__()
        name = "to_hidden_and_gate" if gates == 2 else "to_hidden_and_f_i_gate"
        self.add_module(name, nn.Linear(4, gates * width, bias=bias))


class Rwkv(nn.Module):
    """RWKV's layouts by version."""

    def __init__(self, version: int, heads: int = 3, size: int = 4) -> None:
        super().__init__()
        d = heads * size
        if version == 7:
            self.w0, self.r_k = _p(1, 1, d), _p(heads, size)
            return
        self.time_decay = _p(heads, size) if version == 5 else _p(1, 1, d)
        self.time_faaaa = _p(heads, size)
