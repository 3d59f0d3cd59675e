"""Tests of the command experiments.rate, with answers over HTTP and in a browser."""

import csv
import hashlib
import io
import json
import math
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from experiments import rate, sample
from experiments.cli import config_files
from experiments.rating import server
from experiments.training import workdir
from jaxgan import data
from tests import chromium
from tests.commands import command, environment, main
from tests.conftest import component
from tests.experiments.cli.test_refusals import refusal
from tests.experiments.rating.test_ratings import Z, pictures
from tests.experiments.rating.test_server import given_by


@contextmanager
def served(*arguments, cwd):
    """Starts a server process and yields it with the address of its page."""
    process = subprocess.Popen(
        command(*arguments, module="experiments.rate"),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for text in process.stdout:
            if found := re.fullmatch(r"open (http://127\.0\.0\.1:\d+/)\n", text):
                yield process, found[1]
                break
        else:
            raise AssertionError(process.stderr.read())
    finally:
        process.kill()
        process.communicate()


def fetch(url, body=None, **headers):
    request = urllib.request.Request(url, headers=headers)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=60) as reply:
        return reply.read()


def judge(url, choose, limit=math.inf):
    """Answers the images of a page with ``choose(index)``.

    Returns:
      The images, and the last state that the page received.
    """
    told = given_by(fetch(url).decode())
    state, seen = told["state"], []
    while "image" in state and len(seen) < limit:
        seen.append(fetch(f"{url}image/{state['image']}"))
        body = {"token": told["token"], "image": state["image"], "milliseconds": 7}
        state = json.loads(fetch(f"{url}answer", {**body, "answer": choose(state["done"])}))
    return seen, state


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_session_is_killed_and_goes_on(finished, tmp_path, capsys, monkeypatch):
    run, out = finished[0], tmp_path / "ratings.csv"
    arguments = (f"--workdir={run}", "--num=8", "--seed=3")
    with served(*arguments, cwd=tmp_path) as (process, url):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            fetch(url, Host="rebound.example")
        seen, _ = judge(url, lambda index: "fake", limit=3)
        process.kill()
        process.wait()
    assert [row["answer"] for row in rows_of(out)] == ["fake"] * 3
    before = out.read_text()
    out.write_text(before + "3,re")  # A kill during a write leaves such a line.
    with served(*arguments, cwd=tmp_path) as (process, url):
        more, _ = judge(url, lambda index: "real", limit=1)
        seen += more
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert stderr == "stopped by SIGINT, 4 of 8 answers saved\n"
    assert out.read_text().startswith(before)
    for other in ("--num=10", "--seconds=1", "--seed=4"):
        error = refusal(capsys, monkeypatch, *arguments, other, f"--out={out}", module=rate)
        name = other[2:].partition("=")[0]
        assert re.search(rf"ratings.csv belongs to another session \({name} was", error)
        assert len(rows_of(out)) == 4
    with served(*arguments, cwd=tmp_path) as (process, url):
        more, end = judge(url, lambda index: "real")
        seen += more
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, "")
    rows = rows_of(out)
    assert [row["answer"] for row in rows] == ["fake"] * 3 + ["real"] * 5
    assert [int(row["index"]) for row in rows] == list(range(8))
    assert sorted(row["kind"] for row in rows) == ["fake"] * 4 + ["real"] * 4
    wrong = sum(row["kind"] != row["answer"] for row in rows)
    low, high = np.roots([1 + Z**2 / 8, -wrong / 4 - Z**2 / 8, (wrong / 8) ** 2])[::-1]
    line = f"{100 * wrong / 8:.1f} % ({wrong} of 8; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    assert stdout.splitlines()[0] == f"error rate: {line}"
    assert [score["name"] for score in end["scores"]] == [
        line.partition(":")[0] for line in stdout.splitlines()
    ]
    # The images shown equal those that experiments.sample saves and those of the data, bit for bit.
    main(sample, f"--workdir={run}", "--num=4", "--seed=3", f"--out={tmp_path}/grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))[..., 0]
    digits = {digit.tobytes() for digit in data.load_digits()[0]}
    for row, file in zip(rows, seen, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(file)))
        assert pixels.shape == (28, 28)
        assert row["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
        top, left = (2 + 58 * place for place in divmod(int(row["row"]), 2))
        if row["kind"] == "fake":
            np.testing.assert_array_equal(pixels, grid[top : top + 56 : 2, left : left + 56 : 2])
        else:
            assert pixels.tobytes() in digits
    # All questions are answered, so that nothing is left to serve.
    capsys.readouterr()
    assert main(rate, *arguments, f"--out={out}") == 0
    assert capsys.readouterr().out == stdout


def test_images_of_any_tool(tmp_path, monkeypatch, capsys):
    (tmp_path / "made").mkdir()
    for i, pixels in enumerate(pictures(3, channels=3)):
        Image.fromarray(pixels).save(tmp_path / "made" / f"{i}.png")

    def serve(app, ended, listening):
        client = app.test_client()
        told = given_by(client.get("/", base_url="http://localhost").text)
        state = told["state"]
        while "image" in state:
            body = {"token": told["token"], "image": state["image"], "answer": "real", "milliseconds": 1}
            state = client.post("/answer", json=body, base_url="http://localhost").get_json()

    monkeypatch.setattr(server, "serve", serve)
    options = ("--num=6", "--data.name=digits", "--data.size=8", "--data.channels=3")
    out = tmp_path / "r.csv"
    assert main(rate, f"--images={tmp_path}/made", f"--out={out}", *options) == 0
    assert "error rate: 50.0 % (3 of 6;" in capsys.readouterr().out
    hashes = {hashlib.sha256(pixels).hexdigest() for pixels in pictures(3, channels=3)}
    assert {row["sha256"] for row in rows_of(out) if row["kind"] == "fake"} == hashes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --workdir given"),
        (["--workdir=nowhere"], "nowhere holds no run"),
        (["--workdir={run}", "--num=7"], "--num is 7: give an even number"),
        (["--workdir={run}", "--num=0"], "--num is 0"),
        (["--workdir={run}", "--num=10002"], "5001 real images .* are 5000: give at most --num=10000"),
        (["--workdir={run}", "--seconds=0"], "--seconds is 0"),
        (["--workdir={run}", "--seconds=nan"], "--seconds is nan"),
        (["--workdir={run}", "--seed=-1"], "--seed is -1"),
        (["--workdir={run}", "--port=65536"], "--port is 65536"),
        (["--workdir={run}", "--port={taken}", "--num=2"], r"--port \d+ cannot be used \(Address already"),
        (["--workdir={run}", "--out=a.txt"], "a.txt does not end in .csv"),
        (["--workdir={run}", "--out=nowhere/a.csv"], "there is no folder nowhere"),
        (["--workdir={run}", "--data.size=16", "--num=2"], r"\(28, 28, 1\), the real .* \(16, 16, 1\)"),
        (["--workdir={run}", "--data.name=digit"], "unknown data.name 'digit'.*'digits'"),
        (["--workdir={points}"], "data.name ring has points"),
        (["--workdir={run}", "--images=nowhere"], "--images nowhere is not a folder"),
        (["--workdir={run}", "--images={points}"], "holds no images"),
        (["--images={points}"], "there is no run that tells data.name"),
    ],
)  # fmt: skip
def test_mistakes(arguments, message, finished, tmp_path, capsys, monkeypatch):
    points = tmp_path / "points"
    points.mkdir()
    workdir.write_json(
        points / "config.json", workdir.as_json(config_files.load("gan_gaussians.py").values)
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"run": finished[0], "points": points, "taken": taken.getsockname()[1]}
        arguments = [argument.format(**values) for argument in arguments]
        assert re.search(message, refusal(capsys, monkeypatch, *arguments, module=rate))
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.slow
@pytest.mark.component
def test_a_person_with_a_keyboard(finished, tmp_path):
    component(chromium.program() is not None, "chromium", "apt install chromium")
    arguments = (f"--workdir={finished[0]}", "--num=6", "--seconds=0.25", "--out=keys.csv")
    with served(*arguments, cwd=tmp_path) as (process, url), chromium.page(tmp_path / "chromium") as page:
        page.size(1280, 790)
        page.open(url)
        page.press("f")  # A key pressed before the first image does not count.
        page.press("Enter")
        for index, key in enumerate(["f", "R", "ArrowLeft", "ArrowRight", "r", "F"]):
            page.wait("current !== null")
            assert page.evaluate("document.querySelector('#count').textContent") == f"{index + 1} of 6"
            side = page.box("#frame")["width"]
            assert side >= 448  # The page is 790 points high.
            assert side % 28 == 0  # An image pixel covers whole screen pixels.
            if index == 1:
                page.wait("document.querySelector('#frame').textContent === 'What was it?'")
                assert page.evaluate("document.querySelector('#frame img')") is None
            elif index == 2:
                # Only the first of two simultaneous answers counts.
                page.evaluate("answer('fake'); answer('real')")
                continue
            page.press(key)
        page.wait("!document.querySelector('#end').hidden")
        shown = page.evaluate("document.querySelector('#rate').textContent")
        scores = page.evaluate("document.querySelector('#scores').innerText")
        assert page.problems == []
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    rows = rows_of(tmp_path / "keys.csv")
    assert [row["answer"] for row in rows] == ["fake", "real", "fake", "real", "real", "fake"]
    assert int(rows[1]["milliseconds"]) >= 246  # The image was hidden by then.
    wrong = sum(row["kind"] != row["answer"] for row in rows)
    assert shown == f"{100 * wrong / 6:.1f} %"
    assert stdout.startswith(f"error rate: {shown} ({wrong} of 6; ")
    for line in stdout.splitlines():
        interval = re.search("interval (.*)[)]", line)[1]
        assert interval in scores


@pytest.mark.slow
@pytest.mark.component
def test_a_person_with_a_phone(finished, tmp_path):
    component(chromium.program() is not None, "chromium", "apt install chromium")
    arguments = (f"--workdir={finished[0]}", "--num=4", "--out=taps.csv")
    with served(*arguments, cwd=tmp_path) as (process, url), chromium.page(tmp_path / "chromium") as page:
        page.size(390, 844, scale=3, touch=True)
        page.open(url)
        page.tap("#begin")
        for index, button in enumerate(["#fake", "#real", "#real", "#fake"]):
            page.wait("current !== null")
            if index == 2:  # The page is closed and opened again.
                page.open(url)
                assert "2 of 4 are done" in page.evaluate("document.querySelector('#begin').textContent")
                page.tap("#begin")
                page.wait("current !== null")
            # The whole page is on the screen, and the buttons are wide enough for a thumb.
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight && scrollX === 0")
            box = page.box(button)
            assert box["width"] > 150
            assert box["height"] > 60
            page.tap(button)
        page.wait("!document.querySelector('#end').hidden")
        assert page.problems == []
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert [row["answer"] for row in rows_of(tmp_path / "taps.csv")] == ["fake", "real", "real", "fake"]
