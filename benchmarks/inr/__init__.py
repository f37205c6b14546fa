"""Benchmarks of the inr plugin: speed and evidence."""
