"""Weight files: safetensors with facts about the network, and a hash of both.

The facts are stored as a single JSON text, because safetensors writes several metadata entries in a random
order. The same weights and facts therefore give the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from jaxgan.hashing import sha256_of_bytes, sha256_of_tree

PyTree = Any
Facts = dict[str, Any]

FACTS = "jaxgan"  # name of the only metadata entry
HASH = "contents_sha256"


class Weights(NamedTuple):
    """The content of a weight file.

    Attributes:
      tensors: Arrays by their path, joined with dots.
      facts: Facts about the weights, as JSON values.
      sha256: SHA-256 of the file itself, in hexadecimal digits.
    """

    tensors: Mapping[str, np.ndarray]
    facts: Facts
    sha256: str

    @property
    def variables(self) -> PyTree:
        """The variables of a Flax module, as nested dicts of arrays."""
        return traverse_util.unflatten_dict(self.tensors, sep=".")


def _digest(tensors: Mapping[str, np.ndarray], facts: Facts) -> str:
    return sha256_of_bytes((json.dumps(facts, sort_keys=True) + sha256_of_tree(dict(tensors))).encode())


def _parse(text: str) -> tuple[Facts, str]:
    facts = json.loads(text)
    return facts, str(facts.pop(HASH))


def _refusal(error: Exception) -> ValueError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return ValueError(f"no weights of jaxgan's can be read from it ({reason})")


def encode(variables: PyTree, facts: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a weight file, which depend only on the arguments.

    Args:
      variables: Variables of a Flax module, or a flat dict of arrays by name.
      facts: Facts about the weights, as JSON values.
    """
    from safetensors.numpy import save

    flat = traverse_util.flatten_dict(variables, sep=".")
    tensors = {name: np.ascontiguousarray(value) for name, value in sorted(flat.items())}
    signed = {**facts, HASH: _digest(tensors, dict(facts))}
    return save(tensors, {FACTS: json.dumps(signed, sort_keys=True)})


def decode(content: bytes) -> Weights:
    """Reads the bytes that :func:`encode` returned, without running code from them.

    Raises:
      ValueError: The bytes have another format or are damaged.
    """
    from safetensors.numpy import load

    try:
        tensors = load(content)
        # ``load`` has checked the header but does not return it, so the metadata are parsed here.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts, wanted = _parse(header["__metadata__"][FACTS])
    except Exception as error:  # The library and the parser raise many types for damaged bytes.
        raise _refusal(error) from error
    if (found := _digest(tensors, facts)) != wanted:
        raise ValueError(f"its contents hash to {found[:12]}, not {wanted[:12]}")
    return Weights(tensors, facts, sha256_of_bytes(content))


def read_facts(path: Path) -> Facts:
    """Reads the facts of a weight file without reading its tensors or checking its hash.

    Raises:
      OSError: The file cannot be read.
      ValueError: The file has another format.
    """
    from safetensors import safe_open

    path.open("rb").close()  # The errors of safe_open for a missing file or a folder are less clear.
    try:
        with safe_open(path, framework="numpy") as file:
            return _parse(file.metadata()[FACTS])[0]
    except Exception as error:  # The library and the parser raise many types for damaged bytes.
        raise _refusal(error) from error
