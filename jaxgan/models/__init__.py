"""Generators and critics, one family a file."""
