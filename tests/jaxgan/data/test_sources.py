"""Tests of specs, conditions and examples of sources, of their fields, and of sources made from others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
from PIL import Image

from jaxgan import data
from jaxgan.data import source as source_module
from jaxgan.errors import SetupError
from tests.experiments.cli.test_refusals import refusal

POINTS = jax.ShapeDtypeStruct((2,), jnp.float32)
INTEGER = jax.ShapeDtypeStruct((), jnp.int32)
RING, GRID = {"name": "ring", "modes": 4}, {"name": "grid"}
DIGITS = {"name": "digits", "size": 28, "channels": 1}
FOLDER = {"name": "folder", "size": 8, "channels": 3}
TFDS = {"name": "tfds/mnist", "size": 28, "channels": 1}


def numbered(count, *, labels=True, offset=0):
    """Makes images whose pixels equal their number, with the number modulo 3 as label."""
    numbers = np.arange(count)
    images = np.broadcast_to((numbers + offset).astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
    return data.from_arrays(np.ascontiguousarray(images), numbers % 3 if labels else None)


@pytest.fixture
def folder(tmp_path):
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png", "dogs/small/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / name)
    return tmp_path


def options(kind, folder):
    part = {**FOLDER, "path": str(folder)}
    return {
        "digits": DIGITS,
        "digits, resized": {**DIGITS, "size": 8, "channels": 3, "path": "", "skip_bad": False},
        "a split": {**DIGITS, "split": "test[:50%]"},
        "folder": part,
        "ring": RING,
        "gaussian": {"name": "gaussian", "path": "", "seed": 3},
        "two domains": {"name": "zipped", "a": RING, "b": GRID},
        "real and others": {"name": "zipped", "real": part, "other": DIGITS, "path": "", "seed": 1},
    }[kind]


KINDS = (
    "digits",
    "digits, resized",
    "a split",
    "folder",
    "ring",
    "gaussian",
    "two domains",
    "real and others",
)


def struct(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


# The spec


@pytest.mark.parametrize("kind", KINDS)
def test_the_spec_is_known_before_and_true(kind, folder):
    fields = options(kind, folder)
    source, spec = data.open_source(**fields), data.open_spec(**fields)
    assert source.spec == spec
    batch = source.batches(seed=0, n_critic=2, batch_size=3)[0]
    prepared = jax.jit(source.prepare)(batch)
    assert {name: struct(x) for name, x in prepared.items()} == {
        name: jax.ShapeDtypeStruct((2, 3, *x.shape), x.dtype) for name, x in spec.fields.items()
    }
    assert {name: struct(x) for name, x in spec.zeros(2, 3).items()} == {
        name: struct(x) for name, x in prepared.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_examples_prepare_to_samples(kind, folder):
    source = data.open_source(**options(kind, folder))
    indices = np.array([3, 0, 2])
    raw = source.examples[indices]
    prepared = jax.jit(source.prepare)({name: x[None] for name, x in raw.items()})
    assert {name: struct(x) for name, x in prepared.items()} == {
        name: jax.ShapeDtypeStruct((1, 3, *x.shape), x.dtype) for name, x in source.spec.fields.items()
    }
    np.testing.assert_array_equal(prepared["row"], indices[None])
    alone = jax.jit(source.prepare)({name: x[None] for name, x in source.examples[indices[1:2]].items()})
    for name, x in alone.items():
        # An index always gives the same example.
        np.testing.assert_array_equal(x[0, 0], prepared[name][0, 1])


def test_what_the_specs_are(folder):
    image = jax.ShapeDtypeStruct((28, 28, 1), jnp.float32)
    assert data.open_spec(**DIGITS) == data.Spec(
        {"real": image, "labels": INTEGER, "row": INTEGER},
        classes=10,
        class_names=tuple("0123456789"),
        class_counts=(500,) * 10,
    )
    assert data.open_spec(**RING) == data.Spec({"real": POINTS, "row": INTEGER})
    assert data.open_spec(**options("folder", folder)).classes == 3  # Cats, dogs and dogs/small.
    assert data.open_spec(**options("two domains", folder)) == data.Spec(
        {"a": POINTS, "b": POINTS, "row": INTEGER}
    )
    spec = data.open_spec(**options("real and others", folder))
    assert list(spec.fields) == ["real", "labels", "row", "other", "other_labels"]
    assert spec.classes == 3
    assert spec.names == ("cats", "dogs", "dogs/small")
    assert data.make_spec((4, 4, 1), labelled=True, classes=3).names == ("0", "1", "2")
    assert data.open_spec(**RING).names == ()


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"name": "digits"}, [500] * 10),
        ({"name": "digits", "split": "train"}, [350] * 10),
        ({"name": "digits", "split": "test[:14]"}, [2] * 4 + [1] * 6),
        ({"name": "digits", "split": "validation", "shuffled_labels": True}, [50] * 10),
        ({"name": "folder"}, [2, 1, 1]),
        ({"name": "folder", "split": "train"}, None),
    ],
)
def test_the_counts_of_classes_are_those_of_the_labels(fields, counts, folder):
    fields = {"size": 8, "channels": 1, **fields}
    if fields["name"] == "folder":
        fields["path"] = str(folder)
    source = data.open_source(**fields)
    labels = source.examples[np.arange(source.num_examples)]["labels"]
    assert source.spec.class_counts == tuple(np.bincount(labels, minlength=source.spec.classes))
    assert data.open_spec(**fields) == source.spec
    if counts:
        assert list(source.spec.class_counts) == counts


def test_images_are_told_from_points():
    assert data.open_spec(**DIGITS).images
    assert not data.open_spec(**RING).images
    both = {"name": "zipped", "a": DIGITS, "b": RING}
    assert data.open_spec(**both).images  # The first field of floats gives the shape.
    assert data.open_spec(**both).shape == (28, 28, 1)
    assert not data.open_spec(**{**both, "real": RING}).images
    assert not data.open_spec(name="gaussian").images
    assert data.is_image_shape((28, 28, 1))
    assert not any(map(data.is_image_shape, [(), (2,), (28, 28), (64, 28, 28, 1)]))


def test_a_spec_needs_no_data(monkeypatch, folder):
    def fail(*_, **__):
        raise AssertionError("data was opened")

    for name in ("arrays.load_digits", "folder._decode", "images.fit"):
        monkeypatch.setattr(f"jaxgan.data.{name}", fail)
    for kind in KINDS:
        data.open_spec(**options(kind, folder))


def test_tfds_tells_its_spec_without_a_download(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    with monkeypatch.context() as patch:
        patch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", None)
        common = {"path": str(tmp_path), "size": 16, "channels": 3}
        fashion = data.open_spec("tfds/fashion_mnist", **common)
        faces = data.open_spec("tfds/celeb_a", **common, split="train")
    assert not list(tmp_path.iterdir())
    assert (fashion.classes, fashion.shape) == (10, (16, 16, 3))
    assert fashion.names[:2] == ("T-shirt/top", "Trouser")
    assert faces.classes is None
    assert set(faces.fields) == {"real", "row"}
    with tfds.testing.mock_data(num_examples=2):
        assert data.open_source("tfds/fashion_mnist", **common).spec == fashion
        assert data.open_source("tfds/celeb_a", **common).spec == faces


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "digits", "size": 28}, "the config has no field data.channels: digits has images"),
        ({"name": "folder", "channels": 1}, "the config has no field data.size: folder has images"),
        ({"name": "tfds/mnist"}, "the config has no field data.size: tfds/mnist has images"),
        ({**DIGITS, "size": 0}, "data.size is 0: give a whole number"),
        ({**DIGITS, "size": "28"}, "data.size is '28'"),
        ({**DIGITS, "channels": 2}, "data.channels is 2: give 1 for grey or 3"),
        ({**DIGITS, "split": "trian"}, "unknown data.split 'trian'"),
        ({"name": "dgits"}, "unknown data.name 'dgits': did you mean 'digits'"),
        (
            {"name": "folder", "path": "/nowhere", "size": 8, "channels": 3},
            "data.path '/nowhere' is not a folder",
        ),
        ({"name": "zipped"}, "data.name zipped has no parts"),
        ({"name": "zipped", "a": 3}, "data.a is 3: give a part's fields"),
        (
            {"name": "zipped", "a": {"modes": 3}},
            r"data.a is .*: give a part's fields, of which one is its name",
        ),
        ({"name": "zipped", "row": RING}, "data.row cannot be a part's name"),
        ({"name": "zipped", "a/b": RING}, "data.a/b cannot be a part's name"),
        ({"name": "zipped", "a": {"name": "rng"}}, "data.a: unknown data.name 'rng': did you mean 'ring'"),
        ({"name": "zipped", "a": {"name": "digits"}}, "data.a: the config has no field data.size"),
        ({"name": "zipped", "a": RING, "paired": 1}, "data.paired is 1: give True or False"),
        (
            {"name": "zipped", "a": DIGITS, "a_labels": RING},
            "data.a and data.a_labels would both make the field",
        ),
    ],
)
def test_what_has_no_spec_is_refused_in_a_line(fields, message):
    with pytest.raises(SetupError, match=message) as error:
        data.open_spec(**fields)
    assert "\n" not in str(error.value)


def test_a_size_is_asked_for_where_images_have_none_of_their_own():
    with pytest.raises(SetupError, match=r"no field data\.channels: folder has images"):
        data.open_source("folder", path="x", size=8)
    assert data.open_source("digits").shape == (28, 28, 1)


# Fields

UNKNOWN_FIELDS = [
    ({**DIGITS, "siz": 8}, "unknown data field of digits 'siz': did you mean 'size'"),
    (
        {**DIGITS, "skip_bad": True},
        "unknown data field of digits 'skip_bad':.* shuffled_labels, size, split",
    ),
    ({**DIGITS, "path": "pictures"}, "unknown data field of digits 'path'"),
    ({**FOLDER, "spit": "train"}, "unknown data field of folder 'spit': did you mean 'split'"),
    ({**FOLDER, "shuffled_labels": False}, "unknown data field of folder 'shuffled_labels'"),
    ({**TFDS, "spilt": "train"}, "unknown data field of tfds/mnist 'spilt': did you mean 'split'"),
    ({**TFDS, "skip_bad": True}, "unknown data field of tfds/mnist 'skip_bad'"),
    *(({"name": name, "nois": 1}, f"unknown data field of {name} 'nois'") for name in data.PROBLEMS),
    (
        {**RING, "mods": 3},
        r"unknown data field of ring 'mods': did you mean 'modes'\? .*modes, radius, std",
    ),
    ({"name": "zipped", "a": RING, "pared": True}, "data.pared is True: give a part's fields,.* or paired"),
    ({"name": "zipped", "a": RING, "path": "x"}, "data.path is 'x': give a part's fields"),
    (
        {"name": "zipped", "a": RING, "b": {**RING, "mods": 3}},
        "data.b: unknown data field of ring 'mods': did you mean 'modes'",
    ),
    (
        {"name": "zipped", "a": {"name": "zipped", "b": {**FOLDER, "siz": 8}}},
        "data.a: data.b: unknown data field of folder 'siz': did you mean 'size'",
    ),
    ({"name": "zipped", "a": {**RING, "seed": 3}}, "data.a.seed is 3: parts share data.seed"),
    (
        {**DIGITS, "label_distribution": "dta"},
        "unknown data.label_distribution 'dta': did you mean 'data'",
    ),
    (
        {**TFDS, "label_distribution": "data"},
        "data.label_distribution is 'data': how many examples of each class are in tfds/mnist is not known",
    ),
    ({**RING, "label_distribution": "data"}, "unknown data field of ring 'label_distribution'"),
]


@pytest.mark.parametrize("function", [data.open_source, data.open_spec, data.open_conditions])
@pytest.mark.parametrize(("fields", "message"), UNKNOWN_FIELDS)
def test_a_field_that_a_source_does_not_take_is_refused(function, fields, message):
    with pytest.raises(SetupError, match=message) as error:
        function(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_asks_for_nothing_is_accepted(kind, folder):
    fields = options(kind, folder)
    idle = {
        "split": None,
        "skip_bad": False,
        "seed": 3,
        "path": "",
        "label_distribution": "uniform",
        **fields,
    }
    assert data.open_spec(**idle) == data.open_spec(**fields)
    assert data.open_source(**idle).spec == data.open_spec(**fields)
    assert set(data.open_conditions(**idle)(jax.random.key(0), np.arange(2))) >= {"row"}


def test_an_optional_field_that_is_none_has_its_default():
    assert data.open_source("digits", size=None, channels=None).shape == (28, 28, 1)
    with pytest.raises(SetupError, match=r"no field data\.size"):
        data.open_spec("folder", size=None, channels=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**RING, "std": None}, "std is None: give a positive number"),
        ({**RING, "siz": None}, "unknown data field of ring 'siz'"),
        ({"name": "zipped", "a": RING, "b": None}, "data.b is None: give a part's fields"),
        ({"name": "zipped", "a": RING, "paired": None}, "data.paired is None: give True or False"),
        ({"name": "zipped", "a": {"name": 3}}, "data.a: unknown data.name '3'"),
    ],
)
def test_other_fields_that_are_none_are_refused(fields, message):
    for function in (data.open_spec, data.open_source, data.open_conditions):
        with pytest.raises(SetupError, match=message):
            function(**fields)


CONFIG = """
from experiments.configs import {base}

def get_config():
    config = {base}.get_config()
    with config.unlocked():
        config.data.{field} = {value!r}
    return config
"""


@pytest.mark.parametrize(
    ("base", "field", "value", "message"),
    [
        ("dcgan_mnist", "siz", 8, "unknown data field of digits 'siz': did you mean 'size'"),
        ("dcgan_mnist", "skip_bad", True, "unknown data field of digits 'skip_bad'"),
        ("dcgan_folder", "siz", 8, "unknown data field of folder 'siz': did you mean 'size'"),
        ("dcgan_fashion_mnist", "siz", 8, "unknown data field of tfds/fashion_mnist 'siz'"),
        ("gan_gaussians", "mods", 8, "unknown data field of ring 'mods': did you mean 'modes'"),
        ("cyclegan_rings", "pared", True, "data.pared is True: give a part's fields"),
        (
            "cyclegan_rings",
            "b.sid",
            8,
            "data.b: unknown data field of grid 'sid': did you mean 'side' or 'std'",
        ),
    ],
)
def test_an_unknown_field_of_a_config_has_status_2(
    base, field, value, message, tmp_path, capsys, monkeypatch
):
    (tmp_path / "bad.py").write_text(CONFIG.format(base=base, field=field, value=value))
    monkeypatch.setattr(data, "open_source", lambda **_: pytest.fail("the data was opened"))
    error = refusal(capsys, monkeypatch, f"--config={tmp_path}/bad.py", f"--workdir={tmp_path}/out")
    assert message in error
    assert not (tmp_path / "out").exists()


# Conditions


@given(seed=st.integers(0, 2**32 - 1), start=st.integers(0, 1000), step=st.integers(1, 9))
@settings(max_examples=15)
def test_a_condition_depends_on_its_row_alone(seed, start, step):
    key, conditions = jax.random.key(seed), jax.jit(numbered(6).conditions)
    rows = np.arange(start, start + 8 * step, step, dtype=np.int32)
    asked = conditions(key, rows)
    assert set(asked) == {"row", "labels"}
    assert asked["labels"].dtype == asked["row"].dtype == jnp.int32
    np.testing.assert_array_equal(asked["row"], rows)
    assert set(np.asarray(asked["labels"])) <= {0, 1, 2}
    backwards = conditions(key, rows[::-1])["labels"][::-1]
    np.testing.assert_array_equal(asked["labels"], backwards)
    np.testing.assert_array_equal(conditions(key, rows[-1:])["labels"], asked["labels"][-1:])


def test_labels_asked_for_are_uniform():
    rows = np.arange(30_000, dtype=np.int32)
    labels = numbered(6).conditions(jax.random.key(0), rows)["labels"]
    np.testing.assert_allclose(np.bincount(labels) / len(rows), [1 / 3] * 3, atol=0.01)
    other = numbered(6).conditions(jax.random.key(1), rows)["labels"]
    np.testing.assert_allclose((labels == other).mean(), 1 / 3, atol=0.01)


def test_labels_may_be_asked_for_as_often_as_the_data_has_them(folder):
    fields = options("folder", folder)
    rows = np.arange(30_000, dtype=np.int32)
    shares = {}
    for name in ("uniform", "data"):
        source = data.open_source(**fields, label_distribution=name)
        labels = source.conditions(jax.random.key(0), rows)["labels"]
        known = data.open_conditions(**fields, label_distribution=name)
        np.testing.assert_array_equal(labels, known(jax.random.key(0), rows)["labels"])
        assert labels.dtype == jnp.int32
        shares[name] = np.bincount(labels) / len(rows)
    # Five standard deviations of a share of 30,000 independent labels are at most 0.0145.
    np.testing.assert_allclose(shares["data"], [1 / 2, 1 / 4, 1 / 4], atol=0.0145)
    np.testing.assert_allclose(shares["uniform"], [1 / 3] * 3, atol=0.0145)
    part = {"name": "zipped", "real": {**fields, "label_distribution": "data"}, "other": DIGITS}
    assert data.open_spec(**part).label_distribution == "data"
    labels = data.open_conditions(**part)(jax.random.key(0), rows)["labels"]
    np.testing.assert_allclose(np.bincount(labels)[0] / len(rows), 1 / 2, atol=0.0145)


@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(any), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_a_class_without_examples_is_never_asked_for(counts, seed):
    spec = data.make_spec((4, 4, 1), labelled=True, classes=len(counts), class_counts=counts)
    conditions = data.make_conditions(spec._replace(label_distribution="data"))
    labels = conditions(jax.random.key(seed), np.arange(400, dtype=np.int32))["labels"]
    assert set(np.asarray(labels).tolist()) == {k for k, count in enumerate(counts) if count}


def test_nothing_but_rows_is_asked_where_there_are_no_classes():
    rows = np.arange(3, dtype=np.int32)
    for source in (numbered(3, labels=False), data.open_source(**RING)):
        assert set(source.conditions(jax.random.key(0), rows)) == {"row"}
    unknown = source_module.make_conditions(data.make_spec((4, 4, 1), labelled=True))
    assert set(unknown(jax.random.key(0), rows)) == {"row"}


def test_labels_beyond_the_classes_are_refused():
    images = np.zeros((2, 4, 4, 1), np.uint8)
    assert data.from_arrays(images, np.array([0, 1]), classes=5).spec.classes == 5
    with pytest.raises(SetupError, match="labels 0 to 5 of 5 classes: give 0 to 4"):
        data.from_arrays(images, np.array([0, 5]), classes=5)
    with pytest.raises(SetupError, match="labels -1 to 0"):
        data.from_arrays(images, np.array([-1, 0]))


# Examples


def test_points_have_examples_of_the_problems_distribution():
    source = data.open_source("ring", std=0.01)
    assert source.num_examples is None
    raw = source.examples[np.arange(800)]
    points = np.asarray(jax.jit(source.prepare)({name: x[None] for name, x in raw.items()})["real"][0])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2, atol=0.06)
    assert len(np.unique(points, axis=0)) == 800
    turns = np.round(np.arctan2(points[:, 1], points[:, 0]) / (np.pi / 4)).astype(int) % 8
    assert np.bincount(turns, minlength=8).min() > 60  # The expected number is 100.
    trained = source.prepare(source.batches(seed=0, n_critic=1, batch_size=800)[0])["real"][0]
    assert not set(map(bytes, np.asarray(trained))) & set(map(bytes, points))


# Zipped


def test_zipped_fields_have_their_parts_names():
    source = data.zipped({"real": numbered(8, labels=False), "labelled": numbered(6, offset=100)})
    assert list(source.spec.fields) == ["real", "row", "labelled", "labelled_labels"]
    assert source.spec.classes is None
    batch = source.prepare(source.batches(seed=0, n_critic=1, batch_size=48)[0])
    real, labelled = (
        data.to_uint8(batch[name])[0, :, 0, 0, 0].astype(int) for name in ("real", "labelled")
    )
    assert set(real) == set(range(8))
    assert set(labelled) == set(range(100, 106))
    np.testing.assert_array_equal(batch["labelled_labels"][0], (labelled - 100) % 3)
    asked = source.conditions(jax.random.key(0), np.arange(4, dtype=np.int32))
    assert set(asked) == {"row", "labelled_labels"}


def test_parts_are_shuffled_apart_and_pairs_together():
    parts = {"a": numbered(50, labels=False), "b": numbered(50, labels=False, offset=50)}

    def numbers(source, seed):
        batch = source.batches(seed=seed, n_critic=1, batch_size=50)[0]
        prepared = source.prepare(batch)
        return [data.to_uint8(prepared[name])[0, :, 0, 0, 0].astype(int) for name in ("a", "b")]

    a, b = numbers(data.zipped(parts), seed=7)
    assert sorted(a) == list(range(50))
    assert sorted(b) == list(range(50, 100))
    assert (a + 50 == b).sum() < 10
    a, b = numbers(data.zipped(parts, paired=True), seed=7)
    np.testing.assert_array_equal(a + 50, b)
    assert sorted(a) == list(range(50))
    with pytest.raises(SetupError, match=r"data.paired is True and a has 50, b has 4 examples"):
        data.zipped({**parts, "b": numbered(4)}, paired=True)
    with pytest.raises(SetupError, match="b has endless examples"):
        data.zipped({**parts, "b": data.open_source(**RING)}, paired=True)


def test_a_part_is_served_as_alone_with_its_own_seed():
    ring = data.open_source(**RING)
    source = data.zipped({"a": ring, "b": data.open_source(**GRID)})
    seed = 5 ^ 0xE8B7BE43  # The CRC-32 of "a" is the same on every machine and in every process.
    expected = ring.prepare(ring.batches(seed=seed, n_critic=2, batch_size=4)[3])["real"]
    found = source.prepare(source.batches(seed=5, n_critic=2, batch_size=4)[3])
    np.testing.assert_array_equal(found["a"], expected)


@given(seed=st.integers(0, 2**32 - 1), step=st.integers(0, 30))
@settings(max_examples=10)
def test_a_zipped_batch_is_a_function_of_seed_and_step(seed, step):
    def batches():
        parts = {"a": numbered(7), "b": data.open_source(**RING)}
        return data.zipped(parts).batches(seed=seed, n_critic=2, batch_size=3)

    expected = batches()[step]
    (read,) = data.iterate(batches(), step, step + 1)
    assert set(read) == {"a/real", "a/labels", "b/key", "b/update", "row"}
    for name, value in expected.items():
        np.testing.assert_array_equal(read[name], value)
    assert expected["a/real"].dtype == np.uint8


def test_hosts_share_a_zipped_batch(monkeypatch):
    source = data.zipped({"a": numbered(50), "b": data.open_source(**RING)})
    whole = source.batches(seed=0, n_critic=2, batch_size=8)[3]
    parts = []
    for process in range(4):
        monkeypatch.setattr(source_module.jax, "process_count", lambda: 4)
        monkeypatch.setattr(source_module.jax, "process_index", lambda p=process: p)
        parts.append(source.batches(seed=0, n_critic=2, batch_size=8)[3])
    for name, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=1), value)


def test_zipped_examples_go_by_index_to_the_shortest():
    source = data.zipped({"a": numbered(5), "b": numbered(3), "c": data.open_source(**RING)})
    assert source.num_examples == len(source.examples) == 3
    raw = source.examples[np.array([2, 0])]
    np.testing.assert_array_equal(raw["a/real"][:, 0, 0, 0], [2, 0])
    np.testing.assert_array_equal(raw["b/real"][:, 0, 0, 0], [2, 0])
    endless = data.zipped({"a": data.open_source(**RING), "b": data.open_source(**GRID)})
    assert endless.num_examples is None
    with pytest.raises(TypeError, match="endless"):
        len(endless.examples)


def test_a_split_of_zipped_data_is_that_of_real():
    real = {**DIGITS, "split": "train"}
    fields = {"name": "zipped", "real": real, "labelled": {**DIGITS, "split": "train[:10]"}}
    found = data.fields_of_split(fields, "test")
    assert found == {**DIGITS, "split": "test"}
    assert data.fields_of_split(real, "test") == found
    assert data.open_source(**found).num_examples == 1000
    with pytest.raises(SetupError, match=r"split 'test' of data\.name zipped is that of its part real"):
        data.fields_of_split({"name": "zipped", "a": RING}, "test")


def test_conditions_of_parts_are_drawn_apart_and_of_pairs_together():
    rows, key = np.arange(300, dtype=np.int32), jax.random.key(0)
    asked = data.zipped({"a": numbered(6), "b": numbered(6)}).conditions(key, rows)
    assert set(asked) == {"row", "a_labels", "b_labels"}
    assert 0.2 < (asked["a_labels"] == asked["b_labels"]).mean() < 0.5
    asked = data.zipped({"a": numbered(6), "b": numbered(6)}, paired=True).conditions(key, rows)
    np.testing.assert_array_equal(asked["a_labels"], asked["b_labels"])


def test_zipped_by_config():
    config = ConfigDict({"name": "zipped", "path": "", "a": RING, "b": {**GRID, "path": ""}})
    source = data.open_source(**config, seed=0)
    assert source.spec == data.open_spec(**config)
    data.check_name(config.name)
    paired = {
        "name": "zipped",
        "paired": True,
        "a": {**DIGITS, "split": "test"},
        "b": {**DIGITS, "split": "test"},
    }
    batch = data.open_source(**paired).batches(seed=0, n_critic=1, batch_size=8)[0]
    np.testing.assert_array_equal(batch["a/real"], batch["b/real"])
    nested = {"name": "zipped", "real": {"name": "zipped", "real": RING, "x": GRID}, "y": config}
    source = data.open_source(**nested)
    assert set(source.spec.fields) == {"real", "x", "y_a", "y_b", "row"}
    prepared = source.prepare(source.batches(seed=0, n_critic=1, batch_size=2)[0])
    assert set(prepared) == set(source.spec.fields)
    assert source.problem is not None


# Mapped


def test_mapped_batches_and_their_spec():
    source = numbered(6)

    def halves(batch):
        return {
            "real": batch["real"][..., :2, :, :],
            "labels": batch["labels"],
            "mean": batch["real"].mean((2, 3, 4)),
        }

    after = data.mapped(source, halves)
    assert after.spec.fields == {
        "real": jax.ShapeDtypeStruct((2, 4, 1), jnp.float32),
        "labels": INTEGER,
        "row": INTEGER,
        "mean": jax.ShapeDtypeStruct((), jnp.float32),
    }
    assert (after.spec.classes, after.shape) == (3, (2, 4, 1))
    raw = after.batches(seed=0, n_critic=2, batch_size=3)[1]
    before, batch = source.prepare(raw), jax.jit(after.prepare)(raw)
    np.testing.assert_array_equal(batch["real"], before["real"][..., :2, :, :])
    np.testing.assert_array_equal(batch["row"], before["row"])
    assert set(after.conditions(jax.random.key(0), np.arange(2))) == {"row", "labels"}


def test_what_a_map_leaves_out_is_not_asked_for():
    after = data.mapped(numbered(6), lambda batch: {"real": -batch["real"]})
    assert set(after.spec.fields) == {"real", "row"}
    assert after.spec.classes is None
    assert set(after.conditions(jax.random.key(0), np.arange(2))) == {"row"}


def test_a_map_may_be_given_its_spec_and_must_keep_the_axes():
    spec = data.make_spec((4, 4, 1))
    assert data.mapped(numbered(6), lambda batch: {"real": batch["real"]}, spec).spec is spec
    with pytest.raises(AssertionError):
        data.mapped(numbered(6), lambda batch: {"real": batch["real"][0]})


def test_splits_go_through_a_map():
    negative = data.mapped(data.open_source(**DIGITS), lambda batch: {**batch, "real": -batch["real"]})
    part = data.split(negative, "test[:10]")
    raw = {name: x[None] for name, x in part.examples[np.arange(10)].items()}
    truth = data.open_source(**DIGITS, split="test[:10]").examples[np.arange(10)]["real"]
    np.testing.assert_array_equal(data.to_uint8(-part.prepare(raw)["real"])[0], truth)
