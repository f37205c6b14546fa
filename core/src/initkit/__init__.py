"""initkit: how a network starts."""

from initkit.errors import InitError

__version__ = "0.1.0"
__all__ = ["InitError"]
