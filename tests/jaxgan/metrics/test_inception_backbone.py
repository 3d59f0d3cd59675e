"""Tests of InceptionV3, its weight file and its scores against recorded results of torch-fidelity.

The results for the same weights and images are in ``tests/goldens/``, so torch-fidelity is not needed.
"""

import hashlib
import json
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save as save_tensors

from experiments import evaluate
from experiments import inception as converter
from experiments.cli import exits
from experiments.scoring import backbones, image_metrics, image_sets
from jaxgan import parallel
from jaxgan import weights as weight_files
from jaxgan.errors import SetupError
from jaxgan.metrics import frechet, inception_backbone, inception_score, kid, moments
from jaxgan.models import inception_layers
from jaxgan.models import inception_v3 as network
from tests import fidelity
from tests.commands import main

SOURCE = "0" * 64
NAMES = ("64", "192", "768", "2048", "logits", "logits_unbiased")
# All tests run on one worker, so that the network is compiled once.
pytestmark = [pytest.mark.xdist_group("inception"), pytest.mark.slow]


@pytest.fixture(scope="module")
def goldens():
    with np.load(fidelity.GOLDENS, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def weights(goldens):
    return fidelity.unpack(fidelity.draw(), goldens)


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.safetensors"
    inception_backbone.save(path, weights, source_sha256=SOURCE)
    return path


@pytest.fixture(scope="module")
def backbone(file):
    return inception_backbone.load(file, source_sha256=SOURCE)


def close(ours, theirs, tolerance=1e-5):
    """Checks the largest difference relative to the largest value, by default to a tenth of 1e-4."""
    assert ours.dtype == np.float32
    assert np.max(np.abs(ours - theirs)) <= tolerance * np.max(np.abs(theirs))


@pytest.mark.parametrize("i", range(len(fidelity.SIZES)))
def test_features_and_logits_are_torch_fidelitys_at_any_size(backbone, goldens, i):
    outputs = fidelity.run(backbone, fidelity.pictures(i, fidelity.EACH, *fidelity.SIZES[i]))
    for name in NAMES:
        close(outputs[name], goldens[f"{i}/{name}"])
    np.testing.assert_array_equal(outputs["features"], outputs["2048"])
    # Features are positive and of similar size, so they also agree one by one.
    np.testing.assert_allclose(outputs["2048"], goldens[f"{i}/2048"], rtol=1e-4)


@pytest.fixture(scope="module")
def folders(backbone):
    """Computes the outputs for both folders in one batch of two chunks, sharded over all devices."""
    images = np.concatenate(fidelity.folders())
    assert len(images) == 2 * inception_backbone.CHUNK
    sharded = parallel.shard_batch({"images": images}, parallel.device_mesh(), axis=0)["images"]
    outputs = {name: np.asarray(values) for name, values in backbone.apply(sharded).items()}
    return [
        {name: values[part] for name, values in outputs.items()}
        for part in (slice(fidelity.FOLDER), slice(fidelity.FOLDER, None))
    ]


def test_frechet_distance_is_torch_fidelitys(folders, goldens):
    first, second = (moments.from_features(outputs["features"]) for outputs in folders)
    with pytest.warns(UserWarning, match="16 "):  # There are fewer samples than dimensions.
        ours = frechet.frechet_distance(second, first)
    assert ours == pytest.approx(goldens["frechet_inception_distance"], rel=1e-4)


def test_kernel_distance_is_torch_fidelitys(folders, goldens):
    first, second = (outputs["features"] for outputs in folders)
    ours = kid.kernel_inception_distance(second, first, **fidelity.KID)
    assert ours.mean == pytest.approx(goldens["kernel_inception_distance_mean"], rel=1e-4)
    assert ours.std == pytest.approx(goldens["kernel_inception_distance_std"], rel=1e-4)


def test_inception_score_is_torch_fidelitys(folders, goldens):
    ours = inception_score.inception_score(folders[0]["logits_unbiased"], splits=fidelity.SPLITS)
    assert ours.mean == pytest.approx(goldens["inception_score_mean"], rel=1e-4)
    assert ours.std == pytest.approx(goldens["inception_score_std"], rel=1e-4)


def test_the_command_gives_what_torch_fidelity_gives_of_the_same_folders(
    backbone, file, goldens, tmp_path, monkeypatch
):
    # The first folder is scored, and the second folder is the reference.
    for name, images in zip(("made", "real"), fidelity.folders(), strict=True):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{i:02}.png")
    monkeypatch.setattr(backbones, "open_backbone", lambda *_: backbone)
    # The batch has a shape for which the network has been compiled.
    monkeypatch.setattr(image_sets, "BATCH", 2 * inception_backbone.CHUNK)
    for name, value in {**fidelity.KID, "splits": fidelity.SPLITS}.items():
        monkeypatch.setattr(image_metrics, name.upper(), value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "scores.json"
    flags = ("--data.name=folder", f"--data.path={tmp_path}/real", "--data.size=64", "--data.channels=3")
    scored = (f"--images={tmp_path}/made", "--metrics=fid,kid,is", f"--backbone={file}")
    assert main(evaluate, *scored, *flags, f"--out={out}") == 0
    (result,) = json.loads(out.read_text())
    theirs = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "kid_std": "kernel_inception_distance_std",
        "is": "inception_score_mean",
        "is_std": "inception_score_std",
    }
    expected = {ours: float(goldens[name]) for ours, name in theirs.items()}
    assert result["scores"] == pytest.approx(expected, rel=1e-4)


def test_grey_pictures_are_their_three_equal_channels(backbone):
    grey = fidelity.pictures(3, fidelity.EACH, 32, 32)[..., :1]
    alone, repeated = (backbone.apply(images)["features"] for images in (grey, np.repeat(grey, 3, 3)))
    np.testing.assert_array_equal(alone, repeated)


def test_a_batch_in_chunks_is_as_its_parts(backbone, folders):
    # The folders were one batch of two chunks, but a pair of images is not divided into chunks.
    for whole, images in zip(folders, fidelity.folders(), strict=True):
        for start in (0, fidelity.FOLDER - fidelity.EACH):
            part = backbone.apply(images[start : start + fidelity.EACH])
            for name, values in part.items():
                found = whole[name][start : start + fidelity.EACH]
                np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5 * np.abs(values).max())


def test_network_may_be_part_of_a_larger_program(backbone):
    jaxpr = jax.make_jaxpr(lambda x: backbone.apply(x)["features"])(np.zeros((2, 32, 32, 3), np.uint8))
    assert [out.shape for out in jaxpr.out_avals] == [(2, 2048)]


def test_parameters_are_those_that_the_checkpoint_is_folded_into(weights):
    x = jax.ShapeDtypeStruct((1, network.SIZE, network.SIZE, 3), np.float32)
    drawn = jax.eval_shape(network.InceptionV3().init, jax.random.key(0), x)
    folded = inception_layers.fold(weights)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), drawn) == jax.tree.map(
        lambda a: (a.shape, a.dtype), folded
    )


def test_other_platforms_keep_xlas_convolutions_in_full_precision(weights):
    x = jax.ShapeDtypeStruct((2, 299, 299, 3), np.float32)
    traced = jax.jit(network.InceptionV3().apply).trace(inception_layers.fold(weights), x)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    products = [line for line in text.splitlines() if "convolution" in line or "dot_general" in line]
    assert len(products) > 60
    assert all("HIGHEST" in line for line in products)


# The file


def test_file_names_its_source_and_reads_back(backbone, file, weights):
    assert backbone.name == inception_backbone.NAME
    assert backbone.sha256 == SOURCE
    state = inception_backbone.read(file, source_sha256=SOURCE)
    assert state.keys() == inception_layers.shapes().keys()
    for name, values in state.items():
        np.testing.assert_array_equal(values, weights[name])


def test_files_that_are_not_the_networks_are_refused(file, tmp_path):
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[-5] ^= 1
    found = weight_files.decode(content)

    def encoded(facts=found.facts, **tensors):
        changed = {name: values for name, values in (found.tensors | tensors).items() if values is not None}
        return weight_files.encode(changed, facts)

    bias = found.tensors["fc.bias"]
    cases = [
        (b"nothing", "no weights of jaxgan's"),
        (content[:1000], "no weights of jaxgan's"),
        (content[:-1], "no weights of jaxgan's"),
        (save_tensors(found.tensors, {"network": inception_backbone.NAME}), "no weights of jaxgan's"),
        (bytes(flipped), r"its contents hash to \w{12}, not"),
        (encoded(**{"fc.bias": bias[None]}), r"fc.bias is float32 of shape \(1, 1008\)"),
        (encoded(**{"fc.bias": bias.astype(np.float64)}), r"fc.bias is float64"),
        (encoded(**{"fc.weight": None}), "has no tensor fc.weight"),
        (encoded({"source_sha256": SOURCE}), "does not hold the weights"),
        (encoded({**found.facts, "network": "another"}), "does not hold the weights"),
        (
            encoded({**found.facts, "source_sha256": None}),
            f"made from a file of SHA-256 None, not {SOURCE}",
        ),
    ]
    path = tmp_path / "bad.safetensors"
    for bad, message in cases:
        path.write_bytes(bad)
        with pytest.raises(SetupError, match=message) as raised:
            inception_backbone.load(path, source_sha256=SOURCE)
        assert str(raised.value).startswith(str(path))
        assert "\n" not in str(raised.value)
        assert "experiments.inception" in str(raised.value) or "InceptionV3 of FID" in str(raised.value)


def test_weights_of_another_source_are_refused(file, tmp_path):
    with pytest.raises(SetupError, match=f"SHA-256 {SOURCE}, not {inception_backbone.PUBLIC_SHA256}"):
        inception_backbone.load(file)
    with pytest.raises(SetupError, match="there is no file"):
        inception_backbone.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": None}, "the checkpoint has no tensor fc.weight"),
        ({"fc.bias": np.zeros(1000, np.float32)}, r"fc.bias is float32 of shape \(1000,\)"),
        ({"Conv2d_1a_3x3.bn.bias": np.zeros(32)}, "bn.bias is float64"),
    ],
)
def test_nothing_is_written_of_another_network(weights, tmp_path, change, message):
    state = {name: values for name, values in (weights | change).items() if values is not None}
    with pytest.raises(SetupError, match=message):
        inception_backbone.save(tmp_path / "out.safetensors", state, source_sha256=SOURCE)
    assert not list(tmp_path.iterdir())


def refusal(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["inception", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        exits.call(converter.main)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_converter_refuses_what_it_was_not_made_for(capsys, monkeypatch, tmp_path):
    checkpoint = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    out = f"--out={tmp_path / 'out.safetensors'}"
    given = f"--checkpoint={checkpoint}"
    assert "no --checkpoint given" in refusal(capsys, monkeypatch)
    assert "no such file" in refusal(capsys, monkeypatch, given)
    checkpoint.write_bytes(b"<!DOCTYPE html>")
    found = hashlib.sha256(b"<!DOCTYPE html>").hexdigest()
    error = refusal(capsys, monkeypatch, given, out)
    assert f"has the SHA-256 {found}, not {inception_backbone.PUBLIC_SHA256}" in error
    assert "does not end in .safetensors" in refusal(capsys, monkeypatch, given, "--out=x.npz")
    elsewhere = f"--out={tmp_path / 'nowhere' / 'x.safetensors'}"
    assert "there is no folder" in refusal(capsys, monkeypatch, given, elsewhere)
    with pytest.raises(SetupError, match="is no state dict"):
        converter.convert(checkpoint, tmp_path / "out.safetensors", sha256=found)
    assert list(tmp_path.iterdir()) == [checkpoint]
