"""Metrics that score generators."""
