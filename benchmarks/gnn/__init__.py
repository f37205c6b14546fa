"""Benchmarks of the gnn plugin: speed and evidence."""
