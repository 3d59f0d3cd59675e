"""Restores a run's checkpoints and draws samples from them."""

from collections.abc import Callable, Iterator, Mapping
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

CHUNK = 256  # Number of samples that are drawn at a time.


class Run(NamedTuple):
    """A restored run.

    Attributes:
      config: Validated config of the run, or of the stage that the checkpoint belongs to.
      gan: System of the run or stage.
      state: State in the checkpoint, on the host.
      state_sha256: Hash of the state in the checkpoint, before averaged weights were replaced by raw ones.
    """

    config: ConfigDict
    gan: GAN
    state: GANState
    state_sha256: str


def folder(given: str | None) -> Path:
    """Validates the value of ``--workdir`` as the work directory of a run.

    Args:
      given: Value of the flag.

    Returns:
      The folder.

    Raises:
      SetupError: No folder was given, or it holds no run.
    """
    if not given:
        raise SetupError("no --workdir given: give --workdir=DIR, the folder of a run")
    directory = Path(given)
    if not (directory / "config.json").is_file():
        raise SetupError(f"--workdir {directory} holds no run: give a folder that experiments.run wrote")
    return directory


def read_config(directory: Path) -> ConfigDict:
    """Reads and validates the config in the work directory of a run.

    Raises:
      SetupError: The config cannot be read, or is not valid in this version of jaxgan.
    """
    fields = workdir.read_json(directory / "config.json")
    workdir.check_version(directory, fields)
    config = ConfigDict(fields)
    data_section = config.get("data", {})
    if data_section.get("name") == "folder" and not Path(data_section.get("path") or "").is_dir():
        # The folder of images may have moved. Sampling does not need it, and --data.path can replace it.
        data_section.path = ""
    checks.check_all(config)
    return config


def steps(directory: Path) -> list[int]:
    """Returns the steps of a run's checkpoints in ascending order.

    Raises:
      SetupError: There are no checkpoints.
    """
    with checkpoint.open_manager(directory / "checkpoints", read_only=True) as manager:
        found = sorted(manager.all_steps())
    if not found:
        raise SetupError(f"--workdir {directory} has no checkpoint yet: run it further")
    return found


class _BuiltStage(NamedTuple):
    """A stage of a run: its last step, its config, its system, and the shapes of its state."""

    until: int
    config: ConfigDict
    gan: GAN
    abstract: GANState


def _build_stages(directory: Path) -> list[_BuiltStage]:
    stages = []
    for stage in staging.stage_configs(read_config(directory)):
        gan = build.build(stage.config)
        abstract = jax.eval_shape(build.initializer(stage.config, gan))
        stages.append(_BuiltStage(stage.until, stage.config, gan, abstract))
    return stages


def _stage_at(stages: list[_BuiltStage], step: int) -> _BuiltStage:
    untils = [stage.until for stage in stages]
    return stages[stage_of(untils, min(step, untils[-1]))]


def _run_of(stages: list[_BuiltStage], restored: checkpoint.Restored, raw: bool) -> Run:
    state = restored.state
    if raw:
        for name in ("generator", "critic"):
            player = getattr(state, name)
            if player is not None and player.ema_params is not None:
                player = player.replace(ema_params=player.params, ema_model_state=player.model_state)
                state = state.replace(**{name: player})
    stage = _stage_at(stages, int(restored.state.step))
    return Run(stage.config, stage.gan, state, restored.state_sha256)


def restore(directory: Path, *, raw: bool = False, best: bool = False) -> Run:
    """Restores the newest checkpoint of a run; reports and skips damaged checkpoints.

    Args:
      directory: Work directory of the run, from :func:`folder`.
      raw: Whether to replace averaged weights and statistics by raw ones.
      best: Whether to restore the checkpoint of the best score instead of the newest one.

    Returns:
      The run.

    Raises:
      SetupError: The run has no checkpoint yet, no checkpoint can be read, or the config is not valid in
        this version of jaxgan.
    """
    stages = _build_stages(directory)
    path = directory / ("best" if best else "checkpoints")
    if best and not path.is_dir():
        raise SetupError(f"--workdir {directory} has no best checkpoint: its config has no section score")
    with checkpoint.open_manager(path, read_only=True) as manager:
        restored, damaged = checkpoint.restore(manager, lambda step: _stage_at(stages, step).abstract)
    for item in damaged:
        print(f"checkpoint {item.path} is damaged ({item.reason}): skipped", flush=True)
    if restored is None:
        raise SetupError(f"--workdir {directory} has no checkpoint yet: run it further")
    return _run_of(stages, restored, raw)


def restore_each(directory: Path, *, raw: bool = False) -> Iterator[Run]:
    """Restores all checkpoints of a run, oldest first; reports and skips damaged checkpoints.

    Args:
      directory: Work directory of the run, from :func:`folder`.
      raw: Whether to replace averaged weights and statistics by raw ones.

    Yields:
      A run for each checkpoint that can be read.

    Raises:
      SetupError: The run has no checkpoint yet, no checkpoint can be read, or the config is not valid in
        this version of jaxgan.
    """
    stages = _build_stages(directory)
    whole, failure = 0, None
    for step in steps(directory):
        reason = ""
        # The manager is opened anew for each step, because a run that is still training may replace its
        # checkpoints in the meantime.
        with checkpoint.open_manager(directory / "checkpoints", read_only=True) as manager:
            try:
                restored, damaged = checkpoint.restore(
                    manager, lambda at: _stage_at(stages, at).abstract, newest=step
                )
                reason = "".join(f" ({item.reason})" for item in damaged[:1])
            except SetupError as error:  # Neither this checkpoint nor any earlier one can be read.
                restored, failure = None, error
        if restored is not None and int(restored.state.step) == step:
            whole += 1
            yield _run_of(stages, restored, raw)
        else:
            path = directory / "checkpoints" / str(step)
            print(f"checkpoint {path} is damaged{reason}: skipped", flush=True)
    if failure and not whole:
        raise failure


class RunSampler(NamedTuple):
    """Functions that sample from a restored run.

    Attributes:
      sample: ``sample(state, key, rows, given)``, traceable, from
        :func:`experiments.training.sampling.sampler`.
      given: ``given(rows)``, returns ``given`` of ``sample`` for (B,) rows on the host: real samples, and
        the truncation.
      labels: ``labels(key, rows)``, returns the labels that ``sample`` draws, traceable; None if the system
        reads no labels.
    """

    sample: sampling.Sampler
    given: Callable[[np.ndarray], dict[str, Any]]
    labels: Callable[[jax.Array, jax.Array], jax.Array] | None


def run_sampler(run: Run, *, truncation: float | None = None) -> RunSampler:
    """Returns functions that sample from a run under the conditions that its data has.

    The data is opened only if the system reads real samples when it samples.

    Args:
      run: Restored run.
      truncation: Bound on every coordinate of the latents; None for no bound.

    Raises:
      SetupError: A truncation is given, and the system draws no latents.
    """
    if truncation is not None and not factories.takes(factories.factory_of(run.config), "prior"):
        raise SetupError(f"--truncation bounds latents: system {run.config.gan.name} draws none")
    conditions = data.open_conditions(**run.config.data)
    reads_real = bool(sampling.real_field_names(run.gan, conditions))
    source = data.open_source(**run.config.data) if reads_real else None

    def given(rows: np.ndarray) -> dict[str, Any]:
        inputs: dict[str, Any] = sampling.real_fields(run.gan, source, rows) if source else {}
        if truncation is not None:
            inputs["truncation"] = np.full(len(rows), truncation, np.float32)
        return inputs

    labels = sampling.label_sampler(conditions) if "labels" in run.gan.reads else None
    return RunSampler(sampling.sampler(run.gan, conditions), given, labels)


def draw(run: Run, num: int, *, seed: int, truncation: float | None = None) -> Iterator[Any]:
    """Draws samples of rows 0 to num − 1 from a run, see :func:`draw_rows`."""
    return draw_rows(run, np.arange(num), {}, seed=seed, truncation=truncation)


def draw_rows(
    run: Run, rows: np.ndarray, given: Mapping[str, Any], *, seed: int, truncation: float | None = None
) -> Iterator[Any]:
    """Draws samples from a run in chunks, which bounds the memory needed.

    A sample depends only on the seed, its row and its conditions, so the chunk size does not affect the
    samples.

    Args:
      run: Restored run.
      rows: (N,) rows to sample.
      given: Conditions that replace those of the run's data, arrays of shape (N, ...) by name.
      seed: Seed of the latents.
      truncation: Bound on every coordinate of the latents; None for no bound.

    Yields:
      Arrays, or dicts of arrays, of shape (at most ``CHUNK``, ...) and type float32, in the order of the
      rows. Images are in [−1, 1].
    """
    functions, key = run_sampler(run, truncation=truncation), jax.random.key(seed)
    sample = jax.jit(functions.sample)
    for start in range(0, len(rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        inputs = {**functions.given(rows[chunk]), **{name: x[chunk] for name, x in given.items()}}
        yield jax.tree.map(np.asarray, sample(run.state, key, rows[chunk], inputs))
