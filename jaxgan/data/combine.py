"""Sources made from other sources: splits, functions of their batches, and several sources joined."""

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import chex
import grain
import jax
import numpy as np

from jaxgan.data import splits
from jaxgan.data.source import Chosen, Conditions, Source, Spec, image_batches
from jaxgan.errors import SetupError

Array = jax.Array
Batch = Mapping[str, Array]
T = TypeVar("T")

# These names have another meaning in a batch or a config.
RESERVED = ("row", "name", "path", "seed", "paired")


def split(source: Source, name: str) -> Source:
    """Returns a split of a source, such as ``"train"``, ``"test"`` or ``"train[:500]"``.

    Args:
      source: Source with ``splits``.
      name: Name of a split, or a slice of one in the syntax of TensorFlow Datasets.

    Returns:
      The source of the examples in the split, in the order of the split. Its spec, and with it the
      ``class_counts``, and its conditions are those of ``source``.

    Raises:
      SetupError: The source has no such split, or the slice is empty or too long.
    """
    chosen = splits.choose(source.splits, name)
    examples = Chosen(source.examples, chosen)
    captions = source.captions
    return source._replace(
        batches=functools.partial(image_batches, examples),
        examples=examples,
        num_examples=len(examples),
        captions=None if captions is None else tuple(captions[i] for i in chosen),
        splits={},
    )


def mapped(
    source: Source, function: Callable[[Batch], dict[str, Array]], spec: Spec | None = None
) -> Source:
    """Applies a function, such as an augmentation, to the prepared batches of a source.

    Args:
      source: Source of the batches.
      function: Function that maps a prepared batch, with arrays of shape (n_critic, B, ...), to another
        batch. It is traced inside the train step. If it omits ``row``, that field is kept.
      spec: Spec of the returned batches; None to find it by tracing the function.

    Returns:
      The source. It has the conditions whose fields the function keeps.
    """

    def apply(batch: Batch) -> dict[str, Array]:
        return {"row": batch["row"], **function(batch)}

    if spec is None:
        spec = _spec_after(apply, source.spec)
    fields = spec.fields

    def conditions(key: Array, rows: Array) -> dict[str, Array]:
        return {name: x for name, x in source.conditions(key, rows).items() if name in fields}

    return source._replace(
        prepare=lambda batch: apply(source.prepare(batch)), spec=spec, conditions=conditions, problem=None
    )


def _spec_after(function: Callable[[Batch], dict[str, Array]], spec: Spec) -> Spec:
    axes = (2, 3)  # The sizes differ so that swapped axes are noticed.
    batch = {name: jax.ShapeDtypeStruct((*axes, *x.shape), x.dtype) for name, x in spec.fields.items()}
    had = spec.fields.get("attributes")
    out = jax.eval_shape(function, batch)
    chex.assert_tree_shape_prefix(out, axes)
    # Tracing sorts the names, so the order of the fields that remain is restored.
    names = [
        *(name for name in spec.fields if name in out),
        *(name for name in out if name not in spec.fields),
    ]
    fields = {name: jax.ShapeDtypeStruct(out[name].shape[len(axes) :], out[name].dtype) for name in names}
    spec = spec._replace(fields=fields)
    if "labels" not in fields:
        spec = spec._replace(classes=None, class_names=(), class_counts=(), label_distribution="uniform")
    return spec if fields.get("attributes") == had else spec._replace(attributes=())


def _rename(part: str, field: str) -> str:
    if part == "real" or field == "row":
        return field
    return part if field == "real" else f"{part}_{field}"


def _merge(parts: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """Merges the fields of all parts under their new names; ``row`` is the same in all parts."""
    return {_rename(part, name): x for part, fields in parts.items() for name, x in fields.items()}


def zipped_spec(specs: Mapping[str, Spec]) -> Spec:
    """Returns the spec of :func:`zipped` from the specs of its parts.

    Raises:
      SetupError: There are no parts, or a part has an invalid name.
    """
    if not specs:
        raise SetupError("data.name zipped has no parts: give sections such as data.a and data.b")
    owners: dict[str, str] = {}
    for part, spec in specs.items():
        if not part.isidentifier() or part in RESERVED:
            raise SetupError(f"data.{part} cannot be a part's name: give another, such as a, b or real")
        for name in spec.fields:
            new = _rename(part, name)
            if name != "row" and owners.setdefault(new, part) != part:
                raise SetupError(
                    f"data.{owners[new]} and data.{part} would both make the field {new}: rename one"
                )
    own = specs.get("real", Spec({}))
    return own._replace(fields=_merge({part: spec.fields for part, spec in specs.items()}))


class _ZippedExamples:
    """Random access to the examples of several sources, with one example of each source per index."""

    def __init__(self, examples: Mapping[str, Any], length: int | None):
        self._examples, self._length = examples, length

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("these examples are endless")
        return self._length

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return _raw({part: examples[indices] for part, examples in self._examples.items()})


def _raw(parts: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """Merges the raw fields of all parts under names from which ``prepare`` separates the parts again."""
    return {
        field if part == "real" or field == "row" else f"{part}/{field}": x
        for part, fields in parts.items()
        for field, x in fields.items()
    }


def zipped_conditions(parts: Mapping[str, Conditions], *, paired: bool = False) -> Conditions:
    """Makes the conditions of :func:`zipped` from the conditions of its parts.

    Args:
      parts: Function ``conditions(key, rows)`` of each part, by name.
      paired: Whether the parts share one key.

    Returns:
      The function ``conditions(key, rows)`` of the joined source.
    """

    def conditions(key: Array, rows: Array) -> dict[str, Array]:
        keys = {part: jax.random.fold_in(key, _code(part)) for part in parts}
        return _merge({part: of(key if paired else keys[part], rows) for part, of in parts.items()})

    return conditions


def _code(part: str) -> int:
    return zlib.crc32(part.encode())


def zipped(sources: Mapping[str, Source], *, paired: bool = False) -> Source:
    """Joins sources, such as two domains of images, into one source with the fields of all of them.

    The field ``real`` of a part called ``a`` becomes ``a``, its ``labels`` become ``a_labels``, and its
    other fields are renamed likewise; ``row`` is shared by all parts. For example,
    ``{"a": ring, "b": grid}`` has the fields ``a``, ``b`` and ``row``. Only the fields of a part called
    ``real`` keep their names. Conditions are renamed in the same way.

    Args:
      sources: Parts by name.
      paired: Whether example i of each part belongs to example i of the other parts. Paired parts share
        the seed that shuffles them and the key of their conditions. Otherwise each part has its own seed
        and key, which depend on the name of the part.

    Returns:
      The source. It has as many examples as the shortest part, and each example consists of one example of
      every part. If there is a part ``real``, the source has the classes, attributes, problem and captions
      of that part.

    Raises:
      SetupError: There are no parts, a part has an invalid name, or paired parts differ in length.
    """
    spec = zipped_spec({part: source.spec for part, source in sources.items()})
    lengths = {part: source.num_examples for part, source in sources.items()}
    if paired and len(set(lengths.values())) > 1:
        listed = ", ".join(f"{part} has {length or 'endless'}" for part, length in lengths.items())
        raise SetupError(f"data.paired is True and {listed} examples: give parts of one length")
    length = min((length for length in lengths.values() if length is not None), default=None)
    codes = {part: 0 if paired else _code(part) for part in sources}

    def batches(*, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
        parts = {
            part: source.batches(seed=seed ^ codes[part], n_critic=n_critic, batch_size=batch_size)
            for part, source in sources.items()
        }

        def batch(step: int) -> dict[str, np.ndarray]:
            return _raw({part: stream[step] for part, stream in parts.items()})

        return grain.MapDataset.range(min(map(len, parts.values()))).map(batch)

    def prepare(batch: Batch) -> dict[str, Array]:
        raw: dict[str, dict[str, Array]] = {part: {"row": batch["row"]} for part in sources}
        for name, x in batch.items():
            part, slash, field = name.partition("/")
            if slash and part in sources:
                raw[part][field] = x
            elif name != "row":
                raw["real"][name] = x
        return _merge({part: source.prepare(raw[part]) for part, source in sources.items()})

    real = sources.get("real")
    captions = real.captions if real else None
    return Source(
        batches=batches,
        prepare=prepare,
        spec=spec,
        conditions=zipped_conditions(
            {part: source.conditions for part, source in sources.items()}, paired=paired
        ),
        examples=_ZippedExamples({part: source.examples for part, source in sources.items()}, length),
        num_examples=length,
        num_skipped=sum(source.num_skipped for source in sources.values()),
        problem=real.problem if real else None,
        captions=None if captions is None else captions[:length],
    )
