"""Views, which change what a critic sees: augmentations for both players, pools for the critic alone."""
