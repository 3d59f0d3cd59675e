"""Writes the HTML page of a run, which shows its curves and its samples over time.

    python -m experiments.report --workdir=DIR

``experiments.run`` writes this page when a run ends. This command also works for a run that has not ended.
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, exits
from experiments.pages import run_page
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Writes ``report.html`` from the files of a run and prints its path."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if not values.workdir:
        raise SetupError("no --workdir given: give the folder of a run")
    print(run_page.write(Path(values.workdir)))


if __name__ == "__main__":
    exits.call(main)
