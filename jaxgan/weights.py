"""Files of a network's weights: safetensors, with what is to be known of them, and a hash over both.

The facts are one JSON text in the file's metadata, for safetensors writes several in a random order: so the
same weights and facts are the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from jaxgan.state import sha256

PyTree = Any

FACTS = "jaxgan"  # the name of the metadata's one entry
HASH = "contents_sha256"


class Weights(NamedTuple):
    """A file's contents.

    Attributes:
      variables: a Flax module's, as nested dicts of arrays.
      facts: what is to be known of them, as JSON has it.
      sha256: of the file itself, in hexadecimal digits.
    """

    variables: PyTree
    facts: Mapping[str, Any]
    sha256: str


def _digest(tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    return hashlib.sha256((json.dumps(facts, sort_keys=True) + sha256(dict(tensors))).encode()).hexdigest()


def encode(variables: PyTree, facts: Mapping[str, Any]) -> bytes:
    """The bytes of a file; the same ones for the same variables and facts.

    Args:
      variables: a Flax module's.
      facts: what JSON can hold.
    """
    from safetensors.numpy import save

    flat = traverse_util.flatten_dict(variables, sep=".")
    tensors = {name: np.ascontiguousarray(value) for name, value in sorted(flat.items())}
    signed = {**facts, HASH: _digest(tensors, facts)}
    return save(tensors, {FACTS: json.dumps(signed, sort_keys=True)})


def decode(content: bytes) -> Weights:
    """Reads what :func:`encode` wrote; no code in it is run.

    Raises:
      ValueError: the bytes are something else, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        # The library reads metadata from files only; it has just checked where the header ends.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"][FACTS])
        wanted = facts.pop(HASH)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"no weights of jaxgan's can be read from it ({reason})") from error
    if (found := _digest(tensors, facts)) != wanted:
        raise ValueError(f"its contents hash to {found[:12]}, not {str(wanted)[:12]}")
    variables = traverse_util.unflatten_dict(tensors, sep=".")
    return Weights(jax.tree.map(np.asarray, variables), facts, hashlib.sha256(content).hexdigest())
