"""The example configs. Each has ``get_config()`` and a docstring with the command and what to expect."""
