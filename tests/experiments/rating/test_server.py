"""Tests of the rating server: which requests may answer, and what the page must not reveal."""

import json
import re
import socket

import pytest

from experiments.rating import server
from tests.experiments.rating.test_ratings import questions


def given_by(page):
    """Returns the data that the page was given, as its script reads them."""
    return json.loads(re.search(r"const given = (.*);\n", page)[1])


@pytest.fixture
def client():
    asked, answers, kept = questions(), [], []
    app, ended = server.make_app(asked, answers, lambda *values: kept.append(values), None)
    client = app.test_client()
    page = given_by(client.get("/", base_url="http://127.0.0.1:5000").text)

    def post(status, **changes):
        body = {
            "token": page["token"],
            "image": page["state"]["image"],
            "answer": "fake",
            "milliseconds": 5,
        }
        sent = {name: value for name, value in {**body, **changes}.items() if value is not None}
        reply = client.post("/answer", json=sent, base_url="http://127.0.0.1:5000")
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
    # Forms of other sites are refused.
    assert client.post("/answer", data={"answer": "fake"}, **base).status_code == 415
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
    first = post(409, image="nothing")  # The reply names the image to judge.
    assert set(first) == {"done", "image"}
    assert post(200)["done"] == 1
    second = post(409, answer="real")  # The image has been answered already.
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
        app, _ = server.make_app(asked, [], lambda *_: None, 0.5)
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
    assert len(set(names)) == 40  # No name is used twice.
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    # Nothing is loaded from elsewhere.
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page.text)


def test_an_answer_that_cannot_be_kept_ends_the_session(tmp_path):
    def full(*_):
        raise OSError("No space left on device")

    answers = []
    app, ended = server.make_app(questions(), answers, full, None)
    client = app.test_client()
    told = given_by(client.get("/", base_url="http://localhost").text)
    body = {"token": told["token"], "image": told["state"]["image"], "answer": "fake", "milliseconds": 1}
    assert client.post("/answer", json=body, base_url="http://localhost").status_code == 500
    assert client.post("/answer", json=body, base_url="http://localhost").status_code == 409
    assert not answers
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(OSError, match="No space"):
        server.serve(app, ended, listening)
