"""The command line: flags, config files, errors, signals and caches."""
