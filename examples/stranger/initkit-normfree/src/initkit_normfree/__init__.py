"""Starts for networks without normalisation layers."""

__version__ = "0.3.0"
