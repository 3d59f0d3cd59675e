"""Reads a PyTorch state dict without PyTorch and without running code from the file.

A pickle is a program that can call any function by its name. The unpickler here executes only the opcodes
that a dict of tensors needs, and resolves names only to functions that return plain values.

PyTorch has two formats: a zip archive since version 1.6, and before that five pickles followed by the bytes
of the tensors.
"""

import io
import math
import pickle
import struct
import types
import zipfile
from pickle import _Unpickler
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxgan.errors import SetupError

MAGIC = 0x1950A86A20F9469CFC6C  # value of the first pickle of the older format
MAX_AXES = 64  # NumPy's limit
OPCODES = """
PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE BINSTRING SHORT_BINSTRING
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS SETITEM SETITEMS
BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL BINPERSID
"""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int  # in numbers


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dict(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        # The type is checked before the key is hashed, because hashing nested tuples can take forever.
        if not isinstance(key, str):
            raise ValueError("a key of a dict is not a name")
        super().__setitem__(key, value)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
    tuples = isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not tuples or len(shape) > MAX_AXES or any(type(i) is not int for i in (offset, *shape, *strides)):
        raise ValueError("a tensor is malformed")
    return _Tensor(storage, offset, shape, strides)


# These stand in for all names that a pickle may use.
STAND_INS = {
    "collections.OrderedDict": lambda: _Dict(),
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


def _refuse(reader: Any) -> None:
    raise ValueError("its pickle has an opcode that a dict of tensors does not need")


def _call(reader: Any) -> None:
    arguments, function = reader.stack.pop(), reader.stack.pop()
    if not isinstance(function, types.FunctionType) or not isinstance(arguments, tuple):
        raise ValueError("its pickle calls something that is not a function")
    reader.stack.append(function(*arguments))


class _Reader(_Unpickler):
    # We use the base class in Python, because its table of opcodes can be replaced. The one in C would hash
    # any key, and would allocate a memo of any length that a file names.
    dispatch: ClassVar[dict[int, Any]] = {
        **dict.fromkeys(range(256), _refuse),
        **{code: _Unpickler.dispatch[code] for name in OPCODES.split() for code in getattr(pickle, name)},
        pickle.EMPTY_DICT[0]: lambda reader: reader.stack.append(_Dict()),
        pickle.REDUCE[0]: _call,
        # The state that PyTorch sets on a dict holds only versions of modules, which are not needed.
        pickle.BUILD[0]: lambda reader: reader.stack.pop(),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (known := f"{module}.{name}") not in STAND_INS:
            raise ValueError(f"its pickle names {known}, which a dict of tensors does not need")
        return STAND_INS[known]

    def persistent_load(self, pid: Any) -> _Storage:
        # This is ("storage", type, key, device, count), and in the older format a view, which must be None.
        word, dtype, key, _, count, *view = pid
        known = isinstance(dtype, np.dtype) and isinstance(key, str) and type(count) is int and count >= 0
        if word != "storage" or not known or any(part is not None for part in view):
            raise ValueError("a tensor does not hold its numbers itself")
        return _Storage(key, dtype, count)


def _read(stream: io.BytesIO) -> Any:
    return _Reader(stream, encoding="utf-8").load()


def _array(tensor: _Tensor, held: bytes) -> np.ndarray:
    storage, offset, shape, strides = tensor
    size = storage.dtype.itemsize
    if len(held) != storage.length * size:
        raise ValueError(f"storage {storage.key} holds {len(held)} bytes, not {storage.length} numbers")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or (count and max(count - 1, last) >= storage.length):
        raise ValueError("a tensor reaches beyond its numbers")
    numbers = np.frombuffer(held, storage.dtype)[offset:]
    return np.lib.stride_tricks.as_strided(numbers, shape, [n * size for n in strides], writeable=False)


def _legacy(content: bytes) -> tuple[Any, dict[str, bytes]]:
    stream = io.BytesIO(content)
    magic, _, system, value, keys = (_read(stream) for _ in range(5))
    if magic != MAGIC or not system["little_endian"]:
        raise ValueError("it is not a little-endian PyTorch file")
    # A storage's bytes follow the number of its elements, whose type is known only from its tensors.
    sizes = {x.storage.key: x.storage.dtype.itemsize for x in value.values() if isinstance(x, _Tensor)}
    storages = {}
    for key in keys:
        if not isinstance(key, str):
            raise ValueError("it does not name its storages")
        (count,) = struct.unpack("<q", stream.read(8))
        storages[key] = stream.read(count * sizes[key])
    return value, storages


def _zipped(content: bytes) -> tuple[Any, dict[str, bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    listed = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in listed):
        raise ValueError("it is compressed, which PyTorch's files are not")
    if sum(entry.file_size for entry in listed) > len(content):
        raise ValueError("its entries claim more bytes than it has")
    names = [entry.filename.partition("/")[2].removeprefix("data/") for entry in listed]
    entries = {name: archive.read(entry) for name, entry in zip(names, listed, strict=True)}
    if entries.get("byteorder", b"little") != b"little":
        raise ValueError("it is not a little-endian PyTorch file")
    return _read(io.BytesIO(entries["data.pkl"])), entries


def state_dict(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict that ``torch.save`` wrote in either format.

    Args:
      content: Bytes of the file.
      name: Name of the file for error messages.

    Returns:
      Read-only arrays of float32 or int64 by name. Arrays share memory where the tensors did.

    Raises:
      SetupError: The file holds something else, is damaged, or its pickle needs more than tensors.
    """
    try:
        value, storages = (_zipped if content.startswith(b"PK") else _legacy)(content)
        if not isinstance(value, dict) or not all(isinstance(x, _Tensor) for x in value.values()):
            raise ValueError("it is not a dict of tensors by name")
        return {key: _array(x, storages.get(x.storage.key, b"")) for key, x in value.items()}
    except Exception as error:  # The readers raise many types of exceptions for damaged files.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = "".join(letter if letter.isprintable() else "?" for letter in reason)
        raise SetupError(
            f"{name} is no state dict that torch.save wrote, or is damaged: {reason}"
        ) from error
