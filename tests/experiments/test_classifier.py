"""Tests of the classifiers for scores of digits and clothes: their data, training, files and command."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from experiments import classifier, evaluate
from experiments.cli import config_files
from experiments.cli.exits import RunFailed
from experiments.scoring import backbones, classifiers, tracking
from experiments.scoring.classifier_training import Recipe, Split, distort, train, warp
from jaxgan import data, files, hashing, weights
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone
from jaxgan.models.small_classifier import Classifier
from tests.commands import execute, main
from tests.conftest import FASHION, component
from tests.experiments.cli.test_refusals import refusal

TINY = Recipe(epochs=2, rotation=5, zoom=0.05, shift=1, width=4, features=16)
ACCURACY = rb"\"test_accuracy\": 0."  # The facts are JSON within JSON.


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Sets an empty cache folder and a recipe that takes seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, dataset in classifiers.DATASETS.items():
        monkeypatch.setitem(classifiers.DATASETS, name, dataset._replace(recipe=TINY))
    return tmp_path / "cache" / "jaxgan" / "classifiers"


@pytest.fixture(scope="module")
def content():
    """Returns the file of a trained classifier."""
    return classifiers.make("digits", None, TINY)


# Data


def test_the_held_out_digits_are_every_fifth_of_each_class(digits):
    images, labels = digits
    split = classifiers.DATASETS["digits"].load(None)
    held_out = [i for label in range(10) for i in np.flatnonzero(labels == label)[4::5]]
    np.testing.assert_array_equal(split.test_images, images[sorted(held_out)])
    np.testing.assert_array_equal(split.test_labels, labels[sorted(held_out)])
    np.testing.assert_array_equal(np.bincount(split.test_labels), [100] * 10)
    rest = np.setdiff1d(np.arange(5000), held_out)
    np.testing.assert_array_equal(split.train_images, images[rest])
    np.testing.assert_array_equal(split.train_labels, labels[rest])


@given(
    matrix=st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15)
def test_warping_is_scipys(matrix, shift, seed):
    image = np.random.default_rng(seed).uniform(size=(7, 9)).astype(np.float32)
    matrix, shift = np.reshape(matrix, (2, 2)).astype(np.float32), np.asarray(shift, np.float32)
    centre = np.array([3.0, 4.0])
    offset = centre + shift - matrix.astype(np.float64) @ centre
    expected = ndimage.affine_transform(
        image.astype(np.float64), matrix, offset, order=1, mode="grid-constant"
    )
    images = np.stack([image, np.zeros_like(image)], -1)[None]
    found = np.asarray(jax.jit(warp)(images, matrix[None], shift[None]))
    # Coordinates up to 20 have errors of 1e-6 in float32, and slopes of the image are at most 1 per pixel.
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=2e-5)
    assert not found[..., 1].any()


def places(images):
    """Computes the centroids of the images relative to their centres, (B, 2) in pixels."""
    pixels = np.indices(images.shape[1:3]) - (np.array(images.shape[1:3])[:, None, None] - 1) / 2
    return np.einsum("bhwc,ihw->bi", images, pixels) / images.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    "bounds",
    [
        {"rotation": 0, "zoom": 0, "shift": 0},
        {"rotation": 30, "zoom": 0, "shift": 0},
        {"rotation": 0, "zoom": 0.2, "shift": 0},
        {"rotation": 0, "zoom": 0, "shift": 2},
    ],
    ids=str,
)
def test_distortions_fill_their_bounds_and_keep_to_them(bounds, key):
    y, x = np.indices((41, 41)) - 20.0
    blob = np.exp(-((y - 6) ** 2 + (x - 8) ** 2) / 8).astype(np.float32)  # 10 pixels from the centre
    images = np.broadcast_to(blob[None, ..., None], (400, 41, 41, 1))
    found = np.asarray(jax.jit(lambda images: distort(images, key, **bounds))(images))
    moved = places(found)
    angles = np.rad2deg(np.arctan2(moved[:, 0], moved[:, 1]) - np.arctan2(6, 8))
    zooms = np.linalg.norm(moved, axis=1) / 10
    # Interpolation moves a centroid by less than this, and rotates it by less than 0.2 degrees.
    tolerance = 0.01
    if bounds["shift"]:
        shifts = moved - [6, 8]
        assert np.abs(shifts).max() <= 2 + tolerance
        # The smallest and largest of 800 uniform numbers are within 0.1 of the ends of [−2, 2].
        assert np.ptp(shifts) > 3.8
        assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.2
        return
    assert np.abs(angles).max() <= bounds["rotation"] + 20 * tolerance
    assert np.ptp(angles) >= 1.9 * bounds["rotation"]
    assert zooms.max() <= 1 + bounds["zoom"] + tolerance
    assert zooms.min() >= 1 / (1 + bounds["zoom"]) - tolerance
    assert np.ptp(np.log(zooms)) >= 1.9 * np.log1p(bounds["zoom"])
    if not any(bounds.values()):
        np.testing.assert_allclose(found, images, atol=1e-6)


def originals(part):
    """Reads the images and labels of one pair of Fashion-MNIST's original files."""
    component(FASHION.is_dir(), "Fashion-MNIST", "apt-get install dataset-fashion-mnist")
    images = gzip.decompress((FASHION / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((FASHION / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return (
        np.frombuffer(images, np.uint8).reshape(-1, 28, 28, 1),
        np.frombuffer(labels, np.uint8).astype(np.int32),
    )


@pytest.mark.slow
@pytest.mark.component
def test_a_classifier_of_clothes_is_one_of_the_original_files(cache, monkeypatch):
    dataset = classifiers.DATASETS["fashion_mnist"]
    split = Split(*classifiers.in_order(*originals("train")), *classifiers.in_order(*originals("t10k")))
    opened = dataset._replace(load=lambda path: split, recipe=TINY._replace(epochs=1))
    monkeypatch.setitem(classifiers.DATASETS, "fashion_mnist", opened)
    backbone = classifiers.load_or_train("fashion_mnist")  # Data with another hash would be refused.
    assert backbone.name == "classifier-fashion_mnist"
    (file,) = cache.iterdir()
    facts = weights.decode(file.read_bytes()).facts
    assert (facts["train_count"], facts["test_count"]) == (60_000, 10_000)
    assert facts["test_accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.component
@pytest.mark.xdist_group("tfds")
def test_tfds_gives_the_original_files_examples(fashion_mnist_dir):
    images, labels = classifiers._of_tfds(str(fashion_mnist_dir), "fashion_mnist", "test")
    found = [(image.tobytes(), label) for image, label in zip(images, labels, strict=True)]
    assert found == sorted(
        (image.tobytes(), label) for image, label in zip(*originals("t10k"), strict=True)
    )


def test_other_data_of_the_same_name_are_refused(monkeypatch):
    dataset = classifiers.DATASETS["digits"]
    split = dataset.load(None)
    images = split.train_images.copy()
    images[0, 0, 0, 0] ^= 1
    changed = dataset._replace(load=lambda path: split._replace(train_images=images))
    monkeypatch.setitem(classifiers.DATASETS, "digits", changed)
    with pytest.raises(SetupError, match=r"dataset digits hashes to \w{12}, not 6295d5b06adf: .*install"):
        classifiers.make("digits", None, TINY)


# Training


@pytest.mark.slow
def test_the_network_is_what_its_parameters_say(key):
    x = jax.random.uniform(key, (3, 28, 28, 1), minval=-1)
    model = Classifier(width=4, features=16)
    # The initial values are changed, so that no scale is 1 and no bias is 0.
    variables = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.uniform(key, leaf.shape), model.init(key, x, train=False)
    )
    params, averages = variables["params"], variables["batch_stats"]

    def norm(i, x):
        scale, moments = params[f"Norm_{i}"]["batch_norm"], averages[f"Norm_{i}"]["batch_norm"]
        normal = (x - moments["mean"]) / np.sqrt(moments["var"] + 1e-5)
        return np.maximum(scale["scale"] * normal + scale["bias"], 0)

    expected = np.asarray(x, np.float64)
    for i in range(2):
        side, kernel = expected.shape[1] // 2, np.asarray(params[f"Conv_{i}"]["kernel"])
        padded = np.pad(expected, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (1, 2))[:, ::2, ::2]
        assert windows.shape[1:3] == (side, side)
        expected = norm(i, np.einsum("bhwiyx,yxio->bhwo", windows, kernel))
    expected = norm(2, expected.reshape(3, -1) @ np.asarray(params["Dense_0"]["kernel"]))
    logits = expected @ np.asarray(params["Dense_1"]["kernel"]) + np.asarray(params["Dense_1"]["bias"])
    found = jax.jit(lambda x: model.apply(variables, x, train=False))(x)
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_little_training_reads_most_digits(content, digits):
    images, labels = digits
    backbone = classifiers.decode(content)
    out = jax.jit(backbone.apply)(images[4::5])
    right = float(np.mean(np.argmax(out["logits"], 1) == labels[4::5]))
    assert right > 0.6  # A random guess is right in one of ten cases.
    assert weights.decode(content).facts["test_accuracy"] == pytest.approx(right)
    assert out["features"].shape == (1000, TINY.features)
    one = jax.jit(backbone.apply)(images[4:5])
    for name, value in one.items():  # The result does not depend on the other images in the batch.
        np.testing.assert_allclose(value, out[name][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_others(content):
    assert classifiers.make("digits", None, TINY) == content
    other = classifiers.make("digits", None, TINY._replace(seed=1))
    kernels = [weights.decode(x).variables["params"]["Conv_0"]["kernel"] for x in (content, other)]
    assert (kernels[0] != kernels[1]).all()


def test_a_key_is_of_all_that_fixes_the_weights(monkeypatch):
    keys = {classifiers.key("digits", TINY)}
    for field, value in TINY._asdict().items():
        keys.add(classifiers.key("digits", TINY._replace(**{field: value + 1})))
    keys.add(classifiers.key("fashion_mnist", TINY))
    monkeypatch.setattr(classifiers, "REVISION", -1)
    keys.add(classifiers.key("digits", TINY))
    dataset = classifiers.DATASETS["digits"]._replace(sha256="0" * 64)
    monkeypatch.setitem(classifiers.DATASETS, "digits", dataset)
    keys.add(classifiers.key("digits", TINY))
    assert len(keys) == 4 + len(TINY)
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_it():
    split = classifiers.DATASETS["digits"].load(None)
    with pytest.raises(RunFailed, match=r"loss is nan in epoch 1 of 2"):
        train(split, TINY._replace(learning_rate=float("nan")))


def by_pillow(images, size, method=Image.Resampling.LANCZOS):
    # Pillow computes this mode in floats, and neither rounds nor clips between its two passes.
    floats = [Image.fromarray(x[..., 0].astype(np.float32)).resize((size, size), method) for x in images]
    return np.stack([np.clip(np.asarray(x), 0, 255) for x in floats])[..., None]


@pytest.mark.parametrize("size", [16, 32])
def test_squares_of_another_size_are_resized_as_pillow_does(size, content, digits):
    images = by_pillow(digits[0][::500], size).round().astype(np.uint8)

    def apart(method):
        ours = 127.5 * (np.asarray(classifiers._resized(data.to_float({"real": images})["real"])) + 1)
        return np.abs(ours - by_pillow(images, 28, method)).max()

    assert apart(Image.Resampling.LANCZOS) < 0.01
    assert apart(Image.Resampling.BICUBIC) > 10
    backbone, whole = classifiers.decode(content), by_pillow(images, 28).round().astype(np.uint8)
    ours, theirs = (np.asarray(backbone.apply(x)["features"]) for x in (images, whole))
    assert np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).mean()
    assert "Lanczos" in backbone.resize


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (np.zeros((2, 32, 28, 1), np.uint8), "32×28×1 uint8"),
        (np.zeros((2, 28, 28, 3), np.uint8), "28×28×3 uint8"),
        (np.zeros((2, 28, 28, 1), np.float32), "28×28×1 float32"),
    ],
)
def test_other_images_are_refused(images, given, content):
    backbone = classifiers.decode(content)
    message = f"the images are {given}, classifier-digits takes 28×28×1 uint8"
    for apply in (backbone.apply, jax.jit(backbone.apply)):
        with pytest.raises(SetupError, match=message) as caught:
            apply(images)
        assert "\n" not in str(caught.value)


# Cache


def identity(file):
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


@pytest.mark.slow
def test_a_kept_classifier_is_found_and_not_trained_again(cache, capsys, content):
    first = classifiers.load_or_train("digits")
    (file,) = cache.iterdir()
    assert file.name == f"classifier-digits-{classifiers.key('digits', TINY)}.safetensors"
    assert file.read_bytes() == content
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert lines[2].endswith(f"wrote {file}")
    before = identity(file)

    second = classifiers.load_or_train("digits", path="/a folder that is opened only to train")
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"classifier-digits, test accuracy \d\d\.\d\d %: found {file}", line)
    assert identity(file) == before
    assert list(cache.iterdir()) == [file]
    assert first.sha256 == second.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert second.name == "classifier-digits"
    assert second.resize.startswith("other sizes to 28×28")


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "no weights of jaxgan's can be read"),
        (lambda content: content[: len(content) // 2], "no weights of jaxgan's can be read"),
        (lambda content: flip(content, len(content) - 1), r"its contents hash to \w{12}, not \w{12}"),
        (lambda content: flip(content, content.index(ACCURACY) + len(ACCURACY)), r"its contents hash to"),
    ],
    ids=["empty", "cut off", "a weight", "the accuracy"],
)
def test_a_damaged_file_is_noticed_in_a_line_and_made_anew(
    damage, message, cache, capsys, content, monkeypatch
):
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    file = cache / f"classifier-digits-{classifiers.key('digits', TINY)}.safetensors"
    cache.mkdir(parents=True, mode=0o700)
    file.write_bytes(damage(content))
    backbone = classifiers.load_or_train("digits")
    lines = capsys.readouterr().out.splitlines()
    assert re.match(rf"{file} cannot be trusted \(.*{message}.*\): training anew$", lines[0])
    assert lines[1].endswith(f"wrote {file}")
    assert len(lines) == 2
    assert file.read_bytes() == content
    assert backbone.sha256 == hashlib.sha256(content).hexdigest()
    assert list(cache.iterdir()) == [file]


def test_another_classifiers_file_under_a_name_is_not_taken(cache, capsys, content, monkeypatch):
    other = weights.decode(content)
    wrong = weights.encode(other.variables, {**other.facts, "key": "0" * 64})
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    file = cache / f"classifier-digits-{classifiers.key('digits', TINY)}.safetensors"
    cache.mkdir(parents=True, mode=0o700)
    file.write_bytes(wrong)
    classifiers.load_or_train("digits")
    assert "cannot be trusted (its key is 000000000000, not" in capsys.readouterr().out
    assert file.read_bytes() == content


def test_no_byte_of_a_file_can_change_unnoticed(content):
    header = 8 + int.from_bytes(content[:8], "little")
    for place in [*range(header), *range(header, len(content), 397)]:
        with pytest.raises(ValueError, match=r"hash to|can be read"):
            weights.decode(flip(content, place))
    assert weights.decode(content).sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_says_what_it_holds_to_any_reader_of_safetensors(content, tmp_path):
    from safetensors import safe_open

    (tmp_path / "c.safetensors").write_bytes(content)
    with safe_open(tmp_path / "c.safetensors", framework="numpy") as file:
        facts = json.loads(file.metadata()["jaxgan"])
        assert file.get_tensor("params.Conv_0.kernel").shape == (4, 4, 1, 4)
    assert (facts["dataset"], facts["train_count"], facts["test_count"]) == ("digits", 4000, 1000)
    assert facts["split"] == classifiers.DATASETS["digits"].split
    assert Recipe(**facts["recipe"]) == TINY


def test_nothing_is_kept_where_others_may_write(cache, capsys, content, monkeypatch):
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o777)
    assert classifiers.load_or_train("digits").sha256 == hashlib.sha256(content).hexdigest()
    assert capsys.readouterr().out.endswith("kept nowhere: there is no cache folder\n")
    assert not list(cache.parent.iterdir())


def test_a_full_disk_loses_no_training(cache, capsys, content, monkeypatch):
    def refuse(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    monkeypatch.setattr(files, "write", refuse)
    assert classifiers.load_or_train("digits").sha256 == hashlib.sha256(content).hexdigest()
    assert capsys.readouterr().out.endswith("not kept: No space left on device\n")


# Command and files


def test_the_command_writes_the_same_file_twice_and_ends_in_its_hash(
    cache, capsys, content, monkeypatch, tmp_path
):
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    for _ in range(2):
        assert main(classifier, "--dataset=digits", f"--out={tmp_path}/mine.safetensors") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2] == f"wrote {tmp_path}/mine.safetensors"
        assert lines[-1] == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "mine.safetensors").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "mine.safetensors"]


def test_a_place_that_cannot_be_written_is_refused_before_training(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(classifiers, "make", lambda *_: pytest.fail("trained"))
    out = tmp_path / "folder.safetensors"
    out.mkdir()
    with pytest.raises(SetupError, match=r"--out .*folder\.safetensors cannot be written"):
        main(classifier, "--dataset=digits", f"--out={out}")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.safetensors"]
    assert not list(out.iterdir())


def test_a_disk_that_fills_up_leaves_nothing_half_written(cache, content, monkeypatch, tmp_path):
    def refuse(path, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(RunFailed, match=r"--out .*mine\.safetensors cannot be written: No space left"):
        main(classifier, "--dataset=digits", f"--out={tmp_path}/mine.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("name", ["mine.safetensors", "classifier-digits.safetensors"])
def test_a_written_file_is_the_same_network_as_the_cached_one(
    name, cache, content, digits, monkeypatch, tmp_path
):
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    monkeypatch.chdir(tmp_path)
    assert main(classifier, "--dataset=digits", f"--out={name}") == 0
    assert backbones.kind(name) == backbones.kind("classifier-digits") == "classifier"
    written, cached = (backbones.open_backbone(x, {"name": "digits"}) for x in (name, "classifier-digits"))
    assert written[:3] == cached[:3]
    images = digits[0][:64]
    for output, values in cached.apply(images).items():
        np.testing.assert_array_equal(written.apply(images)[output], values)


def test_a_written_file_scores_images(cache, content, digits, monkeypatch, tmp_path):
    file, folder = tmp_path / "mine.safetensors", tmp_path / "images"
    file.write_bytes(content)
    monkeypatch.setattr(classifiers, "make", lambda *_: content)
    folder.mkdir()
    for i, image in enumerate(digits[0][:40]):
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    given = (f"--images={folder}", "--data.name=digits", "--data.size=28", "--data.channels=1")
    results = []
    for name in (str(file), "classifier-digits"):
        out = tmp_path / f"{len(results)}.json"
        assert main(evaluate, *given, "--metrics=fcd", f"--backbone={name}", f"--out={out}") == 0
        results += json.loads(out.read_text())
    assert results[0] == results[1]
    assert results[0]["receipt"]["backbone"]["sha256"] == hashing.sha256_of_bytes(content)
    with pytest.raises(SetupError, match="metric fid is not made with classifier: give fcd"):
        main(evaluate, *given, "--metrics=fid", f"--backbone={file}", f"--out={tmp_path}/out.json")


def test_a_config_may_name_a_written_file(cache, content, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(content)
    config = config_files.load("dcgan_mnist.py").values.copy_and_resolve_references()
    with config.unlocked():
        config.score = {"every": 2, "metric": "fcd", "num": 50, "backbone": str(file)}
    tracking.check(config)
    config.score.metric = "fid"
    with pytest.raises(SetupError, match=r"fid is not made with .*mine\.safetensors: give fcd"):
        tracking.check(config)
    config.score.metric = "fcd"
    file.write_bytes(content[:100])
    with pytest.raises(SetupError, match=r"score\.backbone: .*mine\.safetensors is no file of a network's"):
        tracking.check(config)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SetupError, match=r"score\.backbone: .*mine\.safetensors is damaged: .*hash to"):
        tracking.check(config)


def changed(content, *, tensors=None, **facts):
    """Returns a classifier's file with other tensors or facts and a matching hash."""
    found = weights.decode(content)
    return weights.encode({**found.tensors, **(tensors or {})}, {**found.facts, **facts})


HOSTILE = [
    lambda content: weights.encode(
        {"params": {"kernel": np.zeros(2)}}, {"recipe": {}, "dataset": "digits"}
    ),
    lambda content: changed(content, dataset="<script>"),
    lambda content: changed(content, dataset=["digits"]),
    lambda content: changed(content, dataset=None),
    lambda content: changed(content, recipe=[1]),
    lambda content: changed(content, recipe={**TINY._asdict(), "more": 1}),
    lambda content: changed(content, recipe={**TINY._asdict(), "width": 5}),
    lambda content: changed(content, recipe={**TINY._asdict(), "width": 10**30}),
    lambda content: changed(content, recipe={**TINY._asdict(), "width": -1}),
    lambda content: changed(content, recipe={**TINY._asdict(), "features": "16"}),
    lambda content: changed(content, tensors={"params": np.zeros(2, np.float32)}),
    lambda content: changed(content, tensors={"params.Dense_1.bias": np.zeros(11, np.float32)}),
    lambda content: changed(content, tensors={"params.Dense_1.bias": np.zeros(10)}),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_files_with_other_facts_or_tensors_are_refused(hostile, content, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(hostile(content))
    message = r"classifier .*mine\.safetensors: it holds weights, but no classifier's; give one that"
    with pytest.raises(SetupError, match=message) as caught:
        backbones.open_backbone(str(file), {"name": "digits"})
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_network_are_refused(content, tmp_path):
    file = tmp_path / "mine.safetensors"
    with pytest.raises(
        SetupError, match=r"no file .*mine\.safetensors of a network's weights: give a file"
    ):
        backbones.open_backbone(str(file), {"name": "digits"})
    for other, message in (
        (b"", "is no file of a network's weights, or is damaged: no weights of jaxgan's"),
        (content[:-1], "is no file of a network's weights, or is damaged: no weights of jaxgan's"),
        (flip(content, len(content) - 1), r"its contents hash to \w{12}, not \w{12}; give one that"),
        (weights.encode({}, {"dataset": "digits"}), "holds the weights of another network: give a file"),
        (weights.encode({}, {"network": "another"}), "holds the weights of another network: give a file"),
        (weights.encode({}, {"network": inception_backbone.NAME}), "was made from a file of SHA-256 None"),
    ):
        file.write_bytes(other)
        with pytest.raises(SetupError, match=rf"mine\.safetensors.*{message}") as caught:
            backbones.open_backbone(str(file), {"name": "digits"})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --dataset given.*digits, fashion_mnist"),
        (["--dataset=digit"], "unknown --dataset 'digit': did you mean 'digits'.*digits, fashion_mnist"),
        (["--dataset=digits", "--out=weights.npz"], r"--out weights.npz does not end in \.safetensors"),
        (["--dataset=digits", "--out=nowhere/x.safetensors"], "there is no folder nowhere"),
        (["--dataset=fashion_mnist", "--path=nowhere"], "--path nowhere is not a folder"),
        (["--dataset=digits", "--epochs=3"], "(?i)unknown command line flag 'epochs'"),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, cache, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    error = refusal(capsys, monkeypatch, *arguments, module=classifier)
    assert re.search(message, error), error
    assert not list(tmp_path.iterdir())


def test_a_real_process_exits_with_status_2_and_one_line(tmp_path):
    result = execute("--dataset=digit", cwd=tmp_path, module="experiments.classifier")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"error: unknown --dataset 'digit': did you mean 'digits'.*\n", result.stderr)
    assert not list(tmp_path.iterdir())
