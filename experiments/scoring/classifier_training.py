"""How a small classifier is trained: on distorted images, by Adam at a rate that falls as a cosine."""

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
Apply = Callable[[Array], Mapping[str, Array]]

SHAPE = (28, 28, 1)
CHUNK = 1000  # test images at a time


class Recipe(NamedTuple):
    """What fixes a classifier's weights besides its data.

    Attributes:
      epochs: passes through the training images.
      rotation: each image is turned by up to so many degrees, either way,
      zoom: made up to (1 + zoom) times larger or smaller,
      shift: and moved by up to so many pixels along each axis.
      batch_size: images a step.
      learning_rate: of Adam at the start; it falls to 0 as half a cosine does.
      width: feature maps after the first convolution.
      features: length of the features.
      seed: of the initial weights, the order and the distortions.
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
    """Images of the network's shape, uint8, and their int32 labels, for training and for the test."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def warp(images: Array, matrices: Array, shifts: Array) -> Array:
    """Images pulled through affine maps, by bilinear interpolation; zeros lie around them.

    out(p) = image(c + M (p − c) + t),  c the centre

    Args:
      images: (B, H, W, C) float.
      matrices: (B, 2, 2) M, of rows and columns.
      shifts: (B, 2) t, in pixels.

    Returns:
      (B, H, W, C).
    """
    sides = images.shape[1:3]
    centre = (jnp.array(sides) - 1) / 2
    pixels = jnp.stack(jnp.meshgrid(*map(jnp.arange, sides), indexing="ij"), -1) - centre
    # A sum, for a matrix product may be rounded to fewer digits.
    places = jnp.sum(matrices[:, None, None] * pixels[:, :, None], -1) + centre + shifts[:, None, None]

    def read(image: Array, places: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(image, [places[..., 0], places[..., 1]], order=1)

    return jax.vmap(jax.vmap(read, (2, None), 2))(images, places)


def distort(images: Array, key: Array, *, rotation: float, zoom: float, shift: float) -> Array:
    """Each image turned, zoomed and moved at random, uniformly within bounds.

    Args:
      images: (B, H, W, C) float.
      key: a PRNG key.
      rotation: in degrees, either way.
      zoom: by factors from 1 / (1 + zoom) to 1 + zoom, uniform in their logarithm.
      shift: in pixels, either way, along each axis.

    Returns:
      (B, H, W, C), see :func:`warp`.
    """
    noise = jax.random.uniform(key, (len(images), 4), minval=-1.0)
    angle, factor = jnp.deg2rad(rotation) * noise[:, 0], (1.0 + zoom) ** noise[:, 1]
    cos, sin = factor * jnp.cos(angle), factor * jnp.sin(angle)
    matrices = jnp.stack([jnp.stack([cos, -sin], 1), jnp.stack([sin, cos], 1)], 1)
    return warp(images, matrices, shift * noise[:, 2:])


def train(split: Split, recipe: Recipe) -> PyTree:
    """Trains on a split's training images, and prints a line an epoch.

    Args:
      split: the data; the test's part is not looked at.
      recipe: how.

    Returns:
      The variables of a :class:`Classifier`, on the host.

    Raises:
      RunFailed: the loss is not finite.
    """
    model = Classifier(width=recipe.width, features=recipe.features)
    count = len(split.train_images) // recipe.batch_size
    tx = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.epochs * count))
    bounds = {"rotation": recipe.rotation, "zoom": recipe.zoom, "shift": recipe.shift}
    key = jax.random.key(recipe.seed)

    def step(state: TrainState, batch: Mapping[str, Array]) -> tuple[TrainState, Array]:
        images, labels = batch["images"][batch["rows"]], batch["labels"][batch["rows"]]
        # Around a digit, and around clothes, all is 0: what comes in at the edges looks like it.
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
    # One device, for as many as there are would sum in another order each time.
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
    """The share of images whose largest logit is their label's."""
    compiled = jax.jit(lambda images: jnp.argmax(apply(images)["logits"], axis=-1))
    pieces = range(0, len(images), CHUNK)
    return float(np.mean(np.concatenate([compiled(images[i : i + CHUNK]) for i in pieces]) == labels))
