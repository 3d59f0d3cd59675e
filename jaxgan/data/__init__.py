"""Data by name, all with one interface: batches as a pure function of the step."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.arrays import ArrayExamples, digits_spec, from_arrays, from_digits, load_digits
from jaxgan.data.combine import mapped, split, zipped, zipped_conditions, zipped_spec
from jaxgan.data.folder import folder_spec, from_folder
from jaxgan.data.problems.points import Modes, Problem
from jaxgan.data.problems.sampled import PROBLEMS, from_problem, make_problem
from jaxgan.data.source import (
    Conditions,
    Source,
    Spec,
    from_examples,
    iterate,
    make_conditions,
    make_spec,
    to_float,
    to_uint8,
)
from jaxgan.data.tfds import from_tfds, tfds_spec
from jaxgan.errors import SetupError, unknown

__all__ = [
    "PROBLEMS",
    "SOURCES",
    "Conditions",
    "Modes",
    "Problem",
    "Source",
    "Spec",
    "check_name",
    "from_arrays",
    "from_digits",
    "from_folder",
    "from_problem",
    "from_tfds",
    "iterate",
    "load_digits",
    "make_conditions",
    "make_problem",
    "make_spec",
    "mapped",
    "open_conditions",
    "open_source",
    "open_spec",
    "split",
    "stand_in",
    "to_float",
    "to_uint8",
    "zipped",
]

Array = jax.Array
T = TypeVar("T")

SOURCES: dict[str, Callable[..., Source]] = {
    "digits": from_digits,
    "folder": from_folder,
    "zipped": lambda **options: zipped(
        _open_parts(open_source, options), paired=options.get("paired", False)
    ),
}
_SPECS: dict[str, Callable[..., Spec]] = {
    "digits": digits_spec,
    "folder": folder_spec,
    "zipped": lambda **options: zipped_spec(_open_parts(open_spec, options)),
}


def check_name(name: str) -> None:
    """Raises SetupError if no source can have that name; nothing is opened."""
    if not name.startswith("tfds/") and name not in SOURCES and name not in PROBLEMS:
        raise unknown("data.name", name, [*SOURCES, *PROBLEMS, "tfds/DATASET"])


def open_source(name: str, **options: Any) -> Source:
    """Opens a source by its config name.

    Args:
      name: one of ``SOURCES`` or ``PROBLEMS``, or ``tfds/`` and the name of a dataset of TensorFlow
        Datasets.
      **options: the other fields of ``config.data``; a source takes what it needs of them. The source
        ``zipped`` takes a section for each of its parts, which is again the fields of a source with its
        ``name``, and ``paired``.

    Returns:
      The source.

    Raises:
      SetupError: there is none of that name, it cannot be opened, or it has no such split.
    """
    check_name(name)
    if name in PROBLEMS:
        return from_problem(make_problem(name, **options))
    if name in ("digits", "zipped"):  # digits have a size of their own
        return SOURCES[name](**options)
    _check_size(name, options)
    if name.startswith("tfds/"):
        return from_tfds(name.removeprefix("tfds/"), **options)
    return SOURCES[name](**options)


def open_spec(name: str, **options: Any) -> Spec:
    """Finds the spec of a source by its config name; no data is read, decoded or downloaded.

    Args:
      name: as of :func:`open_source`.
      **options: as of :func:`open_source`; images need ``size`` and ``channels``.

    Returns:
      What ``open_source(name, **options).spec`` would be. Only a folder's files are listed for it.

    Raises:
      SetupError: there is no source of that name, an option is missing or will not do, or there is no such
        folder.
    """
    check_name(name)
    if name in PROBLEMS:
        return make_spec((make_problem(name, **options).dim,))
    if name != "zipped":
        _check_size(name, options)
    if name.startswith("tfds/"):
        return tfds_spec(name.removeprefix("tfds/"), **options)
    return _SPECS[name](**options)


def open_conditions(name: str, **options: Any) -> Conditions:
    """Finds the conditions of a source by its config name; no data is read, decoded or downloaded.

    Args:
      name: as of :func:`open_source`.
      **options: as of :func:`open_spec`.

    Returns:
      What ``open_source(name, **options).conditions`` would be.

    Raises:
      SetupError: as :func:`open_spec`.
    """
    if name != "zipped":
        return make_conditions(open_spec(name, **options))
    return zipped_conditions(_open_parts(open_conditions, options), paired=options.get("paired", False))


def stand_in(spec: Spec) -> Source:
    """Makes a source of one sample of zeros, with a spec's fields: for programs that only have to compile.

    Images are uint8 until they are prepared, as those of any other source.

    Args:
      spec: of the source that it stands for.
    """

    def is_image(x: jax.ShapeDtypeStruct) -> bool:
        return len(x.shape) == 3 and jnp.issubdtype(x.dtype, jnp.floating)

    arrays = {
        name: np.zeros((1, *x.shape), np.uint8 if is_image(x) else x.dtype)
        for name, x in spec.fields.items()
        if name != "row"
    }
    images = [name for name, x in spec.fields.items() if is_image(x)]

    def prepare(batch: Mapping[str, Array]) -> dict[str, Array]:
        return {**batch, **{name: to_float({"real": batch[name]})["real"] for name in images}}

    return from_examples(ArrayExamples(arrays), spec)._replace(prepare=prepare)


def _check_size(name: str, options: Mapping[str, Any]) -> None:
    for field in ("size", "channels"):
        if field not in options:
            raise SetupError(f"the config has no field data.{field}: {name} has images")


def _open_parts(function: Callable[..., T], options: Mapping[str, Any]) -> dict[str, T]:
    """Applies ``open_source`` or ``open_spec`` to each part of a source ``zipped``."""
    if not isinstance(options.get("paired", False), bool):
        raise SetupError(f"data.paired is {options['paired']!r}: give True or False")
    opened = {}
    for part, fields in options.items():
        if part in ("path", "seed", "paired"):
            continue
        if not hasattr(fields, "items") or "name" not in fields:  # a dict or a ConfigDict
            raise SetupError(f"data.{part} is {fields!r}: give a part's fields, of which one is its name")
        try:
            opened[part] = function(**dict(fields.items()))
        except SetupError as error:
            raise SetupError(f"data.{part}: {error}") from error
    return opened
