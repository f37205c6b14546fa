"""Benchmarks of the core: streams and start-up."""
