"""Configs of studies that compare runs over seeds, trained with ``experiments.sweep``."""
