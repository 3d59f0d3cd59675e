"""Data by name, behind one interface that makes batches a pure function of the step."""

from jaxgan.data.arrays import from_arrays, from_digits, load_digits, stand_in
from jaxgan.data.by_name import (
    SOURCES,
    check_name,
    fields_of,
    fields_of_split,
    open_conditions,
    open_source,
    open_spec,
)
from jaxgan.data.combine import mapped, split, zipped
from jaxgan.data.folder import from_folder
from jaxgan.data.problems.points import Modes, Problem
from jaxgan.data.problems.sampled import PROBLEMS, from_problem, make_problem
from jaxgan.data.source import (
    Conditions,
    Source,
    Spec,
    is_image_shape,
    iterate,
    make_conditions,
    make_spec,
    to_float,
    to_uint8,
)
from jaxgan.data.tfds import from_tfds

__all__ = [
    "PROBLEMS",
    "SOURCES",
    "Conditions",
    "Modes",
    "Problem",
    "Source",
    "Spec",
    "check_name",
    "fields_of",
    "fields_of_split",
    "from_arrays",
    "from_digits",
    "from_folder",
    "from_problem",
    "from_tfds",
    "is_image_shape",
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
