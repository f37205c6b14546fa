"""Measurements of a model: what a probe is given, the recorded pass, and the core's own probes."""
