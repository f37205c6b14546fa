"""The checks, one function each: AssertionError where a promise is broken, Skip where it does not apply.

The first line of a check's docstring is the promise.
"""

from initkit.testing.checks import door, options, plans, reports, seeds, surroundings, words, writing

MODULES = (seeds, surroundings, plans, writing, reports, options, words, door)
"""Where the checks are, in the order in which they run."""
