"""Comparisons of systems that are trained for the same time, each by commands that a user could type."""
