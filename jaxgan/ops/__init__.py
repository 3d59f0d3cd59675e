"""Array functions that layers are built from."""
