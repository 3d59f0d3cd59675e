"""What sets of images come to before a network: features and their moments; references are kept."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli import cache
from experiments.scoring import image_sets
from experiments.scoring.image_sets import ImageSet
from experiments.training import restore
from jaxgan import files, latents, parallel
from jaxgan.errors import SetupError
from jaxgan.metrics import moments
from jaxgan.metrics.backbone import Backbone
from jaxgan.metrics.path_length import perceptual_path_length

PIXELS = 10_000
REVISION = 1  # of how references are measured: another one's are not used
WALK_KEY = 0x3A1C
QUANTISATION = (
    "uint8: samples as saved PNGs are, (x + 1) · 127.5 rounded half to even and clipped; files as read"
)


class Measured(NamedTuple):
    """A set of images as a network sees it.

    Attributes:
      moments: of its features.
      features: (N, D) float32, None where moments suffice.
      logits: (N, K) float32, None where not asked for, as the two below.
      labels: (N,) int32, None where the set has none.
      pixels: (at most ``PIXELS``, H, W, C) uint8, the first images.
    """

    moments: moments.Moments
    features: Any = None
    logits: Any = None
    labels: Any = None
    pixels: Any = None


def measure(images: ImageSet, backbone: Backbone, needs: Sequence[str]) -> Measured:
    """Runs a network over a set, each batch split over all devices.

    Args:
      images: the set.
      backbone: the network.
      needs: fields of ``Measured`` to keep besides the moments.

    Raises:
      SetupError: an image cannot be read any more, or features are not finite.
    """
    mesh = parallel.device_mesh()
    size = -(-image_sets.BATCH // mesh.size) * mesh.size
    total: moments.Moments | None = None
    kept: dict[str, list[np.ndarray]] = {name: [] for name in needs}
    seen = 0
    for batch in images.batches():
        count = len(batch.images)
        # One shape for all batches: the last is filled up, and what fills it is dropped behind the network.
        full = np.concatenate([batch.images, np.repeat(batch.images[-1:], size - count, 0)])
        found = backbone.apply(parallel.shard_batch({"images": full}, mesh, axis=0)["images"])
        # The Inception score is made of logits without the last layer's bias, where there are such.
        logits = found.get("logits_unbiased", found["logits"])
        values: dict[str, Any] = {"features": found["features"], "logits": logits}
        if count < size:
            values = {name: array[:count] for name, array in values.items()}
        if not jnp.isfinite(values["features"]).all():
            raise SetupError(f"{backbone.name} gives features that are not finite numbers: its weights?")
        if total is None:
            total = moments.empty(values["features"].shape[1])
        # Where they lie: each device sums its own share, and the shares are summed.
        total = moments.update(total, values["features"])
        values |= {"pixels": batch.images[: max(PIXELS - seen, 0)], "labels": batch.labels}
        seen += count
        for name in needs:
            if values[name] is not None:
                kept[name].append(np.asarray(values[name]))
    assert total is not None
    return Measured(total, **{name: np.concatenate(parts) for name, parts in kept.items() if parts})


def key_of(facts: Mapping[str, Any]) -> str:
    """The key of something in the cache: SHA-256 over what it was made from."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def reference(images: ImageSet, backbone: Backbone, needs: Sequence[str]) -> Measured:
    """Like :func:`measure`, but kept in the user's cache folder under the key of what it is made from.

    A file of the cache that cannot be read, or does not hold what its name says, is made anew.
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
    path = folder / f"{key_of(facts)}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            counted = moments.Moments(*(found.pop(name) for name in moments.Moments._fields))
            if missing := [name for name in needs if name not in found and name != "labels"]:
                raise ValueError(f"it lacks {', '.join(missing)}")  # labels, not every set has
            return Measured(counted, **found)
        except Exception as error:  # whatever a damaged file makes the reader say
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
    """Someone's statistics of a reference, an ``.npz`` of ``mu`` and ``sigma``, and what the receipt says.

    Raises:
      SetupError: it cannot be read, holds something else, or would need pickle.
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
    facts = {"statistics": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    # Of how many samples they are the file does not say: of enough.
    count = len(mean) + 2.0
    return Measured(moments.Moments(np.array(count), mean, covariance * (count - 1))), facts


def path_length(
    run: restore.Run,
    backbone: Backbone,
    *,
    asked: restore.Asked,
    truncation: float | None,
    num: int,
    seed: int,
) -> float:
    """The perceptual path length of a run's generator, by distances of a network's features.

    Images go to the network as they are, in [0, 255]: quantised, most of so small steps would be lost.

    Args:
      run: restored.
      backbone: the network; its ``apply`` must take float images.
      truncation: bound on every coordinate of the latents; None for no bound.
      num: how many paths.
      seed: of their ends.
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

    # The two ends of a walk are of one row, and so are asked for under the same conditions.
    @jax.jit
    def generate(z: jax.Array) -> jax.Array:
        return (asked.sample(state, key, jnp.zeros(len(z), jnp.int32), {"z": z}) + 1) * 127.5

    @jax.jit
    def distance(a: jax.Array, b: jax.Array) -> jax.Array:
        features = [backbone.apply(images)["features"] for images in (a, b)]
        return jnp.sum(jnp.square(features[0] - features[1]), -1)

    # An arc keeps the length that normal latents have; of uniform ones it would leave the cube.
    space = "z" if latent.prior == "normal" else "w"
    return perceptual_path_length(generate, distance, *ends, space=space, seed=seed).mean
