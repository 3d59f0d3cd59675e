"""Helpers that run the commands in new processes or, where that makes no difference, in this one."""

import os
import subprocess
import sys
from pathlib import Path

from ml_collections import ConfigDict

from experiments.cli.interrupts import Stopped
from tests import FAST_COMPILATION

ROOT = Path(__file__).parent.parent

# A small version of a config, for the session's folder of configs.
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
    """Shrinks the networks and images of a config of any system, so that a step takes little time."""
    for network in config.models.values():
        for field, small in (("width", 4), ("features", 16), ("hidden", (8, 8)), ("attention", (8,))):
            if field in network:
                network[field] = small
        if network.get("attention"):
            network.attention = (8,)
    parts = [part for part in config.data.values() if isinstance(part, ConfigDict)]
    for part in (config.data, *parts):
        if "size" in part:
            part.size = 16
    config.n_critic = min(config.n_critic, 2)


def environment(*, events=True):
    """Returns an environment with a single device and the compilation cache of the tests.

    Args:
      events: Whether runs write TensorBoard events. Otherwise a stand-in replaces clu, because loading
        TensorFlow takes a large part of the time of a short run.
    """
    path = [str(ROOT)] if events else [str(ROOT / "tests" / "stand_ins"), str(ROOT)]
    return {
        **os.environ,
        "XLA_FLAGS": FAST_COMPILATION,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }


def command(*arguments, module="experiments.run"):
    """Returns the command line that starts a command in a new process."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def execute(*arguments, cwd, module="experiments.run", env=None):
    """Runs a command in a new process and returns the completed process."""
    return subprocess.run(
        command(*arguments, module=module),
        cwd=cwd,
        env=environment() if env is None else env,
        capture_output=True,
        text=True,
    )


def main(module, *arguments):
    """Runs a command in this process and returns its exit status."""
    try:
        module.main(["program", *map(str, arguments)])
    except SystemExit as exit_:
        return exit_.code
    except Stopped as stopped:
        return 128 + stopped.signum
    return 0
