"""Tests of the hashes, whose recorded values identify states, datasets and cached files."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import hashing


@given(chunks=st.lists(st.binary(max_size=20), max_size=5))
def test_chunks_are_hashed_as_their_concatenation(chunks):
    content = b"".join(chunks)
    expected = hashlib.sha256(content).hexdigest()
    assert hashing.sha256_of_chunks(chunks) == hashing.sha256_of_bytes(content) == expected


@pytest.mark.parametrize("length", [0, 1, 10, 11, 25])
def test_a_file_is_hashed_as_its_content(length, tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "BLOCK", 10)
    content = bytes(range(length))
    (tmp_path / "file").write_bytes(content)
    assert hashing.sha256_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_is_hashed_with_sorted_keys():
    value = {"b": [1, 2.5, None], "a": {"d": "é", "c": True}}
    text = b'{"a": {"c": true, "d": "\\u00e9"}, "b": [1, 2.5, null]}'
    assert json.loads(text) == value
    assert hashing.sha256_of_json(value) == hashlib.sha256(text).hexdigest()


def test_a_tree_is_hashed_by_the_paths_dtypes_shapes_and_bytes_of_its_leaves():
    tree = {"b": (np.float32([[1, 2]]), 3), "a": jnp.ones((2, 1), jnp.bfloat16)}
    content = (
        b"['a'] bfloat16 (2, 1)\n"
        + b"\x80\x3f" * 2
        + b"['b'][0] float32 (1, 2)\n"
        + np.float32([1, 2]).tobytes()
        + b"['b'][1] int64 ()\n"
        + np.int64(3).tobytes()
    )
    assert hashing.sha256_of_tree(tree) == hashlib.sha256(content).hexdigest()


def test_keys_are_hashed_by_their_data():
    key = jax.random.key(7)
    assert hashing.sha256_of_tree(key) == hashing.sha256_of_tree(jax.random.key_data(key))
    assert hashing.sha256_of_tree(key) != hashing.sha256_of_tree(jax.random.key(8))


def test_layout_in_memory_does_not_matter():
    array = np.arange(6.0).reshape(2, 3)
    turned = np.asfortranarray(array)
    assert hashing.sha256_of_tree(array) == hashing.sha256_of_tree(turned)
    assert hashing.sha256_of_tree(array) != hashing.sha256_of_tree(array.T)


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(3, np.float32)},
        {"b": np.zeros(2, np.float32)},
        {"a": np.zeros((2, 1), np.float32)},
        {"a": np.zeros(2, np.int32)},
        {"a": np.float32([0, -0.0])},
        [np.zeros(2, np.float32)],
        {},
    ],
)
def test_trees_that_differ_have_other_hashes(other):
    tree = {"a": np.zeros(2, np.float32)}
    assert hashing.sha256_of_tree(tree) == hashing.sha256_of_tree({"a": jnp.zeros(2)})
    assert hashing.sha256_of_tree(tree) != hashing.sha256_of_tree(other)


def test_recorded_hashes_do_not_change():
    # These values were computed once. A change would invalidate all checkpoints and cached files.
    tree = {"a": np.arange(4, dtype=np.float32), "key": jax.random.key(0)}
    assert hashing.sha256_of_tree(tree).startswith("312985fec23ed3e0")
    assert hashing.sha256_of_json({"a": 1, "b": [2.5, None]}).startswith("2daaea6dd63221f9")
