"""Tests of the metrics against torch-fidelity (``pip install "jaxgan[fidelity]"``), skipped without it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import inception as converter
from jaxgan.errors import SetupError
from jaxgan.metrics import frechet, inception_backbone, inception_score, kid, moments
from tests import fidelity

torch = pytest.importorskip("torch")
pytest.importorskip("torch_fidelity")
theirs = pytest.importorskip("tests.goldens.inception")

pytestmark = pytest.mark.xdist_group("inception")
SEED = 1  # differs from the seed of the golden files


@pytest.fixture(scope="module")
def weights():
    return theirs.calibrate(fidelity.draw(SEED), fidelity.pictures(SEED, 16, *fidelity.FOLDER_SIZE))


@pytest.fixture(scope="module")
def checkpoint(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "older.pth"
    theirs.save(weights, path)
    return path


@pytest.fixture(scope="module")
def backbone(checkpoint):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    out = checkpoint.with_name("out.safetensors")
    converter.convert(checkpoint, out, sha256=digest)
    return inception_backbone.load(out, source_sha256=digest)


def test_both_formats_convert_to_the_same_tensors(weights, tmp_path):
    for zipped in (False, True):
        path, out = tmp_path / "weights.pth", tmp_path / "weights.safetensors"
        theirs.save(weights, path, zipped=zipped)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        converter.convert(path, out, sha256=digest)
        for name, values in inception_backbone.read(out, source_sha256=digest).items():
            np.testing.assert_array_equal(values, weights[name])


def test_a_whole_module_is_refused(weights, tmp_path):
    path = tmp_path / "module.pth"
    torch.save(theirs.extractor(weights), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(SetupError, match="names torch_fidelity"):
        converter.convert(path, tmp_path / "out.safetensors", sha256=digest)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (299, 299), (400, 320), (1, 1), (17, 700)])
def test_features_and_logits_agree(backbone, weights, size):
    images = fidelity.pictures(SEED, fidelity.EACH, *size)
    expected, ours = theirs.run(theirs.extractor(weights), images), backbone.apply(images)
    for name, values in expected.items():
        assert np.max(np.abs(ours[name] - values)) <= 1e-4 * np.max(np.abs(values))
    np.testing.assert_allclose(ours["2048"], expected["2048"], rtol=1e-4, atol=1e-4)


def read_folder(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_scores_of_folders_agree(backbone, weights, tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for images, folder in zip(fidelity.folders(), folders, strict=True):
        theirs.write_folder(images, folder)
    expected = theirs.scores(weights, *folders)
    found = [fidelity.run(backbone, read_folder(folder)) for folder in folders]
    first, second = (outputs["features"] for outputs in found)
    distance = frechet.frechet_distance(moments.from_features(second), moments.from_features(first))
    kernel = kid.kernel_inception_distance(second, first, **fidelity.KID)
    score = inception_score.inception_score(found[0]["logits_unbiased"], splits=fidelity.SPLITS)
    ours = {
        "frechet_inception_distance": distance,
        "kernel_inception_distance_mean": kernel.mean,
        "kernel_inception_distance_std": kernel.std,
        "inception_score_mean": score.mean,
        "inception_score_std": score.std,
    }
    assert ours == pytest.approx({name: expected[name] for name in ours}, rel=1e-4)
