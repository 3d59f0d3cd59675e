"""Files in the work directory of a run or a sweep, which belongs to one config."""

import importlib.metadata
import io
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from experiments.cli.config_fields import flatten
from experiments.training.progress_bar import Timed
from jaxgan import files
from jaxgan.errors import SetupError


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an image as a PNG file atomically, and makes the folder of the file.

    Args:
      path: Path of the file to write.
      image: (H, W, 3) or (H, W) uint8 image.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG")
    files.write(path, encoded.getvalue())


PACKAGES = ("jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def as_json(config: ConfigDict) -> dict[str, Any]:
    """Converts a config to the values that JSON would give back, in which tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))


def read_json(path: Path) -> Any:
    """Reads a JSON file in the work directory of a run.

    Raises:
      SetupError: The file cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read: {error}; restore it or use another --workdir") from error


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, so that several processes may write the same file.

    Raises:
      OSError: The file cannot be written.
    """
    files.write(path, (json.dumps(value, indent=2) + "\n").encode())


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Describes the fields in which two configs differ; returns an empty string if there are none.

    Args:
      theirs: Earlier config, as read from JSON.
      ours: Current config, as read from JSON.
    """
    old, new = flatten(ConfigDict(theirs)), flatten(ConfigDict(ours))
    return ", ".join(
        f"{name} was {old.get(name, 'absent')!r} and is now {new.get(name, 'absent')!r}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    )


def check_version(directory: Path, found: Any) -> None:
    """Validates that this version of jaxgan can read the configs in a work directory.

    Args:
      directory: Work directory of a run or a sweep.
      found: Contents of its ``config.json``.

    Raises:
      SetupError: A config has no section ``gan``.
    """
    fields = found if isinstance(found, dict) else {}
    points = fields.get("points", {})
    for config in [point["config"] for point in points.values()] or [fields]:
        if "gan" not in config:
            raise SetupError(
                f"--workdir {directory} was written by another version of jaxgan (its config has no section"
                " gan): use the version that wrote it, or another --workdir"
            )


def check_owner(workdir: Path, config: ConfigDict) -> None:
    """Validates that a work directory is new or belongs to a config.

    Args:
      workdir: Work directory of a run or a sweep.
      config: Config of the run or the sweep.

    Raises:
      SetupError: The work directory belongs to another config, is a file, or was written by another version
        of jaxgan. For another config, the message shows each field that differs.
    """
    if workdir.exists() and not workdir.is_dir():
        raise SetupError(f"--workdir {workdir} is a file: give a folder")
    path = workdir / "config.json"
    if not path.exists():
        return
    theirs = read_json(path)
    check_version(workdir, theirs)
    if differs := differences(theirs, as_json(config)):
        raise SetupError(
            f"--workdir {workdir} belongs to a run of another config ({differs}): give the same config,"
            " or another --workdir"
        )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads a file with a JSON object per line, such as ``metrics.jsonl``.

    Args:
      path: Path of the file.

    Returns:
      The objects, up to the first line that is incomplete because the run was killed while writing it.
    """
    lines = []
    for line in path.read_text().splitlines():
        try:
            value = json.loads(line)
            value["step"]
        except (ValueError, KeyError, TypeError):
            break
        lines.append(value)
    return lines


def trim_metrics(path: Path, step: int) -> None:
    """Drops the lines of ``metrics.jsonl`` that a killed run wrote after its last checkpoint.

    Args:
      path: Path of the file, which may not exist.
      step: Step of the last checkpoint.
    """
    if not path.exists():
        return
    kept = [json.dumps(line) + "\n" for line in read_lines(path) if line["step"] <= step]
    files.write(path, "".join(kept).encode())


def receipt(
    *,
    step: int,
    state_sha256: str,
    config: ConfigDict,
    wall_time: float,
    timed: Timed,
    examples: int | None,
    skipped: int,
) -> dict[str, Any]:
    """Returns the receipt of a finished run, which identifies its result and how it was made.

    Args:
      step: Number of generator updates.
      state_sha256: Hash over all leaves of the final state.
      config: Config of the run.
      wall_time: Seconds of training, over all processes of the run up to their last checkpoints.
      timed: Steps without start and compilation, and their seconds, which give ``seconds_per_step``.
      examples: Number of distinct training samples; None if it is unlimited.
      skipped: Number of files that were left out because they cannot be decoded.
    """
    return {
        "step": step,
        "state_sha256": state_sha256,
        "config": as_json(config),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "device_kind": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "wall_time_seconds": round(wall_time, 1),
        "seconds_per_step": float(f"{timed.seconds / timed.steps:.4g}") if timed.steps else None,
        "num_examples": examples,
        "num_skipped": skipped,
    }
