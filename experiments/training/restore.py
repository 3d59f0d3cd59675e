"""Restores a run's checkpoints and draws samples from them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.training import build, checks, factories, sampling, staging, workdir
from jaxgan import checkpoint, data
from jaxgan.errors import SetupError
from jaxgan.stages import stage_of
from jaxgan.state import GANState
from jaxgan.steps import GAN

CHUNK = 256  # samples at a time


class Run(NamedTuple):
    """What a run's folder holds.

    Attributes:
      config: the run's, checked; of a run of stages, that of the checkpoint's stage.
      gan: its system.
      state: of its newest whole checkpoint, on the host.
      state_sha256: the checkpoint's hash, before anything was put in another's place.
    """

    config: ConfigDict
    gan: GAN
    state: GANState
    state_sha256: str


def folder(given: str | None) -> Path:
    """The run's folder that a user gave as ``--workdir``.

    Raises:
      SetupError: none was given, or it holds no run.
    """
    if not given:
        raise SetupError("no --workdir given: give --workdir=DIR, the folder of a run")
    directory = Path(given)
    if not (directory / "config.json").is_file():
        raise SetupError(f"--workdir {directory} holds no run: give a folder that experiments.run wrote")
    return directory


def read_config(directory: Path) -> ConfigDict:
    """The config of a run's folder.

    Raises:
      SetupError: it cannot be read, or is not one of this version.
    """
    found = workdir.read_json(directory / "config.json")
    workdir.check_version(directory, found)
    config = ConfigDict(found)
    data_section = config.get("data", {})
    if data_section.get("name") == "folder" and not Path(data_section.get("path") or "").is_dir():
        # Its pictures have moved, and sampling needs none of them; --data.path says where they are.
        data_section.path = ""
    checks.check_all(config)
    return config


def steps(directory: Path) -> list[int]:
    """The steps of a run's checkpoints.

    Raises:
      SetupError: there are none.
    """
    with checkpoint.open_manager(directory / "checkpoints", read_only=True) as manager:
        found = sorted(manager.all_steps())
    if not found:
        raise SetupError(f"--workdir {directory} has no checkpoint yet: run it further")
    return found


class _Built(NamedTuple):
    """A stage of a run's folder: its last step, its config, its system, and the shapes of its state."""

    until: int
    config: ConfigDict
    gan: GAN
    abstract: GANState


def _built(directory: Path) -> list[_Built]:
    found = []
    for stage in staging.stage_configs(read_config(directory)):
        gan = build.build(stage.config)
        abstract = jax.eval_shape(build.initializer(stage.config, gan))
        found.append(_Built(stage.until, stage.config, gan, abstract))
    return found


def _stage(stages: list[_Built], step: int) -> _Built:
    untils = [stage.until for stage in stages]
    return stages[stage_of(untils, min(step, untils[-1]))]


def _run(stages: list[_Built], restored: checkpoint.Restored, raw: bool) -> Run:
    state = restored.state
    if raw:
        player = state.generator
        player = player.replace(ema_params=player.params, ema_model_state=player.model_state)
        state = state.replace(generator=player)
    stage = _stage(stages, int(restored.state.step))
    return Run(stage.config, stage.gan, state, restored.state_sha256)


def restore(directory: Path, *, raw: bool = False, best: bool = False) -> Run:
    """Restores a run's newest checkpoint; says of damaged ones that they are skipped.

    Args:
      directory: the run's, from :func:`folder`.
      raw: whether to put raw weights and statistics in the place of averaged ones.
      best: whether to take the checkpoint of the best score instead.

    Returns:
      The run.

    Raises:
      SetupError: the run has no checkpoint yet, none can be read, or its config is not one of this version.
    """
    stages = _built(directory)
    path = directory / ("best" if best else "checkpoints")
    if best and not path.is_dir():
        raise SetupError(f"--workdir {directory} has no best checkpoint: its config has no section score")
    with checkpoint.open_manager(path, read_only=True) as manager:
        restored, damaged = checkpoint.restore(manager, lambda step: _stage(stages, step).abstract)
    for item in damaged:
        print(f"checkpoint {item.path} is damaged ({item.reason}): skipped", flush=True)
    if restored is None:
        raise SetupError(f"--workdir {directory} has no checkpoint yet: run it further")
    return _run(stages, restored, raw)


def restore_each(directory: Path, *, raw: bool = False) -> Iterator[Run]:
    """Restores a run's checkpoints, the oldest first; says of damaged ones that they are skipped.

    Args:
      directory: the run's, from :func:`folder`.
      raw: see :func:`restore`.

    Yields:
      A run for each whole checkpoint.

    Raises:
      SetupError: the run has no checkpoint yet, none can be read, or its config is not one of this version.
    """
    stages = _built(directory)
    whole, failure = 0, None
    for step in steps(directory):
        reason = ""
        # Opened for each: a run that goes on replaces its checkpoints while the first are being scored.
        with checkpoint.open_manager(directory / "checkpoints", read_only=True) as manager:
            try:
                restored, damaged = checkpoint.restore(
                    manager, lambda at: _stage(stages, at).abstract, newest=step
                )
                reason = "".join(f" ({item.reason})" for item in damaged[:1])
            except SetupError as error:  # neither it can be read nor any before it
                restored, failure = None, error
        if restored is not None and int(restored.state.step) == step:
            whole += 1
            yield _run(stages, restored, raw)
        else:
            path = directory / "checkpoints" / str(step)
            print(f"checkpoint {path} is damaged{reason}: skipped", flush=True)
    if failure and not whole:
        raise failure


class Asked(NamedTuple):
    """What a run's samples are asked for.

    Attributes:
      sample: ``sample(state, key, rows, given)``, traceable, see
        :func:`experiments.training.sampling.sampler`.
      given: ``given(rows)``, what it needs for (B,) rows on the host: real samples, a truncation.
      labels: ``labels(key, rows)``, the classes asked for, traceable; None if the system reads none.
    """

    sample: sampling.Sampler
    given: Callable[[np.ndarray], dict[str, Any]]
    labels: Callable[[jax.Array, jax.Array], jax.Array] | None


def asked(run: Run, *, truncation: float | None = None) -> Asked:
    """Returns what a run's samples are asked for, by the conditions that its data has.

    The data is opened only if the system reads real samples when it samples.

    Args:
      run: restored.
      truncation: bound on every coordinate of the latents; None for no bound.
    """
    if truncation is not None and not factories.takes(factories.factory_of(run.config), "prior"):
        raise SetupError(f"--truncation bounds latents: system {run.config.gan.name} draws none")
    conditions = data.open_conditions(**run.config.data)
    needs = sampling.missing(run.gan, conditions)
    source = data.open_source(**run.config.data) if needs else None

    def given(rows: np.ndarray) -> dict[str, Any]:
        found: dict[str, Any] = sampling.of_sources(run.gan, source, rows) if source else {}
        if truncation is not None:
            found["truncation"] = np.full(len(rows), truncation, np.float32)
        return found

    labels = sampling.labels_of(conditions) if "labels" in run.gan.reads else None
    return Asked(sampling.sampler(run.gan, conditions), given, labels)


def draw(run: Run, num: int, *, seed: int, truncation: float | None = None) -> Iterator[Any]:
    """Draws samples in pieces, for memory; a sample depends on its row alone, so pieces change nothing.

    Args:
      run: restored.
      num: how many samples in all.
      seed: of the latents.
      truncation: bound on every coordinate of the latents; None for no bound.

    Yields:
      Arrays, or dicts of them, (at most ``CHUNK``, ...) float32: rows 0 to num − 1, images in [−1, 1].
    """
    what, key = asked(run, truncation=truncation), jax.random.key(seed)
    sample = jax.jit(what.sample)
    for start in range(0, num, CHUNK):
        rows = np.arange(start, min(start + CHUNK, num))
        yield jax.tree.map(np.asarray, sample(run.state, key, rows, what.given(rows)))
