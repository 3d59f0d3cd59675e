"""From a config to a trained run or sweep: systems, the loop, and the files of a run."""
