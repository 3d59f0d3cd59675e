"""Scores of samples, each with a receipt of how it was made."""
