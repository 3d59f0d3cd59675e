"""Benchmarks, each of which measures its ratios side by side in one run."""
