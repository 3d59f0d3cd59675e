"""What stands in for clu in runs whose events no test looks at."""
