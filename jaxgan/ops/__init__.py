"""Array functions from which the layers are built."""
