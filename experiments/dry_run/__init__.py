"""Ahead-of-time compilation for TPUs, and the cost of the compiled program."""
