"""Which activation a rational layer starts as, and coefficients that were fitted to another denominator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from initkit import Plot, Scene, Table, Verdict
from initkit_kan.rational import TARGETS, Form, denominator, rational, values_of
from initkit_kan.rationals import coefficients, find_rationals, form_of

NEAR = 0.05
"""A function within this of an activation on [-3, 3] is taken for it."""


def rational_forms(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the activation that each rational layer is nearest to as its code evaluates it, on [-3, 3].

    Args:
        scene: of a model with rational layers.
    """
    rationals = find_rationals(scene.module)
    if not rationals:
        return
    rows: list[dict[str, Any]] = []
    wrong: list[Verdict] = []
    x = np.linspace(-3.0, 3.0, 301)
    targets = {name: values_of(target, x) for name, target in TARGETS.items()}
    for one in rationals:
        form: Form = form_of(one) or "kernel"
        a, b = coefficients(one)[0]
        errors = {other: _errors(x, a, b, other, targets) for other in ("kernel", "fallback", "sum")}
        name, error = min(errors[form].items(), key=lambda pair: pair[1])
        rows.append({"layer": one.name or "model", "form": form, "nearest": name, "largest error": error})
        if error > NEAR:
            meant = [
                (other, *min(found.items(), key=lambda pair: pair[1]))
                for other, found in errors.items()
                if other != form
            ]
            other, intended, small = min(meant, key=lambda entry: entry[2])
            if small < NEAR:
                wrong.append(
                    Verdict(
                        "WARN",
                        f"its coefficients are {intended} for another denominator ({other}, error {small:.2g}); as its "
                        f"code evaluates them ({form}) they are off by {errors[form][intended]:.2g}: kan/kat fits anew",
                        one.name,
                    )
                )
    yield Table(
        "rational",
        rows,
        words="the activation that each rational layer is nearest to on [-3, 3], as its code evaluates it",
        plot=Plot("bars", "layer", ("largest error",)),
    )
    yield from wrong
    if not wrong:
        yield Verdict("PASS", f"{len(rows)} rational layers: no coefficients that were fitted to another denominator")


def _errors(x: Any, a: Any, b: Any, form: Any, targets: dict[str, Any]) -> dict[str, float]:
    if bool((denominator(x, b, form) <= 0).any()):
        return dict.fromkeys(targets, float("inf"))
    found = rational(x, a, b, form)
    return {name: float(np.abs(found - y).max()) for name, y in targets.items()}
