"""The page of min-max dynamics."""

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
# At its equilibrium (0, 0) a game's field is v(z) = s (y, −x), on xy everywhere: s by game.
SPEEDS: Mapping[str, float] = {"V(x, y) = xy": 1.0, "Dirac-GAN": 0.5}


def orbits(found: Mapping[tuple[str, str], minmax.Orbit]) -> Any:
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
            factor = stability.radius(name, rate, SPEEDS[game])
            cells += [
                f"{factor:.5f}",
                f"{stability.seen(found[game, name]):.5f}",
                stability.verdict(factor),
            ]
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
