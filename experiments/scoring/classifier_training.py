"""Training of small classifiers on distorted images by Adam with a cosine schedule."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.cli.exits import RunFailed
from jaxgan import data, parallel
from jaxgan.models.small_classifier import Classifier
from jaxgan.state import TrainState

Array = jax.Array
PyTree = Any

SHAPE = (28, 28, 1)
CHUNK = 1000  # number of test images per call


class Recipe(NamedTuple):
    """Settings that determine a classifier's weights together with its data.

    Attributes:
      epochs: Number of passes through the training images.
      rotation: Largest rotation of an image in degrees, in either direction.
      zoom: Largest zoom of an image, as factors from 1 / (1 + zoom) to 1 + zoom.
      shift: Largest shift of an image in pixels along each axis, in either direction.
      batch_size: Number of images per step.
      learning_rate: Initial learning rate of Adam, which decays to 0 on half a cosine.
      width: Number of feature maps after the first convolution.
      features: Length of the features.
      seed: Seed of the initial weights, the order and the distortions.
    """

    epochs: int
    rotation: float
    zoom: float
    shift: float
    batch_size: int = 128
    learning_rate: float = 2e-3
    width: int = 32
    features: int = 64
    seed: int = 0


class Split(NamedTuple):
    """Training and test data: (N, 28, 28, 1) uint8 images with (N,) int32 labels."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def warp(images: Array, matrices: Array, shifts: Array) -> Array:
    """Applies affine maps to images by bilinear interpolation, with zeros outside of the images.

    out(p) = image(c + M (p − c) + t),  c the centre

    Args:
      images: (B, H, W, C) float images.
      matrices: (B, 2, 2) matrices M, which act on (row, column) coordinates.
      shifts: (B, 2) shifts t in pixels.

    Returns:
      (B, H, W, C) warped images.
    """
    sides = images.shape[1:3]
    centre = (jnp.array(sides) - 1) / 2
    pixels = jnp.stack(jnp.meshgrid(*map(jnp.arange, sides), indexing="ij"), -1) - centre
    # This is a sum because a matrix product may be computed in lower precision.
    places = jnp.sum(matrices[:, None, None] * pixels[:, :, None], -1) + centre + shifts[:, None, None]

    def read(image: Array, places: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(image, [places[..., 0], places[..., 1]], order=1)

    return jax.vmap(jax.vmap(read, (2, None), 2))(images, places)


def distort(images: Array, key: Array, *, rotation: float, zoom: float, shift: float) -> Array:
    """Rotates, zooms and shifts each image at random, uniformly within bounds.

    Args:
      images: (B, H, W, C) float images.
      key: PRNG key.
      rotation: Largest rotation in degrees, in either direction.
      zoom: Largest zoom. Factors are drawn from 1 / (1 + zoom) to 1 + zoom, uniformly in their logarithm.
      shift: Largest shift in pixels along each axis, in either direction.

    Returns:
      (B, H, W, C) distorted images, see :func:`warp`.
    """
    noise = jax.random.uniform(key, (len(images), 4), minval=-1.0)
    angle, factor = jnp.deg2rad(rotation) * noise[:, 0], (1.0 + zoom) ** noise[:, 1]
    cos, sin = factor * jnp.cos(angle), factor * jnp.sin(angle)
    matrices = jnp.stack([jnp.stack([cos, -sin], 1), jnp.stack([sin, cos], 1)], 1)
    return warp(images, matrices, shift * noise[:, 2:])


def train(split: Split, recipe: Recipe) -> PyTree:
    """Trains a classifier and prints a line per epoch.

    Args:
      split: Data, of which the test images are not used.
      recipe: Settings of the training.

    Returns:
      The variables of a :class:`Classifier`, on the host.

    Raises:
      RunFailed: The loss is not finite.
    """
    model = Classifier(width=recipe.width, features=recipe.features)
    count = len(split.train_images) // recipe.batch_size
    tx = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.epochs * count))
    bounds = {"rotation": recipe.rotation, "zoom": recipe.zoom, "shift": recipe.shift}
    key = jax.random.key(recipe.seed)

    def step(state: TrainState, batch: Mapping[str, Array]) -> tuple[TrainState, Array]:
        images, labels = batch["images"][batch["rows"]], batch["labels"][batch["rows"]]
        # Distortions fill the border with 0, which is also the background of digits and clothes.
        distorted = distort(images.astype(jnp.float32), batch["key"], **bounds)
        real = data.to_float({"real": distorted})["real"]

        def loss(params: PyTree) -> tuple[Array, PyTree]:
            variables = {"params": params, **state.model_state}
            out, model_state = model.apply(variables, real, train=True, mutable=["batch_stats"])
            losses = optax.softmax_cross_entropy_with_integer_labels(out["logits"], labels)
            return jnp.mean(losses), model_state

        (value, model_state), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads, model_state, tx, state.updates), value

    variables = model.init(jax.random.fold_in(key, 0), jnp.zeros((1, *SHAPE)), train=False)
    # Training uses one device, because the order of sums would depend on the number of devices.
    mesh = parallel.device_mesh(jax.local_devices()[:1])
    state = parallel.replicate(TrainState.create(variables=variables, tx=tx, ema=False), mesh)
    arrays = parallel.replicate({"images": split.train_images, "labels": split.train_labels}, mesh)
    run = parallel.jit_step(step, mesh)
    for epoch in range(1, recipe.epochs + 1):
        order_key, distortion_key = jax.random.split(jax.random.fold_in(key, epoch))
        order = np.asarray(jax.random.permutation(order_key, len(split.train_images)))
        losses = []
        for number in range(count):
            rows = order[number * recipe.batch_size :][: recipe.batch_size]
            noise = jax.random.fold_in(distortion_key, number)
            state, value = run(state, {**arrays, "rows": rows, "key": noise})
            losses.append(value)
        mean = float(np.mean(jax.device_get(losses)))
        if not np.isfinite(mean):
            raise RunFailed(f"the classifier's loss is {mean} in epoch {epoch} of {recipe.epochs}")
        print(f"epoch {epoch} of {recipe.epochs}: loss {mean:.4f}", flush=True)
    return jax.device_get({"params": state.params, **state.model_state})


def accuracy(
    apply: Callable[[Array], Mapping[str, Array]], images: np.ndarray, labels: np.ndarray
) -> float:
    """Computes the share of images whose label has the largest logit."""
    compiled = jax.jit(lambda images: jnp.argmax(apply(images)["logits"], axis=-1))
    pieces = range(0, len(images), CHUNK)
    return float(np.mean(np.concatenate([compiled(images[i : i + CHUNK]) for i in pieces]) == labels))
