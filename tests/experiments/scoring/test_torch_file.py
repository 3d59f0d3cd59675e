"""State dicts that PyTorch wrote, and files that want more than to be read."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from experiments.scoring import torch_file
from jaxgan.errors import SetupError
from tests import fidelity

FORMATS = ("tiny_older", "tiny_newer")  # written by PyTorch, see tests/goldens/inception.py


@pytest.fixture(scope="module")
def goldens():
    with np.load(fidelity.GOLDENS, allow_pickle=False) as file:
        return {name: file[name].tobytes() for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_tensors_are_read_in_both_formats(goldens, name):
    state = torch_file.state_dict(goldens[name], "it")
    numbers = np.arange(24, dtype=np.float32)
    expected = {
        "turned": numbers.reshape(2, 3, 4).transpose(2, 0, 1),
        "part": numbers[5:9],
        "whole": numbers,
        "count": np.array(7),
        "none": np.zeros((0, 3), np.float32),
    }
    assert list(state) == list(expected)
    for key, values in expected.items():
        assert state[key].dtype == values.dtype
        np.testing.assert_array_equal(state[key], values)


@pytest.mark.parametrize("name", FORMATS)
def test_no_damage_escapes_as_another_error(goldens, name):
    content = goldens[name]
    for length in range(0, len(content), 7):
        with pytest.raises(SetupError, match=r"^it "):
            torch_file.state_dict(content[:length], "it")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):  # some changes fall on numbers, which may be any
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        try:
            torch_file.state_dict(bytes(damaged), "it")
        except SetupError:
            refused += 1
    assert refused > 50


def zipped(pickled, numbers=b"", compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", numbers)
    return file.getvalue()


class Call:
    """Pickles as a call of something."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def tensor(offset=0, shape=b"K\x02\x85", strides=b"K\x01\x85", count=2, kind=b"FloatStorage"):
    """The opcodes of {"w": a tensor}: of two numbers in storage 0, if not told otherwise."""
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK%ctQ"
    ).replace(b"%c", bytes([count]))
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + bytes([75, offset]) + shape + strides
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuild + b"\x89}tRs."


def test_handmade_tensor_is_read():
    numbers = np.array([3.0, 4.0], np.float32)
    found = torch_file.state_dict(zipped(tensor(), numbers.tobytes()), "it")
    np.testing.assert_array_equal(found["w"], numbers)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (pickle.dumps({"w": Call(print, "ran")}, 2), "names __builtin__.print"),
        (pickle.dumps({"w": Call(eval, "print('ran')")}, 2), "names __builtin__.eval"),
        (b"\x80\x02cos\nsystem\nX\x08\x00\x00\x00echo ran\x85R.", "names os.system"),
        (b"\x80\x02(X\x08\x00\x00\x00echo ranios\nsystem\n.", "opcode INST"),
        (pickle.dumps({"w": Call(print, "ran")}, 4), "opcode FRAME"),
        (pickle.dumps([1, 2], 2), "not a dict of tensors"),
        (pickle.dumps({"w": 1}, 2), "not a dict of tensors"),
        (b"\x80\x02}K\x01R.", "calls what is no function"),
        (b"\x80\x02(X\x01\x00\x00\x00wK\x01K\x02u.", "no state dict"),
        (b"\x80\x02K\x01K\x02K\x03s.", "not a dict of tensors by name"),
        (pickle.dumps({(1, 2): 3}, 2), "not a dict of tensors by name"),
        (b"\x80\x02.", "not a well-formed pickle"),
        (tensor(kind=b"HalfStorage"), "names torch.HalfStorage"),
        (tensor(count=3), "holds 8 bytes of storage 0, not 3 numbers"),
        (tensor(offset=1), "reaches beyond its numbers"),
        (tensor(shape=b"K\x03\x85"), "reaches beyond its numbers"),
        (tensor(strides=b"K\x02\x85"), "reaches beyond its numbers"),
        (tensor(strides=b"J\xff\xff\xff\xff\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"J\xff\xff\xff\x7f\x85", strides=b"K\x00\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"K\x02K\x01\x86"), "no state dict"),
        (tensor(shape=b"X\x01\x00\x00\x002\x85"), "has a tensor that is none"),
    ],
)
def test_pickles_that_want_more_are_refused(pickled, message, capsys):
    with pytest.raises(SetupError, match=message) as raised:
        torch_file.state_dict(zipped(pickled, np.ones(2, np.float32).tobytes()), "--checkpoint x.pth")
    assert str(raised.value).startswith("--checkpoint x.pth ")
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


def test_compressed_archives_are_refused():
    with pytest.raises(SetupError, match="is compressed"):
        torch_file.state_dict(zipped(tensor(), bytes(8), zipfile.ZIP_DEFLATED), "it")


@pytest.mark.parametrize("content", [b"", b"PK", b"<!DOCTYPE html>", b"PK\x03\x04" + bytes(99)])
def test_other_files_are_refused(content):
    with pytest.raises(SetupError, match=r"^it "):
        torch_file.state_dict(content, "it")
