"""Faults that are injected for real, and what became of the work: ``python -m benchmarks.torture``."""
