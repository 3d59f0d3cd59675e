"""Training of runs and sweeps from configs: validation, systems, the training loop, and files."""
