"""Tests of weight files: the same bytes for the same content, and no damage that goes unnoticed."""

import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

from jaxgan import weights
from jaxgan.hashing import sha256_of_bytes

VARIABLES = {
    "params": {"Dense_0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)}},
    "steps": np.int32(4),
}
FACTS = {"network": "a network", "recipe": {"width": 3, "rate": 0.5}, "missing": None}


def encoded():
    return weights.encode(VARIABLES, FACTS)


def test_a_file_reads_back(tmp_path):
    content = encoded()
    found = weights.decode(content)
    assert found.facts == FACTS
    assert found.sha256 == sha256_of_bytes(content)
    assert sorted(found.variables) == ["params", "steps"]
    dense = found.variables["params"]["Dense_0"]
    for name, values in VARIABLES["params"]["Dense_0"].items():
        np.testing.assert_array_equal(dense[name], values)
        assert dense[name].dtype == values.dtype
    (tmp_path / "file.safetensors").write_bytes(content)
    assert weights.read_facts(tmp_path / "file.safetensors") == FACTS


def test_the_bytes_depend_only_on_the_content():
    parts = VARIABLES["params"]["Dense_0"]
    kernel = np.asfortranarray(parts["kernel"])
    turned = {"steps": jnp.int32(4), "params": {"Dense_0": {"bias": parts["bias"], "kernel": kernel}}}
    assert weights.encode(turned, dict(reversed(FACTS.items()))) == encoded()


def test_tensors_may_have_flat_names():
    tensors = {"fc.weight": np.ones((2, 1), np.float32), "fc.bias": np.zeros(2, np.float32)}
    found = weights.decode(weights.encode(tensors, {}))
    assert sorted(found.tensors) == sorted(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(found.tensors[name], values)
    np.testing.assert_array_equal(found.variables["fc"]["weight"], tensors["fc.weight"])


def test_every_changed_bit_is_noticed():
    content = encoded()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            with pytest.raises(ValueError, match=r"hash to \w{12}, not|no weights of jaxgan's") as caught:
                weights.decode(bytes(damaged))
            assert "\n" not in str(caught.value)


def test_every_shorter_file_is_refused():
    content = encoded()
    for length in range(len(content)):
        with pytest.raises(ValueError, match="no weights of jaxgan's can be read"):
            weights.decode(content[:length])


def signed(facts):
    return {weights.FACTS: facts}


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html>",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        save({}, None),
        save({}, {"network": "a network"}),
        save({}, signed("[" * 100_000)),
        save({}, signed("no JSON")),
        save({}, signed("[1]")),
        save({}, signed('"text"')),
        save({}, signed("{}")),
        save({}, signed(json.dumps(FACTS))),
    ],
    ids=range(11),
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    for call in (lambda: weights.decode(content), lambda: weights.read_facts(path)):
        with pytest.raises(ValueError, match="no weights of jaxgan's can be read") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["0" * 64, None, 0, []])
def test_another_hash_is_refused(wanted):
    facts = {**FACTS, weights.HASH: wanted}
    with pytest.raises(ValueError, match=r"its contents hash to \w{12}, not "):
        weights.decode(save({}, signed(json.dumps(facts))))


def test_files_that_cannot_be_opened_are_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.read_facts(tmp_path / "absent.safetensors")
    with pytest.raises(IsADirectoryError):
        weights.read_facts(tmp_path)
