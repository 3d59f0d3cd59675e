"""Exact results: divergences, optimal transport, and the dynamics of small games."""
