"""The commands, in real processes where the process matters and in this one where it does not."""

import os
import subprocess
import sys
from pathlib import Path

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
    if "hidden" in config.models.generator:
        config.models.generator.hidden = config.models.critic.hidden = (8, 8)
    else:
        config.models.generator.width = config.models.critic.width = 4
    if argument:
        config.seed = int(argument)
    return config
"""


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
