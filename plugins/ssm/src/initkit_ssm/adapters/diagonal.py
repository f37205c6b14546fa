"""S4D and S4 layers: independent channels, each with a diagonal state matrix (S4: plus a low-rank term)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from initkit import PlanError
from initkit_ssm.adapters.lookup import needed
from initkit_ssm.codes import ASINH, LOG, S4_CODES, S4_FLOOR, SOFTPLUS, STABLE_BEST, Code
from initkit_ssm.layers import Adapter, Layer, Site, Stored

_STABLE_CODES = {"exp": LOG, "softplus": SOFTPLUS, "best": STABLE_BEST}


class S4D(Adapter):
    """Layers with ``C`` (H, M, 2), ``log_dt`` (H), ``log_A_real`` and ``A_imag`` (H, M): S4D's minimal form.

    A = -exp(log_A_real) + i A_imag and B = 1, each mode stands for a conjugate pair. StableSSM's kernel has the same
    tensors and an attribute ``parameterization`` that says how ``log_A_real`` is to be read.
    """

    telltale = ("log_A_real",)

    def fits(self, site: Site) -> bool:
        """``log_A_real`` beside ``C`` and ``log_dt``."""
        return all(site.shape(name) is not None for name in ("log_A_real", "C", "log_dt"))

    def describe(self, site: Site) -> Layer:
        """Shapes as in the class's docstring; D (H) may be the parent's."""
        rate, freq, c, dt = (needed(site, name)[1] for name in ("log_A_real", "A_imag", "C", "log_dt"))
        if len(rate) != 2:
            raise PlanError(f"{site.words()}: log_A_real has shape {rate}, expected (H, M)")
        channels, modes = rate
        expected = {"A_imag": (freq, rate), "C": (c[-3:], (*rate, 2)), "log_dt": (dt[:1], (channels,))}
        _agree(site, "log_A_real", rate, expected)
        parameterization = getattr(site.module, "parameterization", "exp")
        if parameterization not in _STABLE_CODES:
            raise PlanError(
                f"{site.words()}: its parameterization is {parameterization!r}, whose eigenvalues have a positive real "
                f"part, so that its kernel grows; set it to one of {', '.join(_STABLE_CODES)}"
            )
        roles = {
            "rate": Stored(site.full("log_A_real"), rate, _STABLE_CODES[parameterization].floored(S4_FLOOR)),
            "freq": Stored(site.full("A_imag"), rate),
            "dt": Stored(site.full("log_dt"), dt, LOG),
            "C": Stored(site.full("C"), c[:-1], complex=True),
            **feedthrough(site, channels),
        }
        return Layer(site, "s4d", roles, self, _facts(channels, 2 * modes, sign=1, disc="zoh"))


class S4(Adapter):
    """Layers with ``inv_dt`` (H, 1 or M), ``A_real`` (S, M), ``B`` (1, S, M, 2), ``C`` (directions, H, M, 2).

    These are the kernels of state-spaces/s4 and their copies: A = -f(A_real) - i g(A_imag) with the functions that the
    attributes ``real_transform`` and ``imag_transform`` name, S matrices shared by the H channels in turn, ``P``
    (rank, S, M, 2) in the form with a low-rank term. Where ``is_real`` is set there are no frequencies.
    """

    telltale = ("inv_dt",)

    def fits(self, site: Site) -> bool:
        """``A_real`` beside ``C`` and ``inv_dt``."""
        return all(site.shape(name) is not None for name in ("A_real", "C", "inv_dt"))

    def describe(self, site: Site) -> Layer:
        """Shapes as in the class's docstring; D (H) or (directions, H) may be the parent's."""
        rate, c, dt = (needed(site, name)[1] for name in ("A_real", "C", "inv_dt"))
        real = site.shape("A_imag") is None
        tail = () if real else (2,)
        if len(rate) != 2 or len(dt) != 2 or len(c) != 3 + len(tail):
            raise PlanError(f"{site.words()}: expected A_real (S, M), inv_dt (H, 1 or M) and C (directions, H, M, 2)")
        copies, modes = rate
        channels = dt[0]
        _agree(
            site,
            "A_real",
            rate,
            {
                "inv_dt": (dt[1:], (1,) if dt[1] == 1 else (modes,)),
                "C": (c[1:], (channels, modes, *tail)),
                "A_imag": (site.shape("A_imag") or rate, rate),
                "B": (site.shape("B") or (1, *rate, *tail), (1, *rate, *tail)),
                "P": ((site.shape("P") or (1, *rate, *tail))[1:], (*rate, *tail)),
            },
        )
        if channels % copies:
            raise PlanError(f"{site.words()}: {channels} channels cannot share {copies} state matrices evenly")
        roles = {
            "rate": Stored(site.full("A_real"), rate, _transform(site, "real_transform", "exp")),
            "dt": Stored(site.full("inv_dt"), dt, _step_code(site)),
            "C": Stored(site.full("C"), c[:3], complex=not real),
            **feedthrough(site, channels),
        }
        if not real:
            roles["freq"] = Stored(site.full("A_imag"), rate, _transform(site, "imag_transform", "none"))
        if site.shape("B") is not None:
            roles["B"] = Stored(site.full("B"), (1, *rate), complex=not real)
        p = site.shape("P")
        if p is not None:
            roles["P"] = Stored(site.full("P"), p[:3], complex=True)
        # Some copies keep the parameters around the module that computes the kernel and counts its length.
        length = next((name for name, _ in site.module.named_buffers() if name.split(".")[-1] == "l_kernel"), None)
        if length is not None:
            roles["length"] = Stored(site.full(length), ())
        state = modes if real else 2 * modes
        disc = getattr(site.module, "disc", "zoh" if p is None else "bilinear")
        return Layer(site, "s4d" if p is None else "s4_dplr", roles, self, _facts(channels, state, sign=-1, disc=disc))


def feedthrough(site: Site, channels: int) -> dict[str, Stored]:
    """The role D, a factor for each channel, in the layer itself or in the module that holds it."""
    at: Site | None = site
    for _ in range(2):
        if at is None:
            break
        shape = at.shape("D")
        if shape is not None:
            return {"D": Stored(at.full("D"), shape)} if shape[-1] == channels and len(shape) <= 2 else {}
        at = at.parent
    return {}


def _facts(channels: int, state: int, sign: int, disc: str) -> dict[str, Any]:
    return {"channels": channels, "state": state, "paired": True, "sign": sign, "disc": disc}


def _agree(
    site: Site, name: str, shape: Sequence[int], pairs: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    """Refuse the tensors whose shape (first of the pair) is not the one expected (second)."""
    for other, (found, wanted) in pairs.items():
        if found != wanted:
            raise PlanError(
                f"{site.words()}: {other} has the axes {found}, expected {wanted}, as {name} has shape {tuple(shape)}"
            )


def _transform(site: Site, attribute: str, default: str) -> Code:
    """The scalar code that an attribute names."""
    name = getattr(site.module, attribute, default)
    if name not in S4_CODES:
        raise PlanError(f"{site.words()}: {attribute} is {name!r}, expected one of {', '.join(S4_CODES)}")
    return S4_CODES[name]


def _step_code(site: Site) -> Code:
    """The code of dt: its transform without a floor, followed by asinh where ``dt_fast`` is set."""
    code = _transform(site, "dt_transform", "exp")
    code = Code(code.name, code.encode, code.decode)
    return code.before(ASINH) if getattr(site.module, "dt_fast", False) is True else code


DIAGONAL: list[Adapter] = [S4D(), S4()]
