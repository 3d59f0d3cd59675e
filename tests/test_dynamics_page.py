"""The page of min-max dynamics."""

import re

import numpy as np
import pytest

from experiments import dynamics
from jaxgan.errors import SetupError
from tests.commands import main


@pytest.mark.parametrize("name", dynamics.METHODS)
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_matrices_are_the_methods_steps(name, rate):
    orbit = np.stack(
        dynamics.METHODS[name](dynamics.GAMES["V(x, y) = xy"], 1.0, 1.0, steps=3, learning_rate=rate), -1
    )
    matrix = dynamics.step_matrix(name, rate)
    state = np.tile(orbit[0], len(matrix) // 2)
    for point in orbit[1:]:
        state = matrix @ state
        np.testing.assert_allclose(state[:2], point, rtol=1e-5, atol=1e-6)


def test_who_cycles_who_flees_who_arrives(tmp_path, capsys):
    out = tmp_path / "page.html"
    main(dynamics, f"--out={out}")
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text()
    found = {}
    for row in re.findall(r"<tr><td>(.*?)</tr>", text):
        name, expected, measured, verdict, _, dirac = (
            re.sub("</?td>", "|", row).replace("||", "|").split("|")[:6]
        )
        np.testing.assert_allclose(float(measured), float(expected), atol=2e-3)
        found[name] = (verdict, dirac)
    assert found == {
        "simultaneous": ("diverges", "diverges"),
        "alternating": ("cycles", "cycles"),
        "negative momentum": ("converges", "converges"),
        "extra-gradient": ("converges", "converges"),
        "optimistic": ("converges", "converges"),
        "consensus": ("converges", "converges"),
    }
    assert np.isclose(dynamics.radius("simultaneous", 0.2), np.sqrt(1.04))
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)


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
