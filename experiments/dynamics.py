"""Draws how two players move in small games: who cycles, who flees, who arrives.

    python -m experiments.dynamics [--out=dynamics.html] [--learning_rate=0.2] [--steps=300]

One page: the orbits of six methods on V(x, y) = xy and on the Dirac-GAN, and the factor a step of each as
its matrix says and as the orbit shows. Who cycles, flees or arrives is by the matrix.
"""

import math

from absl import flags

from experiments.cli import command_line, exits
from experiments.pages import dynamics_page
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Games and methods → orbits → a page."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", "dynamics.html", "Where the page goes.", flag_values=values)
    flags.DEFINE_float("learning_rate", 0.2, "Of both players.", flag_values=values)
    flags.DEFINE_integer("steps", 300, "Of every orbit.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if not (values.learning_rate > 0 and math.isfinite(values.learning_rate)):
        raise SetupError(f"--learning_rate is {values.learning_rate}: give a positive number, such as 0.2")
    if values.steps < 10:
        raise SetupError(f"--steps is {values.steps}: give at least 10")
    out = command_line.out_file("out", values.out)
    dynamics_page.write(out, values.learning_rate, values.steps)
    print(out)


if __name__ == "__main__":
    exits.call(main)
