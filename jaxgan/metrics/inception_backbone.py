"""InceptionV3 with the weights of 2015, which FID, KID and the Inception score are defined with."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import files, parallel
from jaxgan.errors import SetupError
from jaxgan.metrics.backbone import Backbone, as_rgb
from jaxgan.models import inception_layers, inception_v3
from jaxgan.ops import resize

Array = jax.Array

NAME = "inception-v3-2015-12-05"
RESIZE = (
    "bilinear to 299×299 as TensorFlow 1 with align_corners=False: no half-pixel centres, no antialiasing;"
    " then (x - 128) / 128"
)
# Of pt_inception-2015-12-05-6726825d.pth; torch-fidelity's weights-inception-... is the same file.
PUBLIC_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
CHUNK = 16  # images at a time on a CPU, whose caches hold no more: 0.84 of the time that 64 at once take
_HOW = "write it with python -m experiments.inception"


def content_sha256(state: Mapping[str, np.ndarray]) -> str:
    """Of all tensors with their names and shapes, however a file arranges them."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {state[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(state[name]).data)
    return digest.hexdigest()


def check(state: Mapping[str, np.ndarray], name: str) -> None:
    """Refuses tensors that are not this network's.

    Raises:
      SetupError: one is missing or of another shape or type.
    """
    for key, shape in inception_layers.shapes().items():
        if key not in state:
            raise SetupError(f"{name} has no tensor {key}: it is not the InceptionV3 of FID")
        if state[key].shape != shape or state[key].dtype != np.float32:
            raise SetupError(
                f"{name}: tensor {key} is {state[key].dtype} of shape {state[key].shape},"
                f" not float32 of {shape}: it is not the InceptionV3 of FID"
            )


def save(path: Path, state: Mapping[str, np.ndarray], *, source_sha256: str) -> None:
    """Writes the network's tensors as safetensors, whole or not at all; several processes may do so.

    Args:
      path: the file.
      state: by the public checkpoint's names; only :func:`jaxgan.models.inception_layers.shapes` is kept.
      source_sha256: of the file that they came from.

    Raises:
      SetupError: a tensor is missing or of another shape or type.
      OSError: the file cannot be written.
    """
    from safetensors.numpy import save as encode

    check(state, "the checkpoint")
    kept = {name: np.ascontiguousarray(state[name]) for name in inception_layers.shapes()}
    metadata = {"network": NAME, "source_sha256": source_sha256, "content_sha256": content_sha256(kept)}
    # Not by safetensors itself, whose errors on writing are none of the system's.
    files.write(path, encode(kept, metadata))


def read(path: Path, *, source_sha256: str) -> dict[str, np.ndarray]:
    """The tensors that :func:`save` wrote.

    Args:
      path: the file.
      source_sha256: of the file that they must have come from.

    Raises:
      SetupError: there is no such file, it is another, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SetupError(f"there is no file {path} of Inception weights: {_HOW}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SetupError(f"{path} is no safetensors file, or is damaged: {error}; {_HOW}") from error
    if metadata.get("network") != NAME:
        raise SetupError(f"{path} does not hold the weights of {NAME}: {_HOW}")
    if metadata.get("source_sha256") != source_sha256:
        raise SetupError(
            f"{path} was made from a file of SHA-256 {metadata.get('source_sha256')},"
            f" not {source_sha256}: {_HOW}"
        )
    check(state, str(path))
    if metadata.get("content_sha256") != content_sha256(state):
        raise SetupError(f"{path} is damaged, its tensors are not those that were written: {_HOW}")
    return state


def _resized(images: Array) -> Array:
    return (resize.tensorflow1(as_rgb(images), (inception_v3.SIZE, inception_v3.SIZE)) - 128) / 128


_resize = jax.jit(_resized)  # by itself, so that the network is compiled once for pictures of all sizes


def _outputs(variables: Mapping[str, Any], x: Array) -> dict[str, Array]:
    return cast(dict[str, Array], inception_v3.InceptionV3().apply(variables, x))


def _in_turn(variables: Mapping[str, Any], x: Array) -> dict[str, Array]:
    """As :func:`_outputs`, ``CHUNK`` images at a time where that divides the batch."""
    times = len(x) // CHUNK
    if times < 2 or len(x) % CHUNK:
        return _outputs(variables, x)
    # Every so many-th image: devices that have a part of the batch each have a part of every chunk.
    chunks = jnp.moveaxis(x.reshape(CHUNK, times, *x.shape[1:]), 1, 0)
    found = jax.lax.map(functools.partial(_outputs, variables), chunks)
    return {name: jnp.moveaxis(values, 0, 1).reshape(len(x), -1) for name, values in found.items()}


@functools.partial(jax.jit, compiler_options=parallel.CPU_OPTIONS)
def _network(variables: Mapping[str, Any], x: Array) -> dict[str, Array]:
    return jax.lax.platform_dependent(variables, x, cpu=_in_turn, default=_outputs)


def _apply(variables: Mapping[str, Any], images: Array) -> dict[str, Array]:
    if isinstance(images, jax.core.Tracer):
        return _outputs(variables, _resized(images))
    return _network(variables, _resize(images))


def load(path: Path, *, source_sha256: str = PUBLIC_SHA256) -> Backbone:
    """The backbone of a file that ``python -m experiments.inception`` wrote.

    Args:
      path: the safetensors file.
      source_sha256: of the checkpoint that it was made from.

    Returns:
      The backbone; besides "features" and "logits" it gives "64", "192", "768", "2048" and
      "logits_unbiased", see :class:`jaxgan.models.inception_v3.InceptionV3`.

    Raises:
      SetupError: there is no such file, it is another, or it is damaged.
    """
    variables = jax.tree.map(jnp.asarray, inception_layers.fold(read(path, source_sha256=source_sha256)))
    return Backbone(NAME, source_sha256, RESIZE, functools.partial(_apply, variables))
