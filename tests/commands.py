"""The commands, in real processes where the process matters and in this one where it does not."""

import os
import subprocess
import sys
from pathlib import Path

from ml_collections import ConfigDict

from tests import FAST_COMPILATION

ROOT = Path(__file__).parent.parent

# A config made small, for the session's folder of configs.
TINY = """
from experiments.configs import {base}

def get_config(argument=None):
    config = {base}.get_config()
    config.num_steps = 12
    config.batch_size = 8
    config.log_every = config.sample_every = config.checkpoint_every = 4
    for network in config.models.values():
        for field, small in (("width", 4), ("hidden", (8, 8))):
            if field in network:
                network[field] = small
    if argument:
        config.seed = int(argument)
    return config
"""


def make_small(config):
    """Makes a config's networks and pictures tiny, whatever its system: a step takes no time."""
    for network in config.models.values():
        for field, small in (("width", 4), ("hidden", (8, 8))):
            if field in network:
                network[field] = small
    parts = [part for part in config.data.values() if isinstance(part, ConfigDict)]
    for part in (config.data, *parts):
        if "size" in part:
            part.size = 16
    config.n_critic = min(config.n_critic, 2)


def environment(*, events=True):
    """One device, as a laptop has, and the compilation cache of these tests.

    Without events a clu that writes none stands in for the real one, whose TensorFlow takes half of a short
    run's time to load.
    """
    path = [str(ROOT)] if events else [str(ROOT / "tests" / "stand_ins"), str(ROOT)]
    return {
        **os.environ,
        "XLA_FLAGS": FAST_COMPILATION,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }


def command(*arguments, module="experiments.run"):
    return [sys.executable, "-m", module, *map(str, arguments)]


def execute(*arguments, cwd, module="experiments.run", env=None):
    return subprocess.run(
        command(*arguments, module=module),
        cwd=cwd,
        env=environment() if env is None else env,
        capture_output=True,
        text=True,
    )


def main(module, *arguments):
    """A command within this process: for what ends before any process could matter."""
    try:
        module.main(["program", *map(str, arguments)])
    except SystemExit as exit_:
        return exit_.code
    return 0
