"""Extracts image features and their moments, and caches those of references."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli import cache
from experiments.scoring import image_sets
from experiments.scoring.image_sets import ImageSet
from experiments.training import restore
from jaxgan import files, hashing, latents, parallel
from jaxgan.errors import SetupError
from jaxgan.metrics import moments
from jaxgan.metrics.backbone import Backbone
from jaxgan.metrics.path_length import perceptual_path_length

PIXELS = 10_000  # largest number of images whose pixels are kept
REVISION = 1  # revision of the computation of references; cached references of other revisions are not used
WALK_KEY = 0x3A1C
QUANTISATION = (
    "uint8: samples as saved PNGs are, (x + 1) · 127.5 rounded half to even and clipped; files as read"
)


class Measured(NamedTuple):
    """The outputs of a network for a set of images.

    All fields but ``moments`` are None if they were not requested.

    Attributes:
      moments: Moments of the features.
      features: (N, D) float32 features.
      logits: (N, K) float32 logits.
      labels: (N,) int32 labels, or None if the set has no labels.
      pixels: (at most ``PIXELS``, H, W, C) uint8 pixels of the first images.
    """

    moments: moments.Moments
    features: Any = None
    logits: Any = None
    labels: Any = None
    pixels: Any = None


def measure(images: ImageSet, backbone: Backbone, needs: Sequence[str]) -> Measured:
    """Applies a network to a set of images, with each batch split over all devices.

    Args:
      images: Set of images.
      backbone: Network to apply.
      needs: Fields of ``Measured`` to keep in addition to the moments.

    Raises:
      SetupError: An image can no longer be read, or features are not finite.
    """
    mesh = parallel.device_mesh()
    size = -(-image_sets.BATCH // mesh.size) * mesh.size
    total: moments.Moments | None = None
    kept: dict[str, list[np.ndarray]] = {name: [] for name in needs}
    seen = 0
    for batch in images.batches():
        count = len(batch.images)
        # The last batch is padded to the shape of the others, and the padding is dropped from the outputs.
        full = np.concatenate([batch.images, np.repeat(batch.images[-1:], size - count, 0)])
        found = backbone.apply(parallel.shard_batch({"images": full}, mesh, axis=0)["images"])
        # The Inception score uses logits without the bias of the last layer, if the network has them.
        logits = found.get("logits_unbiased", found["logits"])
        values: dict[str, Any] = {"features": found["features"], "logits": logits}
        if count < size:
            values = {name: array[:count] for name, array in values.items()}
        if not jnp.isfinite(values["features"]).all():
            raise SetupError(f"{backbone.name} gives features that are not finite: check its weights")
        if total is None:
            total = moments.empty(values["features"].shape[1])
        # The features stay on their devices. Each device sums its own part before the parts are added.
        total = moments.update(total, values["features"])
        values |= {"pixels": batch.images[: max(PIXELS - seen, 0)], "labels": batch.labels}
        seen += count
        for name in needs:
            if values[name] is not None:
                kept[name].append(np.asarray(values[name]))
    assert total is not None
    return Measured(total, **{name: np.concatenate(parts) for name, parts in kept.items() if parts})


def reference(images: ImageSet, backbone: Backbone, needs: Sequence[str]) -> Measured:
    """Returns the result of :func:`measure` from the user's cache folder, which is filled if necessary.

    The name of the cached file is a hash of all inputs. A cached file that cannot be read or lacks a
    requested field is computed again.
    """
    facts = {
        "images": images.facts["sha256"],
        "backbone": [backbone.name, backbone.sha256, backbone.resize],
        "needs": sorted(needs),
        "made_by": [REVISION, PIXELS, jax.__version__],
    }
    folder = cache.folder("references")
    if folder is None:
        return measure(images, backbone, needs)
    path = folder / f"{hashing.sha256_of_json(facts)}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            counted = moments.Moments(*(found.pop(name) for name in moments.Moments._fields))
            if missing := [name for name in needs if name not in found and name != "labels"]:
                raise ValueError(f"it lacks {', '.join(missing)}")  # Labels may be missing from the set.
            return Measured(counted, **found)
        except Exception as error:  # The reader raises many types of exceptions for damaged files.
            print(f"{path} cannot be read ({type(error).__name__}): made anew", flush=True)
    measured = measure(images, backbone, needs)
    arrays = {
        **{name: np.asarray(value) for name, value in measured.moments._asdict().items()},
        **{name: value for name in needs if (value := getattr(measured, name)) is not None},
    }
    try:
        with files.whole(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        print(f"{path} is not kept: {error}", flush=True)
    return measured


def statistics(path: Path) -> tuple[Measured, dict[str, Any]]:
    """Reads the statistics of a reference from an ``.npz`` file with the arrays ``mu`` and ``sigma``.

    Args:
      path: Path of the file.

    Returns:
      The moments, and facts about the file for the receipt.

    Raises:
      SetupError: The file cannot be read, holds other arrays, or would need pickle.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, covariance = (np.asarray(file[name], np.float64) for name in ("mu", "sigma"))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise SetupError(
            f"--reference {path} cannot be read: {' '.join(str(error).split())}; give an .npz of the arrays"
            " mu and sigma"
        ) from error
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean),) * 2:
        raise SetupError(
            f"--reference {path} has mu of shape {mean.shape}, sigma of {covariance.shape}: give (D,) and"
            " (D, D)"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise SetupError(f"--reference {path} holds a NaN or an infinity: give finite mu and sigma")
    scale = np.abs(covariance).max()
    values = np.linalg.eigvalsh(covariance)
    if np.abs(covariance - covariance.T).max() > 1e-6 * scale or values[0] < -1e-6 * scale:
        raise SetupError(
            f"--reference {path} has a sigma that is no covariance: give a symmetric one without negative"
            " eigenvalues"
        )
    facts = {"statistics": path.name, "sha256": hashing.sha256_of_file(path)}
    # The file does not contain the number of samples. More than D samples cause no warning about a bias.
    count = len(mean) + 2.0
    return Measured(moments.Moments(np.array(count), mean, covariance * (count - 1))), facts


def path_length(
    run: restore.Run,
    backbone: Backbone,
    *,
    asked: restore.RunSampler,
    truncation: float | None,
    num: int,
    seed: int,
) -> float:
    """Computes the perceptual path length of a run's generator from distances of a network's features.

    The network gets float images in [0, 255], because quantisation would remove most of the small steps.

    Args:
      run: Restored run.
      backbone: Network whose ``apply`` accepts float images.
      asked: Sampler of the run, with the conditions of the samples.
      truncation: Bound on every coordinate of the latents, or None for no bound.
      num: Number of paths.
      seed: Seed of the ends of the paths.

    Raises:
      SetupError: The system reads conditions or draws no latents.
    """
    if run.gan.reads:
        raise SetupError(
            f"metric path_length: system {run.config.gan.name} reads {', '.join(run.gan.reads)}, and a walk"
            " between latents would be that of one condition"
        )
    if "latent" not in run.config:
        raise SetupError(f"metric path_length walks between latents: {run.config.gan.name} draws none")
    latent, state = run.config.latent, run.state
    key = jax.random.fold_in(jax.random.key(seed), WALK_KEY)
    ends = [
        latents.PRIORS[latent.prior](
            latents.row_keys(jax.random.fold_in(key, end), jnp.arange(num)),
            dim=latent.dim,
            truncation=truncation,
        )
        for end in range(2)
    ]

    # Both ends of a step belong to the same row and therefore have the same conditions.
    @jax.jit
    def generate(z: jax.Array) -> jax.Array:
        return (asked.sample(state, key, jnp.zeros(len(z), jnp.int32), {"z": z}) + 1) * 127.5

    @jax.jit
    def distance(a: jax.Array, b: jax.Array) -> jax.Array:
        features = [backbone.apply(images)["features"] for images in (a, b)]
        return jnp.sum(jnp.square(features[0] - features[1]), -1)

    # An arc keeps the length of normal latents. Arcs between uniform latents would leave the cube.
    space = "z" if latent.prior == "normal" else "w"
    return perceptual_path_length(generate, distance, *ends, space=space, seed=seed).mean
