"""Writes the page of a run: its curves, what its critic says, its samples over time.

    python -m experiments.report --workdir=DIR

``experiments.run`` writes it when a run ends; this does for one that has not.
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, exits
from experiments.pages import run_page
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Files of a run → its page."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run's.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if not values.workdir:
        raise SetupError("no --workdir given: give the folder of a run")
    print(run_page.write(Path(values.workdir)))


if __name__ == "__main__":
    exits.call(main)
