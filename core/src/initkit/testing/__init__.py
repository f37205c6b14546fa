"""The conformance battery: what every recipe of every plugin must do, ours and strangers'.

In a plugin's tests::

    from initkit.testing import Case, parametrize_with_checks

    @parametrize_with_checks([Case("gnn/virgo", build_model, {"graph": graph})])
    def test_conformance(check, case):
        check(case)

Or in a script: ``print(check_recipe("gnn/virgo", build_model, graph=graph))``. Or on the command line:
``initkit plugin check gnn``.
"""

from initkit.testing.battery import (
    Outcome,
    Result,
    all_checks,
    check_case,
    check_recipe,
    parametrize_with_checks,
    result_of,
)
from initkit.testing.case import Case, Skip

__all__ = [
    "Case",
    "Outcome",
    "Result",
    "Skip",
    "all_checks",
    "check_case",
    "check_recipe",
    "parametrize_with_checks",
    "result_of",
]
