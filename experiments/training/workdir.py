"""The files of a run: one directory, one config."""

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
from jaxgan import files
from jaxgan.errors import SetupError


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG")
    files.write(path, encoded.getvalue())


PACKAGES = ("jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def as_json(config: ConfigDict) -> dict[str, Any]:
    """A config as JSON would read it back (tuples are lists)."""
    return json.loads(json.dumps(config.to_dict()))


def read_json(path: Path) -> Any:
    """Reads a JSON file of a run.

    Raises:
      SetupError: it cannot be read; the message names it.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read: {error}; restore it or use another --workdir") from error


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all; several processes may write the same one.

    Raises:
      OSError: it cannot be written.
    """
    files.write(path, (json.dumps(value, indent=2) + "\n").encode())


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The fields in which two dicts of JSON differ, in words; empty if they do not."""
    old, new = flatten(ConfigDict(theirs)), flatten(ConfigDict(ours))
    return ", ".join(
        f"{name} was {old.get(name, 'absent')!r} and is now {new.get(name, 'absent')!r}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    )


def check_version(directory: Path, found: Any) -> None:
    """Refuses a folder that a version of jaxgan wrote whose configs this one does not read.

    Args:
      directory: a run's or a sweep's.
      found: what its ``config.json`` holds.

    Raises:
      SetupError: a config in it has no section ``gan``.
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
    """Refuses a directory that belongs to a run of another config.

    Raises:
      SetupError: the message shows each field that differs; or another version wrote the directory.
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
    """The lines of ``metrics.jsonl``, up to the one being written when a run was killed."""
    found = []
    for line in path.read_text().splitlines():
        try:
            value = json.loads(line)
            value["step"]
        except (ValueError, KeyError, TypeError):
            break
        found.append(value)
    return found


def trim_metrics(path: Path, step: int) -> None:
    """Drops the lines of ``metrics.jsonl`` that a killed run wrote after its last checkpoint."""
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
    examples: int | None,
    skipped: int,
) -> dict[str, Any]:
    """What a finished run says of itself.

    Args:
      step: generator updates done.
      state_sha256: hash over all leaves of the final state.
      config: the run's.
      wall_time: seconds of training, over all the run's processes up to their last checkpoints.
      examples: distinct training samples, None if endless.
      skipped: files left out because they could not be decoded.
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
        "num_examples": examples,
        "num_skipped": skipped,
    }
