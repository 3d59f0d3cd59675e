"""What a generator is worth, measured."""
