"""InceptionV3 with the weights of 2015, with which FID, KID and the Inception score are defined."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import files, parallel, weights
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
# This is the hash of pt_inception-2015-12-05-6726825d.pth. The file of torch-fidelity,
# weights-inception-2015-12-05-6726825d.pth, has the same content.
PUBLIC_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
# Number of images that a CPU processes at a time. More activations do not fit into its caches.
CHUNK = 16
_HOW = "write it with python -m experiments.inception"


def check(state: Mapping[str, np.ndarray], name: str) -> None:
    """Checks that the tensors of this network are complete.

    Args:
      state: Tensors by their names in the public checkpoint.
      name: Name of their source for error messages.

    Raises:
      SetupError: A tensor is missing or has another shape or type.
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
    """Writes the network's tensors to a weight file; several processes may write the same file.

    Args:
      path: Path of the file to write. An error leaves a previous file unchanged.
      state: Tensors by their names in the public checkpoint. Tensors other than those of
        :func:`jaxgan.models.inception_layers.shapes` are ignored.
      source_sha256: SHA-256 of the checkpoint that the tensors come from.

    Raises:
      SetupError: A tensor is missing or has another shape or type.
      OSError: The file cannot be written.
    """
    check(state, "the checkpoint")
    kept = {name: state[name] for name in inception_layers.shapes()}
    files.write(path, weights.encode(kept, {"network": NAME, "source_sha256": source_sha256}))


def read(path: Path, *, source_sha256: str) -> dict[str, np.ndarray]:
    """Reads the tensors that :func:`save` wrote.

    Args:
      path: Path of the file.
      source_sha256: SHA-256 of the checkpoint that the tensors must come from.

    Returns:
      Tensors by their names in the public checkpoint.

    Raises:
      SetupError: The file is missing, damaged, or holds other weights.
    """
    if not path.is_file():
        raise SetupError(f"there is no file {path} of Inception weights: {_HOW}")
    try:
        found = weights.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be used as Inception weights: {error}; {_HOW}") from error
    if found.facts.get("network") != NAME:
        raise SetupError(f"{path} does not hold the weights of {NAME}: {_HOW}")
    if (source := found.facts.get("source_sha256")) != source_sha256:
        raise SetupError(f"{path} was made from a file of SHA-256 {source}, not {source_sha256}: {_HOW}")
    check(found.tensors, str(path))
    return dict(found.tensors)


def _resized(images: Array) -> Array:
    return (resize.tensorflow1(as_rgb(images), (inception_v3.SIZE, inception_v3.SIZE)) - 128) / 128


# Resizing is compiled by itself, so that the network is compiled only once for images of all sizes.
_resize = jax.jit(_resized)


def _outputs(variables: Mapping[str, Any], x: Array) -> dict[str, Array]:
    return cast(dict[str, Array], inception_v3.InceptionV3().apply(variables, x))


def _in_turn(variables: Mapping[str, Any], x: Array) -> dict[str, Array]:
    """Computes :func:`_outputs` in chunks of ``CHUNK`` images if the chunks divide the batch evenly."""
    times = len(x) // CHUNK
    if times < 2 or len(x) % CHUNK:
        return _outputs(variables, x)
    # A chunk takes images at even distances, so that every device of a sharded batch has a share of each
    # chunk.
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
    """Loads the backbone from a file that ``python -m experiments.inception`` wrote.

    Args:
      path: Path of the weight file.
      source_sha256: SHA-256 of the checkpoint that the file was made from.

    Returns:
      The backbone. Its outputs are "features", "logits", "64", "192", "768", "2048" and "logits_unbiased",
      see :class:`jaxgan.models.inception_v3.InceptionV3`.

    Raises:
      SetupError: The file is missing, damaged, or holds other weights.
    """
    variables = jax.tree.map(jnp.asarray, inception_layers.fold(read(path, source_sha256=source_sha256)))
    return Backbone(NAME, source_sha256, RESIZE, functools.partial(_apply, variables))
