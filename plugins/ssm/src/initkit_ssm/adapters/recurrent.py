"""LRU and S5 layers: one diagonal state matrix shared by all channels, with matrices B and C."""

from __future__ import annotations

from typing import Any

from initkit import PlanError
from initkit_ssm.adapters.lookup import needed
from initkit_ssm.codes import LOG, NEGATIVE, SOFTPLUS
from initkit_ssm.layers import Adapter, Layer, Site, Stored


class LRU(Adapter):
    """Linear recurrent units: ``nu_log``, ``theta_log``, ``gamma_log`` (N), B (N, H) and C (H, N) complex.

    λ = exp(-exp(nu_log) + i exp(theta_log)), y = Re(C x) + D u: no conjugate pairs and no factor of 2. B and C are
    complex tensors or two real ones each (``B_re``, ``B_im``); D is (H) or a matrix (outputs, inputs).
    """

    telltale = ("nu_log", "theta_log")

    def fits(self, site: Site) -> bool:
        """``nu_log`` beside ``theta_log``."""
        return site.shape("nu_log") is not None and site.shape("theta_log") is not None

    def describe(self, site: Site) -> Layer:
        """Shapes as in the class's docstring."""
        nu = needed(site, "nu_log")[1]
        if len(nu) != 1:
            raise PlanError(f"{site.words()}: nu_log has shape {nu}, expected (N,)")
        roles = {"nu": Stored(site.full("nu_log"), nu, LOG)}
        for role, name in (("theta", "theta_log"), ("gamma", "gamma_log")):
            shape = site.shape(name)
            if shape is not None and shape != nu:
                raise PlanError(f"{site.words()}: {name} has shape {shape}, expected {nu}, as nu_log has")
            if shape is not None:
                roles[role] = Stored(site.full(name), nu, LOG)
        roles["B"], roles["C"] = _complex(site, "B"), _complex(site, "C")
        (states, inputs), (outputs, read) = roles["B"].shape, roles["C"].shape
        if states != nu[0] or read != nu[0]:
            raise PlanError(
                f"{site.words()}: B has {states} rows and C {read} columns, expected {nu[0]} of each, as nu_log has"
            )
        d = site.shape("D")
        if d is not None and d in ((outputs,), (outputs, inputs)):
            roles["D"] = Stored(site.full("D"), d)
        facts: dict[str, Any] = {"channels": inputs, "outputs": outputs, "state": nu[0], "paired": False}
        return Layer(site, "lru", roles, self, facts)


class S5(Adapter):
    """S5 layers: eigenvalues, a step for each, B (P, H) and C (H, P) complex.

    Known forms: ``Lambda`` complex (P) with every eigenvalue stored (s5-pytorch; C is (H, 2P) where it runs in both
    directions); ``Lambda_re``, ``Lambda_im`` (P/2) with one of each conjugate pair (the authors' form; ``C1``, ``C2``
    for two directions); ``A`` (N, 2) that holds the inverse softplus of -Re and the imaginary part (lrnnx).
    """

    telltale = ("Lambda", "Lambda_re", "log_step")

    def fits(self, site: Site) -> bool:
        """Eigenvalues beside ``log_step``, or lrnnx's ``A`` (N, 2) beside ``log_dt`` (N)."""
        if site.shape("log_step") is not None:
            return site.shape("Lambda") is not None or site.shape("Lambda_re") is not None
        a, dt = site.shape("A"), site.shape("log_dt")
        return a is not None and dt is not None and a == (*dt, 2) and site.shape("B") is not None

    def describe(self, site: Site) -> Layer:
        """Shapes as in the class's docstring."""
        roles: dict[str, Stored]
        if site.shape("Lambda") is not None:
            name, shape = needed(site, "Lambda")
            roles = {
                "rate": Stored(site.full(name), shape, NEGATIVE, "real"),
                "freq": Stored(site.full(name), shape, part="imag"),
            }
        elif site.shape("Lambda_re") is not None:
            name, shape = needed(site, "Lambda_re")
            if needed(site, "Lambda_im")[1] != shape:
                raise PlanError(f"{site.words()}: Lambda_im has another shape than Lambda_re {shape}")
            roles = {
                "rate": Stored(site.full(name), shape, NEGATIVE),
                "freq": Stored(site.full("Lambda_im"), shape),
            }
        else:
            name, shape = "A", needed(site, "A")[1][:1]
            roles = {
                "rate": Stored(site.full(name), shape, SOFTPLUS, "real"),
                "freq": Stored(site.full(name), shape, part="imag"),
            }
        step = needed(site, "log_step", "log_dt")
        if len(shape) != 1 or step[1][:1] != shape:
            raise PlanError(f"{site.words()}: {step[0]} has shape {step[1]}, {name} is of {shape}: expected (P,) both")
        roles["dt"] = Stored(site.full(step[0]), step[1], LOG)
        for role in ("B", "C", "C1", "C2"):
            if role == "B" and name == "A":
                roles["B"] = Stored(site.full("B"), needed(site, "B")[1])
            elif site.shape(role) is not None:
                roles[role] = _complex(site, role)
        if "B" not in roles or not ("C" in roles or "C1" in roles):
            raise PlanError(f"{site.words()}: it has no B or no C; low-rank forms of B and C have no recipe here")
        first_c = roles.get("C") or roles["C1"]
        inputs, outputs = roles["B"].shape[1], first_c.shape[0]
        d = site.shape("D")
        if d is not None and d in ((outputs,), (outputs, inputs)):
            roles["D"] = Stored(site.full("D"), d)
        states = shape[0]
        if roles["B"].shape[0] != states or first_c.shape[1] not in (states, 2 * states):
            raise PlanError(
                f"{site.words()}: B {roles['B'].shape} and C {first_c.shape} do not fit {states} eigenvalues"
            )
        paired = name == "Lambda_re"
        facts = {
            "channels": inputs,
            "outputs": outputs,
            "state": 2 * states if paired else states,
            "paired": paired,
            "sign": 1,
            "disc": "zoh",
            "directions": first_c.shape[1] // states,
        }
        return Layer(site, "s5", roles, self, facts)


def _complex(site: Site, name: str) -> Stored:
    """A complex matrix as a complex tensor, a real one with a last axis of 2, or two real ones."""
    whole = site.tensor(name)
    if whole is not None:
        shape = tuple(whole.shape)
        if whole.is_complex() and len(shape) == 2:
            return Stored(site.full(name), shape, complex=True)
        if len(shape) == 3 and shape[-1] == 2:
            return Stored(site.full(name), shape[:-1], complex=True)
        raise PlanError(f"{site.words()}: {name} is no complex matrix and no real one with a last axis of 2")
    real, imag = needed(site, f"{name}_re", f"{name}_real"), needed(site, f"{name}_im", f"{name}_imag")
    if real[1] != imag[1] or len(real[1]) != 2:
        raise PlanError(f"{site.words()}: {real[0]} and {imag[0]} must be matrices of one shape")
    return Stored(site.full(real[0]), real[1], part="split", imag=site.full(imag[0]), complex=True)


RECURRENT: list[Adapter] = [LRU(), S5()]
