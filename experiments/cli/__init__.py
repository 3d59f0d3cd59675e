"""Command-line handling: flags, config files, exit statuses, signals and caches."""
