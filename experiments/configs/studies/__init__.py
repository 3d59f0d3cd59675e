"""Configs of comparisons over seeds, trained with experiments.sweep."""
