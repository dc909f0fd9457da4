"""Benchmarks: `python -m tests.bench [names]`. Ratios of things measured in one run."""
