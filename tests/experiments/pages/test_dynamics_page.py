"""Tests of the page of min-max dynamics."""

import re

import numpy as np
import pytest

from experiments import dynamics
from experiments.pages import dynamics_page
from jaxgan.errors import SetupError
from jaxgan.theory import stability
from jaxgan.theory.minmax import Orbit
from tests.commands import main


@pytest.mark.parametrize("name", dynamics_page.METHODS)
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_matrices_are_the_methods_steps(name, rate):
    orbit = np.stack(
        dynamics_page.METHODS[name](
            dynamics_page.GAMES["V(x, y) = xy"], 1.0, 1.0, steps=3, learning_rate=rate
        ),
        -1,
    )
    matrix = stability.step_matrix(name, rate)
    state = np.tile(orbit[0], len(matrix) // 2)
    for point in orbit[1:]:
        state = matrix @ state
        np.testing.assert_allclose(state[:2], point, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", dynamics_page.METHODS)
@pytest.mark.parametrize("rate", [0.05, 0.5, 3.0])
def test_matrices_are_the_methods_steps_near_the_dirac_gans_equilibrium(name, rate):
    orbit = 1e4 * np.stack(
        dynamics_page.METHODS[name](
            dynamics_page.GAMES["Dirac-GAN"], 1e-4, 1e-4, steps=3, learning_rate=rate
        ),
        -1,
    )
    matrix = stability.step_matrix(name, rate, dynamics_page.SPEEDS["Dirac-GAN"])
    state = np.tile(orbit[0], len(matrix) // 2)
    for point in orbit[1:]:
        state = matrix @ state
        np.testing.assert_allclose(state[:2], point, rtol=1e-5, atol=1e-5)


REMEDIES = ("negative momentum", "extra-gradient", "optimistic", "consensus")
ARRIVE = {"simultaneous": "diverges", "alternating": "cycles"} | dict.fromkeys(REMEDIES, "converges")
FLEE = dict.fromkeys(dynamics_page.METHODS, "diverges")
# Alternating steps cycle up to a rate of 2 on xy and up to a rate of 4 on the Dirac-GAN.
FLEE_DIRAC = FLEE | {"alternating": "cycles"}


@pytest.mark.parametrize(
    ("rate", "xy", "dirac"),
    [("1e-4", ARRIVE, ARRIVE), ("0.02", ARRIVE, ARRIVE), (None, ARRIVE, ARRIVE), ("3", FLEE, FLEE_DIRAC)],
)
def test_verdicts_on_both_games(rate, xy, dirac, tmp_path, capsys):
    out = tmp_path / "page.html"
    main(dynamics, f"--out={out}", *([] if rate is None else [f"--learning_rate={rate}"]))
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text()
    found = {}
    for row in re.findall(r"<tr>(<td>.*?)</tr>", text):
        name, expected, measured, word, near, far, dirac_word = re.findall("<td>(.*?)</td>", row)
        if rate == "3":  # the orbit leaves the range of float32 or grows towards it
            assert float(measured) > 1.5
        else:
            np.testing.assert_allclose(float(measured), float(expected), atol=2e-3)
            np.testing.assert_allclose(float(far), float(near), atol=5e-3)
        found[name] = (word, dirac_word)
    assert found == {name: (xy[name], dirac[name]) for name in dynamics_page.METHODS}
    assert "nan" not in re.sub("<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)


def test_radii_at_any_rate():
    assert stability.radius("simultaneous", 0.2) == pytest.approx(np.sqrt(1.04), rel=1e-14)
    for rate in (1e-9, 1e-5, 0.02, 0.2, 1.0, 1.9, 1.99):
        assert stability.verdict(stability.radius("alternating", rate)) == "cycles"
    assert stability.verdict(stability.radius("alternating", 2.001)) == "diverges"
    for name in dynamics_page.METHODS:
        assert stability.verdict(stability.radius(name, 1e200)) == "diverges"
        assert stability.verdict(stability.radius(name, 1e-5)) == ARRIVE[name]


def test_what_is_seen_of_an_orbit_that_fled_or_arrived():
    def of(*x):
        return stability.seen(Orbit(np.array(x), np.zeros(len(x))))

    assert of(1, 2, 4, 8, 16, 32) == pytest.approx(2)
    assert of(1, 1e9, np.inf, np.inf, np.nan, np.nan) == of(1, 2, 4, 8, np.inf, -np.inf) == np.inf
    assert of(1, 0, 0, 0, 0, 0) == of(1, 1, 1, 0, 0, 0) == 0
    assert stability.verdict(np.nan) == stability.verdict(np.inf) == "diverges"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--learning_rate=-1", "--learning_rate is -1"),
        ("--learning_rate=inf", "--learning_rate is inf"),
        ("--steps=3", "--steps is 3"),
        ("--out=nowhere/page.html", "there is no folder nowhere"),
    ],
)
def test_mistakes(argument, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=message):
        main(dynamics, argument)
    assert not list(tmp_path.iterdir())
