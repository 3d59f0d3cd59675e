"""SHA-256 of bytes, files, JSON values and trees of arrays, in hexadecimal digits."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any

BLOCK = 2**20  # bytes of a file that are read at a time


def sha256_of_chunks(chunks: Iterable[bytes]) -> str:
    """Returns the hash of the concatenated chunks, which need not fit into memory together.

    >>> sha256_of_chunks([b"ab", b"c"]) == sha256_of_bytes(b"abc")
    True
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Returns the hash of a byte string."""
    return sha256_of_chunks([content])


def sha256_of_file(path: Path) -> str:
    """Returns the hash of a file's content.

    Raises:
      OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of_chunks(iter(lambda: file.read(BLOCK), b""))


def sha256_of_json(value: Any) -> str:
    """Returns the hash of a value's JSON text with sorted keys.

    >>> sha256_of_json({"a": 1, "b": [2]}) == sha256_of_json({"b": [2], "a": 1})
    True
    """
    return sha256_of_bytes(json.dumps(value, sort_keys=True).encode())


def _leaf_chunks(tree: PyTree) -> Iterator[bytes]:
    for path, leaf in jax.tree.leaves_with_path(tree):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        yield f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode()
        yield np.ascontiguousarray(array).tobytes()


def sha256_of_tree(tree: PyTree) -> str:
    """Returns the hash of all leaves of a tree: their paths, dtypes, shapes and bytes, in tree order.

    Args:
      tree: Any pytree of arrays. PRNG keys are hashed by their data.

    Returns:
      64 hexadecimal digits, which are equal if and only if the leaves of the trees are equal bit for bit.

    >>> import jax.numpy as jnp
    >>> sha256_of_tree({"a": jnp.zeros(2)}) == sha256_of_tree({"a": jnp.zeros(2)})
    True
    >>> sha256_of_tree({"a": jnp.zeros(2)}) == sha256_of_tree({"a": jnp.ones(2)})
    False
    """
    return sha256_of_chunks(_leaf_chunks(tree))
