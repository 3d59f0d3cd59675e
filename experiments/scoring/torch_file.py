"""Reads a PyTorch state dict without PyTorch, and without unpickling.

A pickle is a program, and to unpickle is to run it. Here its opcodes are read one by one by an interpreter
that knows those of a dict of tensors, calls nothing by name, and refuses all others.

Both of PyTorch's formats are read: since version 1.6 a zip archive, before that five pickles and the bytes
of the tensors, one after the other.
"""

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxgan.errors import SetupError

MAGIC = 0x1950A86A20F9469CFC6C  # what the older format begins with


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int  # in numbers


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Refused(Exception):
    pass


def _rebuild(storage: _Storage, offset: int, shape: Any, strides: Any, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage) or not all(type(i) is int for i in (offset, *shape, *strides)):
        raise _Refused("has a tensor that is none")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


# All that a pickle may name: what it may call, and the types of numbers.
_CALLED: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda: {},
    "torch._utils _rebuild_tensor_v2": _rebuild,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
}
_TYPES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
# What opcodes out of place raise, and pickletools, struct, zipfile and NumPy on bytes out of place.
_DAMAGE = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(struct.error, zipfile.BadZipFile, EOFError, RuntimeError),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "BINSTRING", "SHORT_BINSTRING"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _storage(given: Any) -> _Storage:
    """What stands for a tensor's bytes: ("storage", type, key, device, count); of old also None."""
    word, dtype, key, _, count, *view = given
    known = isinstance(dtype, np.dtype) and isinstance(key, str) and type(count) is int and count >= 0
    if word != "storage" or not known or any(part is not None for part in view):
        raise _Refused("has a tensor whose numbers it does not hold itself")
    return _Storage(key, dtype, count)


def _interpret(stream: io.BytesIO) -> Any:
    """The value of the pickle that begins where the stream stands, and the stream behind it."""
    mark = object()
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop(count: int) -> list[Any]:
        if count > len(stack):
            raise _Refused("is not a well-formed pickle")
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return taken

    def pop_to_mark() -> list[Any]:
        start = max(i for i, value in enumerate(stack) if value is mark)
        return pop(len(stack) - start)[1:]

    def put(pairs: list[Any]) -> None:
        if not isinstance(stack[-1], dict) or not all(isinstance(key, str) for key in pairs[::2]):
            raise _Refused("is not a dict of tensors by name")
        stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif name == "MARK":
            stack.append(mark)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            if argument not in _CALLED and argument not in _TYPES:
                raise _Refused(
                    f"names {argument.replace(' ', '.')}, of which a dict of tensors has no need"
                )
            stack.append(_CALLED.get(argument, _TYPES.get(argument)))
        elif name == "REDUCE":
            function, arguments = pop(2)
            if not any(function is known for known in _CALLED.values()):
                raise _Refused("calls what is no function")
            stack.append(function(*arguments))
        elif name == "BINPERSID":
            stack.append(_storage(*pop(1)))
        elif name == "SETITEM":
            put(pop(2))
        elif name == "SETITEMS":
            put(pop_to_mark())
        elif name == "APPEND":
            stack[-2].append(*pop(1))
        elif name == "APPENDS":
            items = pop_to_mark()
            stack[-1].extend(items)
        elif name == "BUILD":  # a state dict's versions, which are an attribute of it
            pop(1)
        elif name == "STOP":
            return pop(1)[0]
        elif name != "PROTO":
            raise _Refused(f"has the opcode {name}, of which a dict of tensors has no need")
    raise _Refused("is not a well-formed pickle")


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """A copy of the tensor's numbers, which must lie within its storage."""
    shape, strides = tensor.shape, tensor.strides
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((tensor.offset, *shape, *strides)) < 0 or max(math.prod(shape) - 1, last) >= len(numbers):
        raise _Refused("has a tensor that reaches beyond its numbers")
    size = numbers.itemsize
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], shape, [step * size for step in strides], writeable=False
    )
    return view.copy()


def _check_count(storage: _Storage, length: int) -> None:
    if length != storage.length * storage.dtype.itemsize:
        raise _Refused(f"holds {length} bytes of storage {storage.key}, not {storage.length} numbers")


def _legacy(content: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    stream = io.BytesIO(content)
    magic, _, system, value, keys = (_interpret(stream) for _ in range(5))
    if magic != MAGIC or not system["little_endian"]:
        raise _Refused("is not a little-endian PyTorch file")
    if not all(isinstance(key, str) for key in keys):
        raise _Refused("does not name its storages")
    places: dict[str, tuple[int, int]] = {}
    # A storage's bytes follow their count, but only its tensors know of what type the count is.
    storages = {
        tensor.storage.key: tensor.storage for tensor in value.values() if isinstance(tensor, _Tensor)
    }
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        length = count * storages[key].dtype.itemsize
        places[key] = stream.tell(), length
        stream.seek(length, io.SEEK_CUR)

    def read(storage: _Storage) -> np.ndarray:
        start, length = places[storage.key]
        held = content[start : start + length]
        _check_count(storage, len(held))
        return np.frombuffer(held, storage.dtype)

    return value, read


def _zipped(content: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise _Refused("is compressed, as PyTorch's files are not")
    if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
        raise _Refused("is not a little-endian PyTorch file")
    value = _interpret(io.BytesIO(archive.read(entries["data.pkl"])))

    def read(storage: _Storage) -> np.ndarray:
        entry = entries[f"data/{storage.key}"]
        _check_count(storage, entry.file_size)
        return np.frombuffer(archive.read(entry), storage.dtype)

    return value, read


def state_dict(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict that ``torch.save`` wrote, in either format.

    Args:
      content: the file's bytes.
      name: the file's, for messages.

    Returns:
      Arrays of float32 or int64 by name.

    Raises:
      SetupError: it is not such a file, is damaged, or its pickle asks for more than tensors.
    """
    try:
        value, read = (_zipped if content.startswith(b"PK") else _legacy)(content)
        if not isinstance(value, dict) or not all(isinstance(item, _Tensor) for item in value.values()):
            raise _Refused("is not a dict of tensors by name")
        return {key: _array(tensor, read(tensor.storage)) for key, tensor in value.items()}
    except _Refused as error:
        raise SetupError(f"{name} {error}: give a state dict that torch.save wrote") from error
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise SetupError(
            f"{name} is no state dict that torch.save wrote, or is damaged: {reason}"
        ) from error
