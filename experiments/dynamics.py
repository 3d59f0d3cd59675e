"""Draws how two players move in small games: who cycles, who flees, who arrives.

    python -m experiments.dynamics [--out=dynamics.html] [--learning_rate=0.2] [--steps=300]

One page: the orbits of six methods on V(x, y) = xy and on the Dirac-GAN, and the factor a step of each as
its matrix says and as the orbit shows. Who cycles, flees or arrives is by the matrix.
"""

import html
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import cli, page
from jaxgan import dynamics
from jaxgan.errors import SetupError

START = (1.0, 1.0)

METHODS: Mapping[str, Callable[..., dynamics.Orbit]] = {
    "simultaneous": dynamics.simultaneous,
    "alternating": dynamics.alternating,
    "negative momentum": dynamics.negative_momentum,
    "extra-gradient": dynamics.extra_gradient,
    "optimistic": dynamics.optimistic,
    "consensus": dynamics.consensus,
}
GAMES: Mapping[str, dynamics.Game] = {
    "V(x, y) = xy": dynamics.bilinear,
    "Dirac-GAN": dynamics.dirac_gan,
}
# At its equilibrium (0, 0) a game's field is v(z) = s (y, −x), on xy everywhere: s by game.
SPEEDS: Mapping[str, float] = {"V(x, y) = xy": 1.0, "Dirac-GAN": 0.5}
# Farther from 1 than rounding takes an eigenvalue of modulus 1, and nearer than a rate of 1e-5 does.
EXACT = 1e-12


def step_matrix(name: str, rate: float, speed: float = 1.0) -> np.ndarray:
    """The matrix that takes (x, y) and, where a method remembers them, the last point's to the next.

    The field is v(z) = speed · (y, −x). Momentum is −½ and consensus' weight 1, as by default.
    """
    one, turn = np.eye(2), speed * np.array([[0.0, 1.0], [-1.0, 0.0]])  # v(z) = turn z
    none = np.zeros((2, 2))
    if name == "simultaneous":
        return one - rate * turn
    if name == "extra-gradient":
        return one - rate * turn @ (one - rate * turn)
    if name == "consensus":
        return one - rate * (turn + turn.T @ turn)
    if name == "optimistic":
        return np.block([[one - 2 * rate * turn, rate * turn], [one, none]])
    momentum = -0.5 if name == "negative momentum" else 0.0
    # y first, then x against the new y: A z' = B z + β (z − z before).
    solve = np.array([[1.0, -rate * speed], [0.0, 1.0]])
    ahead = solve @ (np.array([[1.0, 0.0], [rate * speed, 1.0]]) + momentum * one)
    return np.block([[ahead, -momentum * solve], [one, none]])


def radius(name: str, rate: float, speed: float = 1.0) -> float:
    """The factor a step by which the distance to the equilibrium changes in the long run, near it."""
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = step_matrix(name, rate, speed)
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else math.inf


def seen(orbit: dynamics.Orbit) -> float:
    """The same factor, as an orbit's second half shows it: ∞ if a point is not finite, 0 if it arrived."""
    distance = np.hypot(*np.asarray(orbit, np.float64))
    if not np.isfinite(distance).all():
        return math.inf
    half = len(distance) // 2
    # Of the largest in the last tenths of both halves, for an ellipse is not a circle.
    part = max(1, half // 5)
    early, late = distance[half - part : half].max(), distance[-part:].max()
    return float((late / early) ** (1 / (len(distance) - half))) if early > 0 else 0.0


def verdict(factor: float) -> str:
    """What a factor a step means, if it is a matrix': an orbit's own is not as exact."""
    return "cycles" if abs(factor - 1) < EXACT else "converges" if factor < 1 else "diverges"


def orbits(found: Mapping[tuple[str, str], dynamics.Orbit]) -> Any:
    """A panel for each game and method."""
    figure = page.figure(13, 4.8)
    panels = figure.subplots(len(GAMES), len(METHODS), squeeze=False)
    for axes, name in zip(panels[0], METHODS, strict=True):
        axes.set_title(name)
    for line, game in zip(panels, GAMES, strict=True):
        for axes, name in zip(line, METHODS, strict=True):
            x, y = found[game, name]
            axes.plot(x, y, lw=0.9, color="tab:blue")
            axes.plot(*START, "o", color="black", ms=4)
            axes.plot(0, 0, "+", color="tab:red", ms=9, mew=1.6)
            axes.set(
                xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2)
            )
        line[0].set_ylabel(game)
    return page.svg(
        figure, "From the dot, (1, 1). The cross is the equilibrium; what leaves the panel does not return."
    )


def write(out: Path, rate: float, steps: int) -> None:
    """Writes the page."""
    found = {
        (game, name): method(value, *START, steps=steps, learning_rate=rate)
        for game, value in GAMES.items()
        for name, method in METHODS.items()
    }
    body = []
    for name in METHODS:
        cells = []
        for game in GAMES:
            factor = radius(name, rate, SPEEDS[game])
            cells += [f"{factor:.5f}", f"{seen(found[game, name]):.5f}", verdict(factor)]
        body.append(
            f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        )
    head = ["method", "xy: factor a step, by its matrix", "seen", ""]
    head += ["Dirac-GAN: by its matrix at the equilibrium", "seen", ""]
    page.write(
        out,
        "Min-max dynamics",
        [
            "<h1>Min-max dynamics</h1>",
            f"<p>Learning rate {rate:g}, {steps:,} steps. x minimises V and y maximises it.</p>",
            orbits(found),
            page.table(head, body),
            "<p>Seen is the factor over an orbit's second half: inf if the orbit left float32's range, "
            "0 if it arrived. The words are by the matrix, on the Dirac-GAN near the equilibrium.</p>",
        ],
    )


def main(argv: list[str]) -> None:
    """Games and methods → orbits → a page."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", "dynamics.html", "Where the page goes.", flag_values=values)
    flags.DEFINE_float("learning_rate", 0.2, "Of both players.", flag_values=values)
    flags.DEFINE_integer("steps", 300, "Of every orbit.", flag_values=values)
    cli.read_flags(argv, values, __doc__ or "")
    if not (values.learning_rate > 0 and math.isfinite(values.learning_rate)):
        raise SetupError(f"--learning_rate is {values.learning_rate}: give a positive number, such as 0.2")
    if values.steps < 10:
        raise SetupError(f"--steps is {values.steps}: give at least 10")
    out = cli.out_file("out", values.out)
    write(out, values.learning_rate, values.steps)
    print(out)


if __name__ == "__main__":
    cli.call(main)
