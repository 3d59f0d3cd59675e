"""People as judges: the questions, the file of answers, the page and its server."""

import csv
import hashlib
import io
import json
import math
import re
import signal
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments import cli, rate, rate_page, ratings, sample, workdir
from jaxgan import data
from tests import chromium
from tests.commands import command, environment, main
from tests.conftest import component
from tests.test_refusals import refusal

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile, from a table


def pictures(num, seed=0, channels=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, 8, 8, channels), np.uint8)


def questions(num=4, seed=0):
    return ratings.shuffled(pictures(num // 2, 1), pictures(num // 2, 2), seed=seed)


# ---- The interval and the rates ----


@settings(max_examples=50)
@given(st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_shares_that_a_test_would_not_reject(case):
    # Wilson's ends are where (p̂ − p)² = z² p(1 − p)/n: found here as roots of that quadratic in p.
    wrong, of = case
    found = ratings.share(wrong, of)
    p, k = wrong / of, Z**2 / of
    roots = np.sort(np.roots([1 + k, -2 * p - k, p * p]).real)
    np.testing.assert_allclose([found.low, found.high], roots, atol=1e-7)
    assert found.low - 1e-12 <= p <= found.high + 1e-12


def test_intervals_by_hand():
    # 0 of n ends at z²/(n + z²); at p = ½ both ends lie z/(2√(n + z²)) from it.
    np.testing.assert_allclose(ratings.share(0, 10)[2:], [0, Z**2 / (10 + Z**2)], atol=1e-12)
    half = Z / (2 * math.sqrt(50 + Z**2))
    np.testing.assert_allclose(ratings.share(25, 50)[2:], [0.5 - half, 0.5 + half], atol=1e-12)
    np.testing.assert_allclose(ratings.share(25, 50)[2:], [0.3664, 0.6336], atol=5e-5)


def test_the_two_kinds_of_error_are_told_apart():
    asked = questions(10)
    answers = [question.kind for question in asked]
    fakes = [i for i, question in enumerate(asked) if question.kind == "fake"]
    for i in fakes[:3]:
        answers[i] = "real"
    found = ratings.score(asked, answers)
    assert [(share.wrong, share.of) for share in found.values()] == [(3, 10), (3, 5), (0, 5)]
    assert list(found) == ["error rate", "fakes taken for real", "reals taken for fake"]


# ---- The questions ----


def test_questions_are_balanced_and_shuffled_by_the_seed():
    orders = []
    for seed in range(20):
        asked = questions(50, seed)
        for kind, images in (("real", pictures(25, 1)), ("fake", pictures(25, 2))):
            mine = sorted(
                (question.row, question.pixels.tobytes()) for question in asked if question.kind == kind
            )
            assert mine == [(row, image.tobytes()) for row, image in enumerate(images)]
        orders.append("".join(question.kind[0] for question in asked))
    assert len(set(orders)) == 20
    assert [q.row for q in questions(50, 3)] == [q.row for q in questions(50, 3)]
    # Every place holds either kind, at some seed.
    assert all(len(set(place)) == 2 for place in zip(*orders, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_hold_pixels_and_nothing_else(channels):
    (pixels,) = pictures(1, channels=channels)
    file = ratings.png(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))).reshape(pixels.shape), pixels)
    chunks, at = [], 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        chunks.append(file[at + 4 : at + 8])
        at += 12 + length
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


# ---- The file of answers ----

SESSION = ratings.Session("4", "", "0", "12")


def test_a_file_is_read_up_to_the_line_that_a_kill_cut_short(tmp_path):
    path, asked = tmp_path / "a.csv", questions()
    assert ratings.read(path, asked, SESSION) == []
    record = ratings.recorder(path, asked, SESSION)
    assert ratings.read(path, asked, SESSION) == []
    record(0, "real", 812)
    record(1, "fake", 64)
    whole = path.read_bytes()
    assert ratings.read(path, asked, SESSION) == ["real", "fake"]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        answers = ratings.read(path, asked, SESSION)
        assert len(answers) == max(0, whole[:cut].count(b"\n") - 1)
        ratings.recorder(path, asked, SESSION)
        assert path.read_bytes() == (whole[: whole[:cut].rfind(b"\n") + 1] or ratings.HEAD.encode())
    rows = list(csv.DictReader(io.StringIO(whole.decode())))
    assert [row["milliseconds"] for row in rows] == ["812", "64"]
    assert [row["sha256"] for row in rows] == [hashlib.sha256(q.pixels).hexdigest() for q in asked[:2]]
    assert [(row["kind"], int(row["row"])) for row in rows] == [q[:2] for q in asked[:2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",12\n", ",16\n"), "another session .step was 16 and is now 12"),
        (lambda text: text.replace(",4,,0,", ",4,0.5,1,"), "seconds was 0.5 and is now none, seed was 1"),
        (lambda text: text.replace("\n0,", "\n1,"), "line 2 is of another image"),
        (lambda text: re.sub("[0-9a-f]{64}", "0" * 64, text), "line 2 is of another image"),
        (lambda text: text + "what?\n", "line 3 is damaged"),
        (lambda text: text.replace(",812,", ",-1,"), "line 2 is damaged"),
        (lambda text: text.replace("real,812", "both,812"), "line 2 is damaged"),
        (lambda text: "name,grade\n", "no file of ratings"),
        (lambda text: "notes without an end", "no file of ratings"),
    ],
)  # fmt: skip
def test_files_of_others_are_refused_and_left_alone(change, message, tmp_path):
    path, asked = tmp_path / "a.csv", questions()
    ratings.recorder(path, asked, SESSION)(0, "real", 812)
    path.write_text(change(path.read_text()))
    before = path.read_text()
    with pytest.raises(ratings.SetupError, match=message):
        ratings.read(path, asked, SESSION)
    assert path.read_text() == before


def test_two_processes_do_not_mix_their_answers(tmp_path):
    path, asked = tmp_path / "a.csv", questions()
    first, second = (ratings.recorder(path, asked, SESSION) for _ in range(2))
    first(0, "real", 1)
    with pytest.raises(OSError, match="another process"):
        second(0, "fake", 1)
    assert ratings.read(path, asked, SESSION) == ["real"]


# ---- The server, within this process ----


def given_by(page):
    """What the page was given, as its script reads it."""
    return json.loads(re.search(r"const given = (.*);\n", page)[1])


@pytest.fixture
def client():
    asked, answers, kept = questions(), [], []
    app, ended = rate_page.make_app(asked, answers, lambda *values: kept.append(values), None)
    client = app.test_client()
    page = given_by(client.get("/", base_url="http://127.0.0.1:5000").text)

    def post(status, path="/answer", host="127.0.0.1:5000", **changes):
        body = {
            "token": page["token"],
            "image": page["state"]["image"],
            "answer": "fake",
            "milliseconds": 5,
        }
        sent = {name: value for name, value in {**body, **changes}.items() if value is not None}
        reply = client.post(path, json=sent, base_url=f"http://{host}")
        assert reply.status_code == status, reply.text
        reply.close()
        return reply.get_json(silent=True)

    return client, post, kept, asked, ended


def test_only_answers_with_the_token_of_the_page_count(client):
    client, post, kept, _, _ = client
    post(403, token=None)
    post(403, token="")
    post(403, token="0" * 32)
    base = {"base_url": "http://127.0.0.1"}
    assert (
        client.post("/answer", data={"answer": "fake"}, **base).status_code == 415
    )  # a form of another site
    assert client.post("/answer", json=["token"], **base).status_code == 403
    assert client.post("/answer", json={"token": "x" * 10_000}, **base).status_code == 413
    assert client.get("/answer", **base).status_code == 405
    assert not kept


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "both"},
        {"answer": None},
        {"answer": ["fake"]},
        {"milliseconds": -1},
        {"milliseconds": 1.5},
        {"milliseconds": True},
        {"milliseconds": "5"},
        {"milliseconds": 10**9},
    ],
)
def test_answers_that_make_no_sense_are_refused(client, changes):
    _, post, kept, _, _ = client
    post(400, **changes)
    assert not kept


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7", "", "[::1]:5000"]
)
def test_other_hosts_are_refused(client, host):
    client, _, kept, _, _ = client
    for path in ("/", "/image/x", "/answer"):
        for method in (client.get, client.post):
            reply = method(path, base_url="http://127.0.0.1:5000", headers={"Host": host})
            assert reply.status_code == 400
            assert "given" not in reply.text
    assert not kept


def test_an_image_is_answered_once(client):
    _, post, kept, asked, ended = client
    first = post(409, image="nothing")  # it says what is to be judged
    assert set(first) == {"done", "image"}
    assert post(200)["done"] == 1
    second = post(409, answer="real")  # the same image again
    assert second["done"] == 1
    assert kept == [(0, "fake", 5)]
    for done in range(1, len(asked)):
        assert not ended.done()
        second = post(200, image=second["image"], answer="real")
        assert second["done"] == done + 1
    assert ended.done()
    wrong = sum(q.kind != answer for q, (_, answer, _) in zip(asked, kept, strict=True))
    assert second["scores"][0]["rate"] == f"{100 * wrong / len(asked):.1f} %"
    post(409, image=first["image"])
    assert len(kept) == len(asked)


def test_nothing_tells_real_from_fake():
    asked = questions(20)
    names = []
    for _ in range(2):
        app, _ = rate_page.make_app(asked, [], lambda *_: None, 0.5)
        client = app.test_client()
        base = {"base_url": "http://localhost"}
        page = client.get("/", **base)
        told = given_by(page.text)
        assert set(told) == {"num", "seconds", "token", "state"}
        headers = set()
        for _ in asked:
            name = told["state"]["image"]
            reply = client.get(f"/image/{name}", **base)
            length = int(reply.headers.pop("Content-Length"))
            assert length == len(reply.data)
            headers.add(tuple(sorted(reply.headers.items())))
            names.append(name)
            body = {"token": told["token"], "image": name, "answer": "fake", "milliseconds": 1}
            told["state"] = client.post("/answer", json=body, **base).get_json()
        assert len(headers) == 1
        assert {name for name, _ in headers.pop()} == {
            "Content-Type",
            "Cache-Control",
            "Referrer-Policy",
            "X-Content-Type-Options",
        }
        assert client.get("/image/0", **base).status_code == 404
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)
    assert len(set(names)) == 40  # no image has the same name twice
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page.text)  # nothing from elsewhere


def test_an_answer_that_cannot_be_kept_ends_the_session(tmp_path):
    def full(*_):
        raise OSError("No space left on device")

    answers = []
    app, ended = rate_page.make_app(questions(), answers, full, None)
    client = app.test_client()
    told = given_by(client.get("/", base_url="http://localhost").text)
    body = {"token": told["token"], "image": told["state"]["image"], "answer": "fake", "milliseconds": 1}
    assert client.post("/answer", json=body, base_url="http://localhost").status_code == 500
    assert client.post("/answer", json=body, base_url="http://localhost").status_code == 409
    assert not answers
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(OSError, match="No space"):
        rate_page.serve(app, ended, listening)


# ---- The command ----


@contextmanager
def served(*arguments, cwd):
    """A real process and the address of its page."""
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
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read()


def judge(url, choose, limit=math.inf):
    """Answers a page's images with ``choose(index)``: the images, and the last thing the page was told."""
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
    out.write_text(before + "3,re")  # what a kill in the midst of writing leaves
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
    # What was shown is what experiments.sample saves and what the data hold, to the bit.
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
    # All is answered: there is nothing to serve.
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

    monkeypatch.setattr(rate_page, "serve", serve)
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
    workdir.write_json(points / "config.json", workdir.as_json(cli.load("gan_gaussians.py").values))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"run": finished[0], "points": points, "taken": taken.getsockname()[1]}
        arguments = [argument.format(**values) for argument in arguments]
        assert re.search(message, refusal(capsys, monkeypatch, *arguments, module=rate))
    assert not list((tmp_path / "here").iterdir())


# ---- The page, in a browser ----

needs_chromium = pytest.mark.component


@needs_chromium
def test_a_person_with_a_keyboard(finished, tmp_path):
    component(chromium.program() is not None, "chromium", "apt install chromium")
    arguments = (f"--workdir={finished[0]}", "--num=6", "--seconds=0.25", "--out=keys.csv")
    with served(*arguments, cwd=tmp_path) as (process, url), chromium.page(tmp_path / "chromium") as page:
        page.size(1280, 800)
        page.open(url)
        page.press("f")  # before the first image: no answer
        page.press("Enter")
        for index, key in enumerate(["f", "R", "ArrowLeft", "ArrowRight", "r", "F"]):
            page.wait("current !== null")
            assert page.evaluate("document.querySelector('#count').textContent") == f"{index + 1} of 6"
            assert page.box("#frame")["width"] == 588  # 28 pixels, each 21 of the screen's wide
            if index == 1:
                page.wait("document.querySelector('#frame').textContent === 'What was it?'")
                assert page.evaluate("document.querySelector('#frame img')") is None
            elif index == 2:
                page.evaluate("answer('fake'); answer('real')")  # two at once: the first counts
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
    assert int(rows[1]["milliseconds"]) >= 246  # the image was hidden by then
    wrong = sum(row["kind"] != row["answer"] for row in rows)
    assert shown == f"{100 * wrong / 6:.1f} %"
    assert stdout.startswith(f"error rate: {shown} ({wrong} of 6; ")
    for line in stdout.splitlines():
        interval = re.search("interval (.*)[)]", line)[1]
        assert interval in scores


@needs_chromium
def test_a_person_with_a_phone(finished, tmp_path):
    component(chromium.program() is not None, "chromium", "apt install chromium")
    arguments = (f"--workdir={finished[0]}", "--num=4", "--out=taps.csv")
    with served(*arguments, cwd=tmp_path) as (process, url), chromium.page(tmp_path / "chromium") as page:
        page.size(390, 844, scale=3, touch=True)
        page.open(url)
        page.tap("#begin")
        for index, button in enumerate(["#fake", "#real", "#real", "#fake"]):
            page.wait("current !== null")
            if index == 2:  # it is closed, and opened again
                page.open(url)
                assert "2 of 4 are done" in page.evaluate("document.querySelector('#begin').textContent")
                page.tap("#begin")
                page.wait("current !== null")
            # All of it is on the screen, the buttons wide enough for a thumb.
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
