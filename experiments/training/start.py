"""Preparation of runs and sweeps: their checks, their work directories, and the stages of a run."""

from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments.training import checks, run_program, staging, sweep_points, workdir
from jaxgan import parallel
from jaxgan.errors import SetupError


def open_run(config: ConfigDict, directory: Path, mesh: jax.sharding.Mesh) -> list[run_program.Part]:
    """Builds the stages of a run, opens their data and makes its work directory.

    Args:
      config: Config of the run, checked by ``checks.check_all``.
      directory: Work directory of the run.
      mesh: Devices that share each batch.

    Returns:
      The stages, in order.

    Raises:
      SetupError: The work directory belongs to another config, the devices cannot share a batch, or a stage
        cannot be built. Nothing is written in this case.
    """
    workdir.check_owner(directory, config)
    for stage in staging.stage_configs(config):
        # Under pmap, each device cuts its own rows into slices.
        pmapped = config.get("parallel", "jit") == "pmap"
        slices = stage.config.get("accumulate", 1) if pmapped else 1
        parallel.check_batch_size(stage.config.batch_size, mesh.size * slices)
    parts = run_program.parts(config)
    for part in parts:
        if part.source.num_skipped:
            print(f"skipped {part.source.num_skipped} files that cannot be decoded", flush=True)
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "config.json").exists():
        workdir.write_json(directory / "config.json", workdir.as_json(config))
    return parts


def sweep_config(points: Sequence[sweep_points.Point], seeds: int) -> ConfigDict:
    """Checks the points of a sweep and returns the config that its work directory belongs to.

    Args:
      points: Points of the sweep.
      seeds: Number of runs of each point.

    Raises:
      SetupError: The config of a point is invalid or asks for pmap.
    """
    for point in points:
        try:
            checks.check_all(point.config)
        except SetupError as error:
            if len(points) == 1:
                raise
            raise SetupError(f"the sweep's point {point.labels} cannot be trained: {error}") from error
        if point.config.get("parallel", "jit") == "pmap":
            raise SetupError("config field parallel is 'pmap': a sweep maps its members itself, give jit")
    listed = {str(i): {"labels": point.labels, "config": point.config} for i, point in enumerate(points)}
    return ConfigDict({"seeds": seeds, "points": listed})
