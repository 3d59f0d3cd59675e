"""Tests of the command that scores runs and folders, and of its receipts."""

import io
import json
import re
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from PIL import Image

from experiments import evaluate, sample
from experiments import run as train
from experiments.cli import data_flags
from experiments.pages import scores_page
from experiments.scoring import backbones, image_features, image_metrics, image_sets, receipts
from experiments.training import restore
from jaxgan import data
from jaxgan.errors import SetupError
from jaxgan.metrics.backbone import Backbone
from tests.commands import TINY, main

DIM = 6
NUM = 96
DIGITS = ("--data.name=digits", "--data.size=28", "--data.channels=1")


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Replaces the network by a random projection of the pixels."""
    weights = np.random.default_rng(0).normal(size=(28 * 28, DIM)).astype(np.float32) / 28

    def apply(images):
        features = (images.astype(jnp.float32) / 255).reshape(len(images), -1) @ weights
        return {"features": features, "logits": 4 * features}

    def open_backbone(given, data):
        return Backbone("classifier-tiny", "ab" * 32, "none", apply)

    monkeypatch.setattr(backbones, "open_backbone", open_backbone)
    # Files need not exist, and stand for Inception.
    kinds = {True: "classifier", False: "inception"}
    monkeypatch.setattr(backbones, "kind", lambda given: kinds[given.startswith("classifier")])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return weights


@pytest.fixture
def run(finished, tmp_path):
    """Returns a copy of the work directory of the finished run, for tests that write to it."""
    return shutil.copytree(finished[0], tmp_path / "run")


def scored(path):
    return json.loads(path.read_text())


def by_hand(images, weights):
    """Computes the FID of Heusel et al. of (N, 28, 28, 1) uint8 to all embedded digits, in float64."""

    def moments(x):
        features = (x.reshape(len(x), -1).astype(np.float32) / np.float32(255)) @ weights
        return features.astype(np.float64).mean(0), np.cov(features.astype(np.float64), rowvar=False)

    (m1, s1), (m2, s2) = moments(data.load_digits()[0]), moments(images)
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).real)
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * roots.sum())


def test_a_runs_scores_and_their_receipt(network, run, capsys):
    assert main(evaluate, f"--workdir={run}", f"--num={NUM}", "--metrics=fcd,prdc,classifier_score") == 0
    (result,) = scored(run / "scores.json")
    restored = restore.restore(run)
    samples = data.to_uint8(np.concatenate(list(restore.draw(restored, NUM, seed=0))))
    np.testing.assert_allclose(result["scores"]["fcd"], by_hand(samples, network), rtol=1e-5)
    assert set(result["scores"]) == {
        "fcd", "classifier_score", "classifier_score_std", "precision", "recall", "density", "coverage",
    }  # fmt: skip
    receipt = result["receipt"]
    assert receipt["backbone"] == {"name": "classifier-tiny", "sha256": "ab" * 32, "resize": "none"}
    assert receipt["generated"] == {
        "count": NUM,
        "shape": [28, 28, 1],
        "weights": "averaged (EMA)",
        "batch_statistics": "averaged",
        "truncation": None,
        "seed": 0,
    }
    run_receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["scored"]["state_sha256"] == run_receipt["state_sha256"]
    assert receipt["scored"]["step"] == 12
    assert receipt["reference"]["data"] == {"name": "digits", "size": 28, "channels": 1}
    assert receipt["reference"]["count"] == 5000
    assert receipt["quantisation"].startswith("uint8")
    assert receipt["metrics"]["classifier_score"]["splits"] == 10
    assert "jaxgan" in receipt["versions"]
    out = capsys.readouterr().out
    score, spread = (result["scores"][name] for name in ("classifier_score", "classifier_score_std"))
    assert f"{result['scores']['fcd']:.4g}" in out
    assert f"{score:.4g} ± {spread:.2g}" in out


def test_a_folder_of_the_same_pictures_scores_the_same(network, run, tmp_path):
    samples = np.concatenate(list(restore.draw(restore.restore(run), NUM, seed=3)))
    (tmp_path / "made").mkdir()
    for i, image in enumerate(data.to_uint8(samples)):
        Image.fromarray(image[..., 0]).save(tmp_path / "made" / f"{i:03}.png")
    out = tmp_path / "folder.json"
    arguments = ("--metrics=fcd,prdc", f"--out={out}", "--data.size=28", "--data.channels=1")
    assert main(evaluate, f"--images={tmp_path}/made", "--data.name=digits", *arguments) == 0
    assert main(evaluate, f"--workdir={run}", f"--num={NUM}", "--seed=3", "--metrics=fcd,prdc") == 0
    (theirs,), (ours,) = scored(out), scored(run / "scores.json")
    assert theirs["scores"] == ours["scores"]


def test_another_sources_fields_are_taken_without_those_of_the_run(run):
    values = flags.FlagValues()
    data_flags.define_data_flags(values)
    values(["program", "--data.name=digits", "--data.size=8"])
    fields = {"name": "folder", "path": "moved", "skip_bad": True, "size": 28, "channels": 3}
    given = data_flags.data_fields(fields, values)
    assert given == {"name": "digits", "path": None, "size": 8, "channels": 3}
    assert data.open_spec(**given).shape == (8, 8, 3)


def test_every_checkpoint_and_a_curve(network, run, capsys):
    assert main(evaluate, f"--workdir={run}", "--num=32", "--every", "--metrics=fcd") == 0
    results = scored(run / "scores.json")
    assert [each["receipt"]["scored"]["step"] for each in results] == [4, 8, 12]
    assert len({each["scores"]["fcd"] for each in results}) == 3
    page = (run / "scores.html").read_text()
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    # A second result of the same checkpoint is merged with the first.
    assert main(evaluate, f"--workdir={run}", "--num=32", "--metrics=classifier_score") == 0
    again = scored(run / "scores.json")
    assert len(again) == 3
    assert set(again[-1]["scores"]) == {"fcd", "classifier_score", "classifier_score_std"}
    assert set(again[-1]["receipt"]["metrics"]) == {"fcd", "classifier_score"}
    assert "not to be compared" not in capsys.readouterr().out


GROWING = TINY.replace(
    "    if argument:",
    "    config.stages = ({{'until': 5, 'data.size': 16}}, {{'until': 12, 'carry': 'grow'}})\n"
    "    if argument:",
)


@pytest.mark.slow
def test_scores_are_of_the_last_stage(network, tmp_path, capsys):
    (tmp_path / "growing.py").write_text(GROWING.format(base="dcgan_mnist"))
    directory = tmp_path / "run"
    arguments = (f"--config={tmp_path}/growing.py", f"--workdir={directory}")
    assert main(train, *arguments) == 0
    capsys.readouterr()
    assert main(evaluate, f"--workdir={directory}", "--num=32", "--every", "--metrics=fcd") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "step 5 is of stage 1 of 2: skipped"
    results = scored(directory / "scores.json")
    assert [each["receipt"]["scored"]["step"] for each in results] == [8, 12]
    assert all(each["receipt"]["generated"]["shape"] == [28, 28, 1] for each in results)
    for step in (8, 12):
        shutil.rmtree(directory / "checkpoints" / str(step))
    for every in ([], ["--every"]):
        message = refused(directory, f"--workdir={directory}", "--metrics=fcd", *every)
        assert message.endswith("has no checkpoint that can be scored: run it further")
    assert main(sample, f"--workdir={directory}", "--num=4", f"--out={tmp_path}/grid.png") == 0
    with Image.open(tmp_path / "grid.png") as grid:
        # The checkpoint is of the first stage, with images of 16 pixels per side, drawn as 48.
        assert grid.size == (2 * 50 + 2, 2 * 50 + 2)


def test_moments_are_summed_where_the_features_lie(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1)).astype(np.uint8)

    def batches():
        for start in range(0, 100, image_sets.BATCH):
            yield image_sets.Batch(images[start : start + image_sets.BATCH], None)

    @jax.jit
    def apply(x):
        features = jnp.sqrt(x.reshape(len(x), -1).astype(jnp.float32))
        return {"features": features, "logits": features}

    update, shares = image_features.moments.update, []

    def watched(total, features):
        shares.append([shard.data.shape[0] for shard in features.addressable_shards])
        return update(total, features)

    monkeypatch.setattr(image_features.moments, "update", watched)
    backbone = Backbone("roots", "ab" * 32, "none", apply)
    measured = image_features.measure(image_sets.ImageSet(100, (4, 4, 1), batches, {}), backbone, [])
    assert shares[0] == [image_sets.BATCH // 8] * 8
    x = np.sqrt(images.reshape(100, -1).astype(np.float32)).astype(np.float64)
    np.testing.assert_allclose(measured.moments.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(measured.moments.m2, np.cov(x, rowvar=False) * 99, rtol=1e-9, atol=1e-9)
    assert measured.features is None
    assert measured.logits is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("--num=40", "generated.count 32 and 40"),
        ("--seed=1", "generated.seed 0 and 1"),
        ("--raw", "generated.weights 'averaged (EMA)' and 'raw'"),
        ("--standing=2", "generated.batch_statistics 'averaged' and 'standing, 2 batches of 256'"),
        ("--truncation=0.5", "generated.truncation None and 0.5"),
    ],
)
def test_other_receipts_are_never_in_one_table(network, run, capsys, flag, field):
    common = (f"--workdir={run}", "--metrics=fcd")
    assert main(evaluate, *common, "--num=32") == 0
    first = scored(run / "scores.json")[0]["scores"]["fcd"]
    assert main(evaluate, *common, *({"--num=32"} if "num" not in flag else set()), flag) == 0
    results = scored(run / "scores.json")
    assert len(results) == 2
    assert results[0]["scores"]["fcd"] == first != results[1]["scores"]["fcd"]
    out = capsys.readouterr().out
    assert "not to be compared with the above: " in out
    assert field in out
    assert field.split(" ")[0] in (run / "scores.html").read_text()


def test_a_metric_made_in_another_way_is_not_compared():
    def result(step, **metrics):
        receipt = {"metrics": metrics, "scored": {"step": step}, "versions": {}}
        return {"name": str(step), "scores": dict.fromkeys(metrics, 1.0), "receipt": receipt}

    tables = receipts.tables([result(1, a={"k": 1}), result(2, b={"k": 5}), result(3, a={"k": 2})])
    assert [[each["name"] for each in members] for _, members in tables] == [["1", "2"], ["3"]]
    assert tables[1][0] == ["metrics.a.k 1 and 2"]
    # A difference to a later member of a group is listed as well.
    results = [result(1, a={"k": 1}), result(2, b={"k": 5}), result(3, b={"k": 6})]
    assert [differs for differs, _ in receipts.tables(results)] == [[], ["metrics.b.k 5 and 6"]]
    assert "not to be compared with the above: metrics.b.k 5 and 6" in receipts.show(results)


def test_scores_by_another_version_are_not_compared():
    def result(version):
        receipt = {"metrics": {"a": {}}, "scored": {"step": 1}, "versions": {"jax": version}}
        return {"name": "1", "scores": {"a": 1.0}, "receipt": receipt}

    differs = [differs for differs, _ in receipts.tables([result("1"), result("2")])]
    assert differs == [[], ["versions.jax '1' and '2'"]]


def test_references_are_kept_and_damaged_ones_made_anew(network, tmp_path, monkeypatch, capsys):
    images = image_sets.of_source({"name": "digits", "size": 28, "channels": 1})
    backbone = backbones.open_backbone("classifier-tiny", {})
    first = image_features.reference(images, backbone, ["logits"])
    (kept,) = (tmp_path / "cache" / "jaxgan" / "references").iterdir()
    with monkeypatch.context() as context:
        context.setattr(image_features, "measure", lambda *_: pytest.fail("measured again"))
        second = image_features.reference(images, backbone, ["logits"])
    np.testing.assert_array_equal(first.moments.m2, second.moments.m2)
    np.testing.assert_array_equal(first.logits, second.logits)
    kept.write_bytes(kept.read_bytes()[:-100])
    third = image_features.reference(images, backbone, ["logits"])
    assert "made anew" in capsys.readouterr().out
    np.testing.assert_array_equal(first.moments.m2, third.moments.m2)
    # A file without one of the required arrays is replaced as well.
    with np.load(kept) as file:
        arrays = {name: file[name] for name in file.files if name != "logits"}
    np.savez(kept, **arrays)
    assert image_features.reference(images, backbone, ["logits"]).logits is not None
    assert "made anew" in capsys.readouterr().out
    # Another network has a file of its own.
    other = backbone._replace(sha256="cd" * 32)
    image_features.reference(images, other, ["logits"])
    assert len(list(kept.parent.iterdir())) == 2


def test_someones_statistics(network, run, tmp_path):
    features = data.load_digits()[0].reshape(5000, -1).astype(np.float32) / np.float32(255) @ network
    path = tmp_path / "stats.npz"
    np.savez(path, mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    flags = (f"--workdir={run}", f"--num={NUM}", "--metrics=fcd")
    assert main(evaluate, *flags, f"--reference={path}") == 0
    assert main(evaluate, *flags) == 0
    theirs, ours = scored(run / "scores.json")
    np.testing.assert_allclose(theirs["scores"]["fcd"], ours["scores"]["fcd"], rtol=1e-5)
    assert theirs["receipt"]["reference"]["statistics"] == "stats.npz"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": [0, np.nan], "sigma": np.eye(2)}, "holds a NaN"),
        ({"mu": [0, 1], "sigma": [[1, 0], [0, np.inf]]}, "holds a NaN"),
        ({"mu": [0, 1], "sigma": -np.eye(2)}, "no covariance"),
        ({"mu": [0, 1], "sigma": [[1, 0.5], [0, 1]]}, "no covariance"),
        ({"mu": [0, 1], "sigma": np.eye(3)}, r"\(D, D\)"),
        ({"mu": [0, 1]}, "cannot be read"),
    ],
)
def test_statistics_that_are_none(network, run, tmp_path, arrays, message):
    path = tmp_path / "stats.npz"
    np.savez(path, **{name: np.asarray(value, float) for name, value in arrays.items()})
    assert re.search(message, refused(run, f"--workdir={run}", "--metrics=fcd", f"--reference={path}"))


def test_files_that_hold_no_statistics(network, run, tmp_path):
    whole, part, other = (tmp_path / name for name in ("whole.npz", "part.npz", "other.npy"))
    np.savez(whole, mu=np.zeros(DIM), sigma=np.eye(DIM))
    part.write_bytes(whole.read_bytes()[:200])
    np.save(other, np.eye(DIM))
    for path in (part, other):
        assert "cannot be read" in refused(run, f"--workdir={run}", "--metrics=fcd", f"--reference={path}")


def test_sub_folders_are_labels_by_name_and_in_files_of_any_number(network, tmp_path, monkeypatch, capsys):
    # One folder has the name of a digit, and the other has a name that is not the label of any digit.
    pixels, labels = data.load_digits()
    for label in (2, 10):
        (tmp_path / "made" / str(label)).mkdir(parents=True)
        for i, image in enumerate(pixels[labels == label % 10][:10]):
            Image.fromarray(image[..., 0]).save(tmp_path / "made" / str(label) / f"{i}.png")
    made = image_sets.of_folder(tmp_path / "made", 1, numbered=True)
    assert sorted(set(np.concatenate([batch.labels for batch in made.batches()]).tolist())) == [2, 10]
    by_place = image_sets.of_folder(tmp_path / "made", 1)
    assert sorted(set(np.concatenate([batch.labels for batch in by_place.batches()]).tolist())) == [0, 1]
    out = tmp_path / "scores.json"
    flags = (f"--images={tmp_path}/made", *DIGITS, f"--out={out}")
    with pytest.raises(SetupError, match="class 10 has 0 real samples"):
        main(evaluate, *flags, "--metrics=class_fcd")
    (tmp_path / "made" / "10").rename(tmp_path / "made" / "ten")
    with pytest.raises(SetupError, match="sub-folder 'ten': a score by class needs them named by"):
        main(evaluate, *flags, "--metrics=class_fcd")
    # There are more images than the number of images whose pixels are kept.
    monkeypatch.setattr(image_features, "PIXELS", 12)
    assert main(evaluate, *flags, "--metrics=ms_ssim") == 0
    scores = scored(out)[0]["scores"]
    assert 0 < scores["ms_ssim"] < 1
    assert "ms_ssim_real" not in scores  # there are no real images of class 10


def test_scores_that_need_more_than_moments(network, run):
    flags = ("--metrics=ms_ssim,parzen,class_fcd", f"--workdir={run}", "--num=64")
    with pytest.raises(SetupError, match="metric class_fcd needs samples with labels"):
        main(evaluate, *flags)
    assert main(evaluate, flags[0].replace(",class_fcd", ""), *flags[1:]) == 0
    (result,) = scored(run / "scores.json")
    assert 0 < result["scores"]["ms_ssim"] < 1
    assert 0 < result["scores"]["ms_ssim_real"] < 1
    assert result["scores"]["parzen_error"] > 0


def test_the_path_length_is_the_generators(network, run, tmp_path, monkeypatch):
    flags = (f"--workdir={run}", "--backbone=some.safetensors", "--metrics=path_length", "--num=32")
    assert main(evaluate, *flags) == 0
    doubled = backbones.open_backbone("", {})

    def apply(images):
        found = doubled.apply(images)
        return {**found, "features": 2 * found["features"]}

    monkeypatch.setattr(backbones, "open_backbone", lambda *_: doubled._replace(apply=apply))
    assert main(evaluate, *flags, f"--out={tmp_path}/doubled.json") == 0
    (one,), (four,) = scored(run / "scores.json"), scored(tmp_path / "doubled.json")
    assert one["scores"]["path_length"] > 0
    np.testing.assert_allclose(four["scores"]["path_length"], 4 * one["scores"]["path_length"], rtol=1e-3)


def refused(run, *arguments, opened=True):
    """Returns the message of a command that is refused before it writes anything.

    Args:
      run: Folder in which the command must not write.
      *arguments: Arguments of the command.
      opened: Whether the command may open a network before it is refused.
    """
    before = sorted(run.rglob("*"))
    with pytest.MonkeyPatch.context() as context:
        if not opened:
            context.setattr(backbones, "open_backbone", lambda *_: pytest.fail("the network was opened"))
        with pytest.raises(SetupError) as caught:
            main(evaluate, *arguments)
    assert sorted(run.rglob("*")) == before, "something was written"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "either --workdir=DIR.*or --images=FOLDER"),
        (["--workdir=nowhere"], "--workdir nowhere holds no run"),
        (["--workdir={run}", "--images=x"], "either --workdir"),
        (["--workdir={run}", "--metrics=fdc"], "unknown metric 'fdc': did you mean 'fcd'"),
        (["--workdir={run}", "--metrics=fid"], "metric fid is not made with classifier: give fcd"),
        (["--workdir={run}", "--num=1"], "--num is 1"),
        (["--workdir={run}", "--seed=-1"], "--seed is -1"),
        (["--workdir={run}", "--standing=-1"], "--standing is -1"),
        (["--workdir={run}", "--truncation=0"], "--truncation is 0: give a positive number"),
        (["--workdir={run}", "--truncation=0.5,x"], "--truncation is 0.5,x: give a positive number"),
        (["--workdir={run}", "--truncation=0.5,"], "--truncation is 0.5,: give a positive number"),
        (["--workdir={run}", "--truncation="], "--truncation is : give a positive number"),
        (["--workdir={run}", "--truncation=1,inf"], "--truncation is 1,inf: give a positive number"),
        (["--workdir={run}", "--out=scores.txt"], "--out scores.txt does not end in .json"),
        (["--workdir={run}", "--out=/proc/scores.json"], "--out /proc/scores.json cannot be written"),
        (["--workdir={run}", "--data.name=ring"], "data.name ring has points"),
        (["--workdir={run}", "--reference={run}/config.json"], "config.json cannot be read"),
        (["--workdir={run}", "--metrics=copying", "--num=9"], "give --held_out=SPLIT"),
        (["--images={run}", "--metrics=path_length", "--backbone=x", *DIGITS], "is a generator's"),
        (["--workdir={run}", "--every", "--best"], "--best is one checkpoint and --every all"),
        (["--workdir={run}", "--data.split=tests"], "unknown data.split 'tests': did you mean 'test'"),
        (["--workdir={run}", "--metrics=copying", "--held_out=tests"], "unknown data.split 'tests'"),
        (["--images={run}", "--truncation=1,2", *DIGITS], "--truncation is about a run's generator"),
        (["--images={run}", "--raw"], "--raw is about a run's generator"),
        (["--images={run}"], "there is no run that tells data.name: give --data.name"),
        (
            ["--images=nowhere", *DIGITS],
            "nowhere is not a folder",
        ),
        (
            ["--images={run}/checkpoints", *DIGITS],
            "holds no images",
        ),
        (
            ["--images={run}", "--data.name=tfds/cifar10", "--data.size=32", "--data.channels=3"],
            "give --backbone=FILE.safetensors",
        ),
    ],
)
def test_what_cannot_be_scored(network, run, monkeypatch, flags, message):
    monkeypatch.chdir(run.parent)
    given = [flag.format(run=run) for flag in flags]
    assert re.search(message, refused(run, *given))


def test_wrong_fields_of_the_data_are_refused_before_the_network_is_opened(run):
    error = refused(run, f"--workdir={run}", "--data.path=x", opened=False)
    assert "unknown data field of digits 'path'" in error


def noise_png():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:400]),
            "b.png cannot",
        ),
        (lambda folder: Image.new("L", (28, 30)).save(folder / "b.png"), "give images of one size"),
        (lambda folder: None, "1 sample"),
    ],
)
def test_bad_folders(network, run, tmp_path, make, message):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.png").write_bytes(noise_png())
    make(folder)
    flags = (
        "--data.name=digits",
        "--data.size=28",
        "--data.channels=1",
        f"--out={run}/scores.json",
        "--metrics=fcd",
    )
    assert re.search(message, refused(run, f"--images={folder}", *flags, opened=False))


def test_statistics_that_would_need_pickle(network, run, tmp_path):
    path = tmp_path / "stats.npz"
    np.savez(path, mu=np.array([{}], object), sigma=np.eye(1))
    message = refused(run, f"--workdir={run}", "--metrics=fcd", f"--reference={path}")
    assert "stats.npz cannot be read" in message
    assert "mu and sigma" in message


def test_fewer_samples_than_dimensions_are_warned_of(network, run, capsys):
    assert main(evaluate, f"--workdir={run}", "--num=5", "--metrics=fcd") == 0
    error = capsys.readouterr().err
    assert re.search(r"^warning: .*5 .*6", error, re.MULTILINE), error
    assert "UserWarning" not in error


def test_a_spread_that_subsets_cannot_have_is_warned_of():
    rng = np.random.default_rng(0)

    def drawn(count):
        features = rng.normal(size=(count, DIM)).astype(np.float32)
        return image_features.Measured(image_features.moments.from_features(features), features)

    with pytest.warns(UserWarning, match="all of 20 real and 20 fake"):
        image_metrics.compute(image_metrics.Sets(drawn(20), drawn(20), None, None), ["kid"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = image_metrics.compute(image_metrics.Sets(drawn(30), drawn(20), None, None), ["kid"])
    assert scores["kid_std"] > 0


def test_features_that_are_no_numbers(network, run, monkeypatch):
    def apply(images):
        return {"features": jnp.full((len(images), DIM), jnp.nan), "logits": jnp.zeros((len(images), 10))}

    broken = Backbone("classifier-broken", "ef" * 32, "none", apply)
    monkeypatch.setattr(backbones, "open_backbone", lambda *_: broken)
    message = refused(run, f"--workdir={run}", "--num=8", "--metrics=fcd")
    assert "features that are not finite" in message


def test_a_broken_generator_is_refused(network, run, monkeypatch):
    whole = restore.restore

    def broken(*args, **kwargs):
        found = whole(*args, **kwargs)
        player = found.state.generator
        nans = jax.tree.map(lambda x: x * np.nan, player.ema_params)
        return found._replace(state=found.state.replace(generator=player.replace(ema_params=nans)))

    monkeypatch.setattr(restore, "restore", broken)
    message = refused(run, f"--workdir={run}", "--num=8", "--metrics=fcd")
    assert "samples 0 to 7 are not finite numbers" in message


def test_several_truncations_are_one_table_and_one_curve(network, run, tmp_path, capsys):
    common = (f"--workdir={run}", "--num=64", "--metrics=fcd,prdc,classifier_score")
    assert main(evaluate, *common, "--truncation=2,0.5,0.05,0.5") == 0
    results = scored(run / "scores.json")
    assert [each["name"] for each in results] == [f"step 12, truncation {x}" for x in ("2", "0.5", "0.05")]
    for result, truncation in zip(results, (2.0, 0.5, 0.05), strict=True):
        assert result["receipt"]["scored"]["truncation"] == truncation
        samples = np.concatenate(
            list(restore.draw(restore.restore(run), 64, seed=0, truncation=truncation))
        )
        expected = by_hand(data.to_uint8(samples), network)
        np.testing.assert_allclose(result["scores"]["fcd"], expected, rtol=1e-5)
    assert "not to be compared" not in capsys.readouterr().out
    # The receipts differ in the truncation alone.
    for result in results:
        del result["receipt"]["scored"]["truncation"]
    assert results[0]["receipt"] == results[1]["receipt"] == results[2]["receipt"]
    page = (run / "scores.html").read_text()
    assert page.count("<table") == page.count("<svg") == 1
    # Another truncation joins them, a score of an older one is merged, and a single truncation is apart.
    assert main(evaluate, *common, "--truncation=0.5,1") == 0
    assert len(scored(run / "scores.json")) == 4
    assert main(evaluate, *common, "--truncation=0.5") == 0
    *_, single = results = scored(run / "scores.json")
    assert (len(results), single["name"], single["receipt"]["generated"]["truncation"]) == (
        5,
        "step 12",
        0.5,
    )
    same = next(each for each in results if each["name"] == "step 12, truncation 0.5")
    assert single["scores"] == same["scores"]
    assert "generated.truncation 'several' and 0.5" in capsys.readouterr().out


def test_a_trade_off_has_a_point_for_each_truncation_and_a_line_for_each_checkpoint():
    def result(step, truncation, **scores):
        scored = {"step": step, "truncation": truncation}
        return {"name": "", "scores": scores, "receipt": {"metrics": {}, "scored": scored}}

    results = [
        result(step, truncation, precision=0.9 - truncation / 9, recall=truncation / 9)
        for step in (1, 2)
        for truncation in (2.0, 0.123, 1.0)
    ]
    svg = str(scores_page.trade_offs(results).svg)
    assert svg.count("<!-- 0.123 -->") == 2
    assert "<!-- precision -->" in svg
    assert "<!-- fid -->" not in svg
    assert scores_page.trade_offs([result(1, 1.0, fcd=3.0)]) is None


def test_labels_count_only_between_systems_that_read_them():
    def made(**generated):
        return {"scored": {}, "metrics": {"fcd": {}}, "generated": {"count": 8, **generated}}

    uniform, as_data = made(labels="uniform"), made(labels="as in the data")
    assert receipts.differences(made(), uniform) == receipts.differences(uniform, made()) == []
    assert receipts.differences(uniform, as_data) == ["generated.labels 'uniform' and 'as in the data'"]
    assert receipts.differences(made(), {**uniform, "generated": {"count": 9, "labels": "uniform"}}) == [
        "generated.count 8 and 9"
    ]
