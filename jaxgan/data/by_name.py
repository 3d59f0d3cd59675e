"""Functions that open sources, and find their specs and conditions, by the fields of ``config.data``."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from jaxgan.data.arrays import digits_spec, from_digits
from jaxgan.data.combine import zipped, zipped_conditions, zipped_spec
from jaxgan.data.fields import given_fields, is_idle
from jaxgan.data.folder import folder_spec, from_folder
from jaxgan.data.problems.sampled import PROBLEMS, from_problem, make_problem
from jaxgan.data.source import Conditions, Source, Spec, make_conditions, make_spec, with_label_distribution
from jaxgan.data.tfds import from_tfds, tfds_spec
from jaxgan.errors import SetupError, unknown

T = TypeVar("T")

TFDS = "tfds/"  # Prefix of the names of TensorFlow Datasets.


def check_name(name: str) -> None:
    """Raises SetupError if there can be no source of this name; nothing is opened."""
    is_text = isinstance(name, str)
    if not is_text or not (name.startswith(TFDS) or name in SOURCES or name in PROBLEMS):
        raise unknown("data.name", name, [*SOURCES, *PROBLEMS, f"{TFDS}DATASET"])


def fields_of(name: str) -> tuple[str, ...]:
    """Returns the names of the fields that say what a source holds, apart from the parts of ``zipped``."""
    check_name(name)
    if name == "zipped":
        return ("paired",)
    return tuple(inspect.signature(PROBLEMS.get(name) or _functions(name)[0]).parameters)


def open_source(name: str, **fields: Any) -> Source:
    """Opens a source by its config name.

    Args:
      name: One of ``SOURCES`` or ``PROBLEMS``, or ``tfds/`` and the name of a dataset of TensorFlow
        Datasets.
      **fields: The other fields of ``config.data``, which are the parameters of the function that opens
        the source, such as ``from_folder`` or ``ring``. The source ``zipped`` takes ``paired``, and a
      section for each of its parts with the ``name`` and the fields of a source. A ``path``, ``split``,
      ``size``, ``channels`` or ``skip_bad`` that is None is not given. Every source accepts ``seed``,
      which belongs to the run, and an empty ``path``. Sources of images take ``label_distribution``, see
      ``Spec``.

    Returns:
      The source.

    Raises:
      SetupError: There is no source of this name, the source does not take a field, it cannot be opened, or
        it has no such split.
    """
    check_name(name)
    if name in PROBLEMS:
        return from_problem(make_problem(name, **fields))
    if name == "zipped":
        return SOURCES[name](**fields)
    opener, _ = _functions(name)
    if fields.get("label_distribution") is None:
        return _call(opener, name, fields)
    spec = open_spec(name, **fields)  # refuses an unknown distribution before the data is opened
    return _call(opener, name, fields)._replace(spec=spec, conditions=make_conditions(spec))


def open_spec(name: str, **fields: Any) -> Spec:
    """Finds the spec of a source by its config name; no data is read, decoded or downloaded.

    Args:
      name: Name of the source, see :func:`open_source`.
      **fields: The other fields of ``config.data``; images need ``size`` and ``channels``.

    Returns:
      The same spec as ``open_source(name, **fields).spec``. For a folder, its files are listed.

    Raises:
      SetupError: There is no source of this name, the source does not take a field, a field is missing or
        out of range, or there is no such folder.
    """
    check_name(name)
    if name in PROBLEMS:
        return make_spec((make_problem(name, **fields).dim,))
    if name == "zipped":
        return zipped_spec(_open_parts(open_spec, fields))
    _, finder = _functions(name)
    spec, distribution = _call(finder, name, fields), fields.get("label_distribution")
    return spec if distribution is None else with_label_distribution(spec, name, distribution)


def open_conditions(name: str, **fields: Any) -> Conditions:
    """Finds the conditions of a source by its config name; no data is read, decoded or downloaded.

    Args:
      name: Name of the source, see :func:`open_source`.
      **fields: The other fields of ``config.data``, see :func:`open_spec`.

    Returns:
      The same conditions as ``open_source(name, **fields).conditions``.

    Raises:
      SetupError: See :func:`open_spec`.
    """
    if name != "zipped":
        return make_conditions(open_spec(name, **fields))
    return zipped_conditions(_open_parts(open_conditions, fields), paired=_is_paired(fields))


def fields_of_split(fields: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Returns the fields of a split of a source, on which a system can be measured.

    Args:
      fields: Fields of the source, among them its ``name``.
      split: Name of the split.

    Returns:
      The fields with another ``split``. For the source ``zipped``, they are those of its part ``real``
      alone, because the other parts may have no such split.

    Raises:
      SetupError: The source is ``zipped`` and has no part ``real``.
    """
    if fields["name"] == "zipped":
        if not hasattr(fields.get("real"), "items"):
            raise SetupError(
                f"split {split!r} of data.name zipped is that of its part real, and there is none: leave it"
                " out"
            )
        fields = fields["real"]
    return {**fields, "split": split}


def _open_zipped(**fields: Any) -> Source:
    """Opens the source ``zipped`` with its parts."""
    return zipped(_open_parts(open_source, fields), paired=_is_paired(fields))


SOURCES: dict[str, Callable[..., Source]] = {
    "digits": from_digits,
    "folder": from_folder,
    "zipped": _open_zipped,
}
_SPECS: dict[str, Callable[..., Spec]] = {"digits": digits_spec, "folder": folder_spec}


def _functions(name: str) -> tuple[Callable[..., Source], Callable[..., Spec]]:
    """Returns the functions that open a source of images and that find its spec."""
    if name.startswith(TFDS):
        dataset = name.removeprefix(TFDS)
        return functools.partial(from_tfds, dataset), functools.partial(tfds_spec, dataset)
    return SOURCES[name], _SPECS[name]


def _call(function: Callable[..., T], name: str, fields: Mapping[str, Any]) -> T:
    """Calls one of the functions of a source with the fields that it takes.

    The parameters of the function that opens the source are the fields that the source takes. The function
    that finds the spec takes some of them.
    """
    opener, _ = _functions(name)
    given = given_fields(name, fields, [*inspect.signature(opener).parameters, "label_distribution"])
    parameters = inspect.signature(function).parameters
    for field, parameter in parameters.items():
        if parameter.default is parameter.empty and field not in given:
            raise SetupError(f"the config has no field data.{field}: {name} has images")
    return function(**{field: value for field, value in given.items() if field in parameters})


def _is_paired(fields: Mapping[str, Any]) -> bool:
    """Returns the field ``paired`` of the source ``zipped``."""
    paired = fields.get("paired", False)
    if not isinstance(paired, bool):
        raise SetupError(f"data.paired is {paired!r}: give True or False")
    return paired


def _open_parts(function: Callable[..., T], fields: Mapping[str, Any]) -> dict[str, T]:
    """Applies ``open_source`` or another function by name to each part of a source ``zipped``."""
    _is_paired(fields)
    opened = {}
    for part, section in fields.items():
        if part == "paired" or is_idle(part, section):
            continue
        # A section may be a dict or a ConfigDict.
        if not hasattr(section, "items") or "name" not in section:
            raise SetupError(
                f"data.{part} is {section!r}: give a part's fields, of which one is its name, or paired"
            )
        if section.get("seed") is not None:
            raise SetupError(f"data.{part}.seed is {section['seed']!r}: parts share data.seed, give that")
        try:
            opened[part] = function(**dict(section.items()))
        except SetupError as error:
            raise SetupError(f"data.{part}: {error}") from error
    return opened
