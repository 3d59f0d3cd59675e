"""The HTML page of min-max dynamics."""

from collections.abc import Callable, Mapping
from pathlib import Path

from experiments.pages import page
from jaxgan.theory import minmax, stability

START = (1.0, 1.0)
METHODS: Mapping[str, Callable[..., minmax.Orbit]] = {
    "simultaneous": minmax.simultaneous,
    "alternating": minmax.alternating,
    "negative momentum": minmax.negative_momentum,
    "extra-gradient": minmax.extra_gradient,
    "optimistic": minmax.optimistic,
    "consensus": minmax.consensus,
}
GAMES: Mapping[str, minmax.Game] = {
    "V(x, y) = xy": minmax.bilinear,
    "Dirac-GAN": minmax.dirac_gan,
}
# The factor s by game: near its equilibrium (0, 0), a game has the field v(z) = s (y, −x). For xy, this
# holds everywhere.
SPEEDS: Mapping[str, float] = {"V(x, y) = xy": 1.0, "Dirac-GAN": 0.5}
HEAD = (
    "method",
    "xy: factor per step, from the matrix",
    "observed",
    "behaviour",
    "Dirac-GAN: factor per step, from the matrix",
    "observed",
    "behaviour",
)


def orbits(found: Mapping[tuple[str, str], minmax.Orbit]) -> page.Plot:
    """Plots the orbits by game and method, with one panel per pair."""
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
        figure,
        "The dot marks the start of each orbit, (1, 1), and the cross marks the equilibrium. Parts of an"
        " orbit outside its panel are not shown.",
    )


def write(out: Path, rate: float, steps: int) -> None:
    """Writes a page that compares the dynamics of ``METHODS`` on ``GAMES``.

    Args:
      out: Path of the file to write.
      rate: Learning rate of both players.
      steps: Number of steps of each orbit.
    """
    found = {
        (game, name): method(value, *START, steps=steps, learning_rate=rate)
        for game, value in GAMES.items()
        for name, method in METHODS.items()
    }
    rows = []
    for name in METHODS:
        cells = []
        for game in GAMES:
            factor = stability.radius(name, rate, SPEEDS[game])
            observed = stability.seen(found[game, name])
            cells += [f"{factor:.5f}", f"{observed:.5f}", stability.verdict(factor)]
        rows.append(page.row(name, *cells))
    page.write(
        out,
        "dynamics.html",
        title="Min-max dynamics",
        rate=f"{rate:g}",
        steps=f"{steps:,}",
        orbits=orbits(found),
        factors=page.Table(HEAD, rows),
    )
