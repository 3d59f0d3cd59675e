"""Tests that pages show hostile labels as text and that pages are self-contained."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from experiments.comparison import runs
from experiments.comparison.entries import Entry
from experiments.comparison.plan import Plan
from experiments.pages import comparison_page, dynamics_page, page, run_page, scores_page, sweep_page
from experiments.training import workdir
from experiments.training.sweep_results import Run
from jaxgan.theory import minmax

HOSTILE = "\"'><script>alert(1)</script>&amp;"


def run(folder, monkeypatch):
    directory = folder / "<script>"
    for step in (0, 10):
        workdir.write_png(directory / "samples" / f"{step}.png", np.full((4, 4, 3), step, np.uint8))
    workdir.write_json(directory / "config.json", {"gan": HOSTILE})
    for name in ("metrics.jsonl", "scores.jsonl"):
        (directory / name).write_text(json.dumps({"step": 1, HOSTILE: 2.0}) + "\n")
    return run_page.write(directory)


def scores(folder, monkeypatch):
    def result(step, setting):
        receipt = {"scored": {"step": step}, "metrics": {HOSTILE: setting}}
        return {"name": HOSTILE, "scores": {HOSTILE: 1.0}, "receipt": receipt}

    path = folder / "scores.html"
    scores_page.write_page(path, [result(1, "a"), result(2, "a"), result(3, HOSTILE)])
    return path


def sweep(folder, monkeypatch):
    labels = [{HOSTILE: name, "on": HOSTILE, "rate": HOSTILE} for name in ("none", HOSTILE)]
    curves = {name: [float(i) for i in range(12)] for name in ("w1", HOSTILE, "critic_loss")}
    runs = [
        Run(each, seed, 0, curves, list(range(12)), np.eye(2), HOSTILE, {HOSTILE: (True, HOSTILE)})
        for each in [*labels, {**labels[1], "rate": "other"}]
        for seed in range(2)
    ]
    path = folder / "sweep.html"
    sweep_page.write(
        path,
        title=HOSTILE,
        runs=runs,
        real={HOSTILE: np.eye(2)},
        floors={HOSTILE: {"w1": 1.0}},
        shown=(HOSTILE,),
        costs=page.Table([HOSTILE], [page.row(HOSTILE, HOSTILE)]),
        about=HOSTILE,
    )
    return path


def dynamics(folder, monkeypatch):
    monkeypatch.setattr(dynamics_page, "METHODS", {HOSTILE: minmax.alternating})
    dynamics_page.write(folder / "dynamics.html", 0.2, 10)
    return folder / "dynamics.html"


def comparison(folder, monkeypatch):
    entry = Entry("a", HOSTILE, (), {}, ("fcd",), 1, None)
    plan = Plan(HOSTILE, HOSTILE, 5.0, 8, 2, {"a": {"num_steps": 4}})
    done, failed = (runs.folder(folder, "a", seed) for seed in (0, 1))
    workdir.write_png(done / "samples" / "4.png", np.zeros((4, 4, 3), np.uint8))
    facts = {"device_count": 1, "device_kind": HOSTILE, "seconds_per_step": 0.1}
    workdir.write_json(done / "receipt.json", {"step": 4, "state_sha256": HOSTILE, **facts})
    made = {"metrics": {"fcd": {}}, "generated": {**runs.DRAWN, "count": 8}, HOSTILE: HOSTILE}
    receipt = {"scored": {"state_sha256": HOSTILE}, **made}
    scores = [{"name": HOSTILE, "scores": {"fcd": 1.0}, "receipt": receipt}]
    workdir.write_json(done / "scores.json", scores)
    failed.mkdir()
    workdir.write_json(failed / runs.FAILURE, {"command": "", "status": 1, "message": HOSTILE})
    comparison_page.write(folder, plan, [entry], HOSTILE)
    return folder / "compare.html"


def attributes(text):
    """Returns the names of all attributes of all elements."""
    names = set()

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            names.update(name for name, _ in attrs)

    Parser().feed(text)
    return names


@pytest.mark.parametrize("make", [run, scores, sweep, dynamics, comparison])
def test_labels_are_escaped(make, tmp_path, monkeypatch):
    text = make(tmp_path, monkeypatch).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert HOSTILE not in text
    # Escaping twice would show the reader entities instead of the label.
    outside = re.sub("<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert "alert(1)</script>&amp;" in html.unescape(outside)
    assert "&amp;lt;" not in outside
    # A label that closes an attribute would add names that no template has.
    assert attributes(outside) <= {"alt", "charset", "class", "lang", "src", "style", "title"}
    assert ("<svg" in text) == (make is not comparison)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)


def test_an_undefined_name_in_a_template_is_an_error(tmp_path):
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="'title' is undefined"):
        page.write(tmp_path / "page.html", "base.html")
    assert not list(tmp_path.iterdir())
