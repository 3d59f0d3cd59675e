"""Stand-in for clu, for runs whose TensorBoard events no test reads."""
