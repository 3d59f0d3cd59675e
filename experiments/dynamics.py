"""Plots how two players move in small games under six training methods, as one HTML page.

    python -m experiments.dynamics [--out=dynamics.html] [--learning_rate=0.2] [--steps=300]

The page shows the orbits of the methods on the game V(x, y) = xy and on the Dirac-GAN, whose equilibria are
known. For each method it gives the factor by which a step changes the distance from the equilibrium, once
from the matrix of the method and once as observed on the orbit. The factor from the matrix decides whether
the players are said to cycle, diverge or converge.
"""

from absl import flags

from experiments.cli import command_line, exits
from experiments.pages import dynamics_page


def main(argv: list[str]) -> None:
    """Computes the orbits, writes the page and prints its path."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", "dynamics.html", "HTML file to write.", flag_values=values)
    flags.DEFINE_float("learning_rate", 0.2, "Learning rate of both players.", flag_values=values)
    flags.DEFINE_integer("steps", 300, "Number of steps of each orbit.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    command_line.check_positive(values, "learning_rate", 0.2)
    command_line.check_at_least(values, "steps", 10)
    out = command_line.out_file("out", values.out)
    dynamics_page.write(out, values.learning_rate, values.steps)
    print(out)


if __name__ == "__main__":
    exits.call(main)
