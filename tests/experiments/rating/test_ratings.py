"""Tests of the questions, the file of answers, and the error rates with their intervals."""

import csv
import hashlib
import io
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments.rating import answer_log, questionnaire

Z = 1.959963984540054  # The 97.5 % quantile of the normal distribution, from a table.


def pictures(num, seed=0, channels=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, 8, 8, channels), np.uint8)


def questions(num=4, seed=0):
    return questionnaire.shuffled(pictures(num // 2, 1), pictures(num // 2, 2), seed=seed)


@settings(max_examples=50)
@given(st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_shares_that_a_test_would_not_reject(case):
    # The ends of Wilson's interval satisfy (p̂ − p)² = z² p(1 − p)/n. Here they are roots of that quadratic
    # in p.
    wrong, of = case
    found = answer_log.share(wrong, of)
    p, k = wrong / of, Z**2 / of
    roots = np.sort(np.roots([1 + k, -2 * p - k, p * p]).real)
    np.testing.assert_allclose([found.low, found.high], roots, atol=1e-7)
    assert found.low - 1e-12 <= p <= found.high + 1e-12


def test_intervals_by_hand():
    # For 0 of n the upper end is z²/(n + z²). At p = ½ both ends lie z/(2√(n + z²)) away from it.
    np.testing.assert_allclose(answer_log.share(0, 10)[2:], [0, Z**2 / (10 + Z**2)], atol=1e-12)
    half = Z / (2 * math.sqrt(50 + Z**2))
    np.testing.assert_allclose(answer_log.share(25, 50)[2:], [0.5 - half, 0.5 + half], atol=1e-12)
    np.testing.assert_allclose(answer_log.share(25, 50)[2:], [0.3664, 0.6336], atol=5e-5)


def test_the_two_kinds_of_error_are_told_apart():
    asked = questions(10)
    answers = [question.kind for question in asked]
    fakes = [i for i, question in enumerate(asked) if question.kind == "fake"]
    for i in fakes[:3]:
        answers[i] = "real"
    found = answer_log.score(asked, answers)
    assert [(share.wrong, share.of) for share in found.values()] == [(3, 10), (3, 5), (0, 5)]
    assert list(found) == ["error rate", "fakes taken for real", "reals taken for fake"]


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
    # Every place holds either kind with some seed.
    assert all(len(set(place)) == 2 for place in zip(*orders, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_hold_pixels_and_nothing_else(channels):
    (pixels,) = pictures(1, channels=channels)
    file = questionnaire.png(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))).reshape(pixels.shape), pixels)
    chunks, at = [], 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        chunks.append(file[at + 4 : at + 8])
        at += 12 + length
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


SESSION = answer_log.Session("4", "", "0", "12")


def test_a_file_is_read_up_to_the_line_that_a_kill_cut_short(tmp_path):
    path, asked = tmp_path / "a.csv", questions()
    assert answer_log.read(path, asked, SESSION) == []
    record = answer_log.recorder(path, asked, SESSION)
    assert answer_log.read(path, asked, SESSION) == []
    record(0, "real", 812)
    record(1, "fake", 64)
    whole = path.read_bytes()
    assert answer_log.read(path, asked, SESSION) == ["real", "fake"]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        answers = answer_log.read(path, asked, SESSION)
        assert len(answers) == max(0, whole[:cut].count(b"\n") - 1)
        answer_log.recorder(path, asked, SESSION)
        assert path.read_bytes() == (whole[: whole[:cut].rfind(b"\n") + 1] or answer_log.HEAD.encode())
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
    answer_log.recorder(path, asked, SESSION)(0, "real", 812)
    path.write_text(change(path.read_text()))
    before = path.read_text()
    with pytest.raises(answer_log.SetupError, match=message):
        answer_log.read(path, asked, SESSION)
    assert path.read_text() == before


def test_two_processes_do_not_mix_their_answers(tmp_path):
    path, asked = tmp_path / "a.csv", questions()
    first, second = (answer_log.recorder(path, asked, SESSION) for _ in range(2))
    first(0, "real", 1)
    with pytest.raises(OSError, match="another process"):
        second(0, "fake", 1)
    assert answer_log.read(path, asked, SESSION) == ["real"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(answer_log.SetupError, match="cannot be read"):
        answer_log.read(tmp_path, questions(), SESSION)
    with pytest.raises(answer_log.SetupError, match="cannot be written"):
        answer_log.recorder(tmp_path / "nowhere" / "a.csv", questions(), SESSION)
