"""Values that follow from the fields of a config."""

from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.training import named_parts
from jaxgan import data, schedules


def as_builtin(value: Any) -> Any:
    """Converts a section of a config to a dict, and returns any other value unchanged."""
    return value.to_dict() if isinstance(value, ConfigDict) else value


def has_weight(penalty: ConfigDict) -> bool:
    """Returns whether a penalty has a weight other than 0 and so is part of the program."""
    # The weight of a population's member may be traced. A weight that is traced is never 0.
    weight = penalty.get("weight")
    return isinstance(weight, jax.Array | ConfigDict) or bool(weight)


def ema_decay(config: ConfigDict) -> Any:
    """Returns the decay of the averaged weights, a number or a schedule of the step."""
    return schedules.build(as_builtin(config.ema_decay), "ema_decay")


def data_seed(config: ConfigDict) -> int:
    """Returns the seed of the batches: ``data.seed``, which runs may share, or else ``seed``."""
    return config.data.get("seed", config.seed)


def spec_of(config: ConfigDict) -> data.Spec:
    """Returns the spec of a config's data, without opening the data.

    Raises:
      SetupError: The data does not exist, or a field that it needs, such as its size, is missing.
    """
    return data.open_spec(**config.data)


def without_classes(config: ConfigDict, spec: data.Spec) -> str:
    """Returns the end of a message that says why data has no classes, and what to give instead."""
    name = config.data.name
    if "labels" not in spec.fields:
        return f"data.name {name} has none: give data with classes, such as digits"
    if name == "folder":
        return "and the sub-folders of data.name folder are not known: give --config.data.path=FOLDER"
    return f"and the number of classes of data.name {name} is not known: give other data, such as digits"


def batch_stream(config: ConfigDict, source: data.Source) -> Any:
    """Returns the raw batches of a source, a ``MapDataset`` whose element t is the batch of step t."""
    return source.batches(
        seed=data_seed(config), n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )


def network_fields(config: ConfigDict, spec: data.Spec) -> dict[str, Any]:
    """Returns the fields of networks that follow from the rest of a config, by name.

    Args:
      config: Config of a run or a stage.
      spec: Spec of its data.
    """
    fields: dict[str, Any] = {
        "shape": spec.shape,
        "dtype": named_parts.DTYPES[config.dtype],
        "classes": spec.classes,
        "latent_dim": config.get("latent", {}).get("dim"),
        "categories": config.gan.get("categories"),
        "continuous": config.gan.get("continuous"),
    }
    if spec.images:
        fields |= {"size": spec.shape[0], "channels": spec.shape[-1]}
    return fields
