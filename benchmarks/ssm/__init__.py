"""Benchmarks of the ssm plugin: speed and evidence."""
