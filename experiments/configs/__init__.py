"""Configs: a docstring with the exact command and what to expect, and ``get_config()``."""
