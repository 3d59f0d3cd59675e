"""Tests of reading state dicts that PyTorch wrote, and of refusing hostile files."""

import copyreg
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
        assert type(state[key]) is np.ndarray
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
    for _ in range(400):  # Some changes affect only the values of numbers, which may be arbitrary.
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
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n"


def tensor(offset=b"K\x00", shape=b"K\x02\x85", strides=b"K\x01\x85", count=2, kind=b"FloatStorage"):
    """Returns the opcodes of a tensor, by default of the two numbers in storage 0."""
    storage = STORAGE.replace(b"FloatStorage", kind).replace(b"K\x02t", b"K" + bytes([count]) + b"t")
    return REBUILD + b"(" + storage + offset + shape + strides + b"\x89}tR"


def named(value, key=b"X\x01\x00\x00\x00w"):
    """Returns the pickle of {"w": value}."""
    return b"\x80\x02}" + key + value + b"s."


def read(pickled):
    return torch_file.state_dict(zipped(pickled, np.array([3.0, 4.0], np.float32).tobytes()), "x.pth")


def test_handmade_tensor_is_read():
    np.testing.assert_array_equal(read(named(tensor()))["w"], [3.0, 4.0])


def test_arrays_share_the_memory_of_their_storage_and_cannot_be_written():
    key = b"X\x01\x00\x00\x00v"
    state = read(b"\x80\x02}(X\x01\x00\x00\x00w" + tensor() + key + tensor() + b"u.")
    assert np.shares_memory(state["v"], state["w"])
    with pytest.raises(ValueError, match="read-only"):
        state["w"][0] = 1


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (pickle.dumps({"w": Call(print, "ran")}, 2), "names __builtin__.print"),
        (pickle.dumps({"w": Call(eval, "print('ran')")}, 2), "names __builtin__.eval"),
        (pickle.dumps({"w": Call(getattr, "text", "join")}, 2), "names __builtin__.getattr"),
        (b"\x80\x02cos\nsystem\nX\x08\x00\x00\x00echo ran\x85R.", "names os.system"),
        (b"\x80\x02cos\x1b[31m\rsystem\n\n.", r"names os\?\[31m system\."),
        (b"\x80\x02(X\x08\x00\x00\x00echo ranios\nsystem\n.", "has an opcode"),
        (pickle.dumps({"w": Call(print, "ran")}, 4), "has an opcode"),
        (pickle.dumps([1, 2], 2), "not a dict of tensors"),
        (pickle.dumps({"w": 1}, 2), "not a dict of tensors"),
        (pickle.dumps({(1, 2): 3}, 2), "key of a dict is not a name"),
        (b"\x80\x02(X\x01\x00\x00\x00wK\x01K\x02u.", "no state dict"),
        (b"\x80\x02K\x01K\x02K\x03s.", "no state dict"),
        (b"\x80\x02.", "no state dict"),
    ],
)
def test_pickles_that_need_more_than_tensors_are_refused(pickled, message, capsys):
    with pytest.raises(SetupError, match=message) as raised:
        read(pickled)
    assert str(raised.value).startswith("x.pth ")
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tensor(kind=b"HalfStorage"), "names torch.HalfStorage"),
        (tensor(count=3), "storage 0 holds 8 bytes, not 3 numbers"),
        (tensor(count=1), "storage 0 holds 8 bytes, not 1 numbers"),
        (tensor(offset=b"K\x01"), "reaches beyond its numbers"),
        (tensor(offset=b"J\xff\xff\xff\xff"), "reaches beyond its numbers"),
        (tensor(shape=b"K\x03\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"J\xff\xff\xff\xff\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"\x8a\x10" + b"\x7f" * 16 + b"\x85"), "reaches beyond its numbers"),
        (tensor(strides=b"K\x02\x85"), "reaches beyond its numbers"),
        (tensor(strides=b"J\xff\xff\xff\xff\x85"), "reaches beyond its numbers"),
        (tensor(offset=b"K\x01", strides=b"J\xff\xff\xff\xff\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"J\xff\xff\xff\x7f\x85", strides=b"K\x00\x85"), "reaches beyond its numbers"),
        (tensor(shape=b"K\x02K\x01\x86"), "no state dict"),
        (tensor(shape=b"(" + b"K\x01" * 65 + b"t", strides=b"(" + b"K\x01" * 65 + b"t"), "is malformed"),
        (tensor(shape=b"X\x01\x00\x00\x002\x85"), "is malformed"),
        (tensor(shape=b"\x88\x85"), "is malformed"),
        (tensor(shape=b"X\x01\x00\x00\x002"), "is malformed"),
        (tensor(offset=b"N"), "is malformed"),
    ],
)
def test_tensors_that_reach_beyond_their_storage_are_refused(value, message):
    with pytest.raises(SetupError, match=message):
        read(named(value))


def test_empty_tensors_may_have_any_strides():
    state = read(named(tensor(shape=b"K\x03K\x00\x86", strides=b"K\x01K\x01\x86")))
    assert state["w"].shape == (3, 0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ORDERED + b"K\x01\x85R", "takes 0 positional arguments"),
        (ORDERED + b"]\x85R", "takes 0 positional arguments"),
        (ORDERED + b"K\x01R", "calls something that is not a function"),
        (ORDERED + b"}R", "calls something that is not a function"),
        (REBUILD + b")R", "missing 4 required positional arguments"),
        (REBUILD + b"(K\x01K\x00K\x02\x85K\x01\x85tR", "is malformed"),
        (b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R", "not a dict of tensors"),
        (b"ctorch._utils\n_rebuild_parameter\n)R", "missing 1 required positional argument"),
        (b"ctorch\nFloatStorage\n)R", "calls something that is not a function"),
        (tensor() + b")R", "calls something that is not a function"),
        (b"ctorch\nFloatStorage\n", "not a dict of tensors"),
        (ORDERED, "not a dict of tensors"),
        (ORDERED + b")\x81", "has an opcode"),  # NEWOBJ
        (b"(" + ORDERED + b"o", "has an opcode"),  # OBJ
        (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93", "has an opcode"),  # STACK_GLOBAL
    ],
)
def test_stand_ins_accept_only_the_arguments_that_pytorch_gives(value, message):
    with pytest.raises(SetupError, match=message):
        read(named(value))


def stand_ins():
    """Returns all that a hostile pickle could change about the stand-ins."""
    return {
        name: (repr(value), getattr(value, "__defaults__", None), dict(getattr(value, "__dict__", {})))
        for name, value in torch_file.STAND_INS.items()
    }


RAN = b"X\x03\x00\x00\x00ran"


@pytest.mark.parametrize(
    "state",
    [
        RAN,
        b"}" + RAN + b"K\x01s",
        b"}X\x0c\x00\x00\x00__setstate__" + ORDERED + b"s",
        b"N}" + RAN + b"K\x01s\x86",
        b"N}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86",
    ],
    ids=["text", "attribute", "setstate", "slot", "defaults"],
)
def test_states_change_nothing(state):
    before = stand_ins()
    # BUILD sets the state of a tensor here, and below that of other values, which are refused.
    np.testing.assert_array_equal(read(named(tensor() + state + b"b"))["w"], [3.0, 4.0])
    for value in (ORDERED, REBUILD, b"ctorch\nFloatStorage\n", STORAGE, ORDERED + b")R", b"]"):
        with pytest.raises(SetupError, match="not a dict of tensors"):
            read(named(value + state + b"b"))
    assert stand_ins() == before
    np.testing.assert_array_equal(read(named(tensor()))["w"], [3.0, 4.0])


def test_registered_extensions_are_refused(monkeypatch):
    # EXT1 finds an object that is already in the cache without asking find_class for it.
    monkeypatch.setitem(copyreg._extension_registry, ("os", "system"), 7)
    monkeypatch.setitem(copyreg._inverted_registry, 7, ("os", "system"))
    monkeypatch.setitem(copyreg._extension_cache, 7, print)
    for opcode in (b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"):
        with pytest.raises(SetupError, match="has an opcode"):
            read(named(opcode + b"X\x03\x00\x00\x00ran\x85R"))


@pytest.mark.parametrize(
    "value",
    [
        STORAGE + b"Q",  # the persistent id is a storage
        b"(" + STORAGE + b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ",
        b"(X\x07\x00\x00\x00storage" + STORAGE + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ",
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + STORAGE + b"X\x03\x00\x00\x00cpuK\x02tQ",
        STORAGE.replace(b"K\x02t", b"J\xff\xff\xff\xfft"),
        STORAGE.replace(b"K\x02t", b"K\x02K\x01t"),  # a view
        STORAGE.replace(b"K\x02t", b"t"),
        b"X\x05\x00\x00\x00abcdeQ",
        b"K\x01Q",
        b"P0\n",  # a persistent id as text
    ],
)
def test_other_persistent_ids_are_refused(value):
    with pytest.raises(SetupError, match=r"no state dict .* damaged"):
        read(named(value))


def test_memo_indices_do_not_allocate_memory():
    last = b"\xff\xff\xff\xff"
    state = read(b"\x80\x02}r" + last + b"X\x01\x00\x00\x00w" + tensor() + b"sj" + last + b".")
    np.testing.assert_array_equal(state["w"], [3.0, 4.0])


NESTED = b")" + b"\x85" * 200_000  # deep enough to overflow the stack of a recursive hash
DOUBLED = b")q\x00" + b"h\x00h\x00\x86q\x00" * 100  # 2^100 elements in 100 tuples


@pytest.mark.parametrize("bomb", [NESTED, DOUBLED], ids=["nested", "doubled"])
@pytest.mark.parametrize(
    "place",
    [
        lambda bomb: named(b"K\x01", key=bomb),
        lambda bomb: b"\x80\x02" + ORDERED + b")R" + bomb + b"K\x01s.",
        lambda bomb: b"\x80\x02}(" + bomb + b"K\x01u.",
        lambda bomb: named(bomb),
        lambda bomb: named(bomb + b"Q"),
        lambda bomb: named(bomb + b")R"),
        lambda bomb: named(ORDERED + bomb + b"R"),
        lambda bomb: named(tensor(shape=bomb)),
        lambda bomb: named(tensor(offset=bomb)),
        lambda bomb: named(STORAGE.replace(b"X\x01\x00\x00\x000", bomb)),
        lambda bomb: named(STORAGE.replace(b"X\x07\x00\x00\x00storage", bomb)),
        lambda bomb: b"\x80\x02]" + bomb + b"K\x01s.",
        lambda bomb: b"\x80\x02" + bomb + b"(K\x01e.",
        lambda bomb: b"\x80\x02" + bomb + b".",
    ],
)
def test_large_structures_are_neither_hashed_nor_printed(bomb, place):
    with pytest.raises(SetupError, match="no state dict"):
        read(place(bomb))


@pytest.mark.parametrize("bomb", [NESTED, DOUBLED], ids=["nested", "doubled"])
def test_large_structures_are_refused_in_the_older_format(bomb):
    start = pickle.dumps(torch_file.MAGIC, 2) + pickle.dumps(1001, 2)
    system = pickle.dumps({"little_endian": True}, 2)
    keys = b"\x80\x02]" + bomb + b"a."
    for content in (
        b"\x80\x02" + bomb + b"." + pickle.dumps(1, 2) * 4,
        start + b"\x80\x02" + bomb + b"." + named(tensor()) + pickle.dumps(["0"], 2),
        start + system + named(tensor()) + keys + bytes(16),
        start + system + b"\x80\x02" + bomb + b"." + keys + bytes(16),
    ):
        with pytest.raises(SetupError, match="no state dict"):
            torch_file.state_dict(content, "x.pth")


def test_recursive_structures_are_refused():
    for pickled in (
        b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.",
        named(b"]q\x00h\x00a"),
        named(ORDERED + b")Rq\x00X\x01\x00\x00\x00wh\x00s"),
    ):
        with pytest.raises(SetupError, match="not a dict of tensors"):
            read(pickled)


@pytest.mark.parametrize("count", [-1, 3, 2**40, 2**62])
def test_wrong_counts_of_the_older_format_are_refused(count):
    start = pickle.dumps(torch_file.MAGIC, 2) + pickle.dumps(1001, 2)
    start += pickle.dumps({"little_endian": True}, 2) + named(tensor()) + pickle.dumps(["0"], 2)
    numbers = np.array([3.0, 4.0], np.float32).tobytes()
    state = torch_file.state_dict(start + (2).to_bytes(8, "little") + numbers, "x.pth")
    np.testing.assert_array_equal(state["w"], [3.0, 4.0])
    with pytest.raises(SetupError, match="no state dict"):
        torch_file.state_dict(start + count.to_bytes(8, "little", signed=True) + numbers + b"more", "x.pth")


def test_compressed_archives_are_refused_before_they_are_read(monkeypatch):
    content = zipped(named(tensor()), bytes(2**24), zipfile.ZIP_DEFLATED)
    assert len(content) < 2**16
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("decompressed"))
    with pytest.raises(SetupError, match="is compressed"):
        torch_file.state_dict(content, "it")


def test_archives_that_claim_more_than_they_hold_are_refused(monkeypatch):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", named(tensor()))
        archive.writestr("archive/data/0", bytes(8))
        archive.infolist()[1].file_size = 2**40
    with pytest.raises(SetupError, match="claim more bytes than it has"):
        torch_file.state_dict(file.getvalue(), "it")
    # Many entries of the directory may also point to the same bytes.
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", named(tensor()))
        archive.writestr("archive/data/0", bytes(2**12))
        archive.filelist += [archive.filelist[-1]] * 100
    with pytest.raises(SetupError, match="claim more bytes than it has"):
        torch_file.state_dict(file.getvalue(), "it")


@pytest.mark.parametrize("content", [b"", b"PK", b"<!DOCTYPE html>", b"PK\x03\x04" + bytes(99)])
def test_other_files_are_refused(content):
    with pytest.raises(SetupError, match=r"^it "):
        torch_file.state_dict(content, "it")
