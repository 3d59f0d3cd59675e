"""Fixtures and small systems shared by the tests."""

import functools
import gc
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from jaxgan import data, latents, losses, optimizers, regularizers
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import dcgan
from tests import commands

settings.register_profile(
    "jaxgan", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("jaxgan")

FASHION = Path("/usr/share/datasets/fashion-mnist")

# Tracing creates many small objects that stay alive, and collecting them repeatedly slows the tests.
gc.set_threshold(200_000, 50, 100)
collect_ignore = ["stand_ins"]

# A script's background processes ignore SIGINT, and the commands started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist's own hook, which reads the marks
def pytest_collection_modifyitems(items):
    """Puts all tests that use the fixture ``finished`` on one worker, so that its run happens once."""
    for item in items:
        if "finished" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("finished"))


def component(present: bool, name: str, how: str) -> None:
    """Skips a test whose component is absent, or fails it in CI, where all components are installed."""
    if not present:
        message = f"{name} is absent: {how}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def tiny_gan(
    loss="non_saturating",
    norm="batch",
    penalty=None,
    optimizer=None,
    size=16,
    dtype="float32",
):
    """Builds a DCGAN of a few hundred parameters, with the same code as the large ones."""
    tx = optimizer or optimizers.build("adam", learning_rate=1e-3, b1=0.5)
    weighted = {}
    if penalty == "path_length":
        weighted = {penalty: regularizers.path_length(weight=10.0)}
    elif penalty:
        weighted = {penalty: regularizers.penalty(penalty, weight=10.0)}
    return adversarial(
        dcgan.Generator(size, 1, 4, norm="batch", dtype=dtype),
        dcgan.Critic(4, norm=norm, dtype=dtype),
        loss=losses.get(loss),
        generator_tx=tx,
        critic_tx=tx,
        prior=functools.partial(latents.normal, dim=6),
        regularizers=weighted,
    )


def tiny_batch(n_critic=1, batch_size=16, seed=0, size=16):
    """Returns a batch of noise images with varying brightness, (n_critic, B, size, size, 1) in [−1, 1]."""
    rng = np.random.default_rng(seed)
    images = np.tanh(
        rng.normal(size=(n_critic, batch_size, size, size, 1))
        + rng.normal(size=(n_critic, batch_size, 1, 1, 1))
    ).astype(np.float32)
    rows = np.broadcast_to(np.arange(batch_size, dtype=np.int32), (n_critic, batch_size))
    return {"real": images, "row": rows}


def example(batch):
    """Returns the first of the critic's batches, in the form that a loss takes."""
    return {name: values[0] for name, values in batch.items()}


def composed(gan, player):
    """Returns a player's loss including the generator's pass, as ``loss(params, state, batch, key)``."""

    def loss(params, state, batch, key):
        made_by = params if player == "generator" else state.generator.params
        fakes, model_state = gan.generate(made_by, state, batch, key, advance=player == "generator")
        value, aux = getattr(gan, f"{player}_loss")(params, state, batch, fakes, key)
        return value, aux if player == "critic" else aux._replace(model_state=model_state)

    return loss


def losses_of(gan, player):
    """Returns the loss of :func:`composed`, compiled, as a function of a state, a batch and a key."""
    loss = composed(gan, player)
    return jax.jit(lambda state, batch, key: loss(getattr(state, player).params, state, batch, key))


def fakes_of(gan):
    """Returns the generator's pass in the critic's update, compiled, with the same arguments."""
    return jax.jit(
        lambda state, batch, key: gan.generate(state.generator.params, state, batch, key, advance=False)[0]
    )


def with_optimizer(gan, state, tx, *players):
    """Returns the system and the state with another, freshly initialised optimiser for some players."""
    for player in players:
        own = getattr(state, player)
        gan = gan._replace(**{f"{player}_tx": tx})
        state = state.replace(**{player: own.replace(opt_state=tx.init(own.params))})
    return gan, state


@pytest.fixture(scope="session")
def digits():
    return data.load_digits()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for base in ("dcgan_mnist", "wgan_gp_mnist", "gan_gaussians"):
        (folder / f"{base}.py").write_text(commands.TINY.format(base=base))
    return folder


@pytest.fixture(scope="session")
def finished(configs, tmp_path_factory):
    """Trains in a separate process from a folder other than the project's, and returns its result."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    result = commands.execute(f"--config={configs}/dcgan_mnist.py", "--workdir=out", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return cwd / "out", result


@pytest.fixture(scope="session")
def fashion_mnist_dir(tmp_path_factory):
    """Returns a TFDS data folder that holds the four original files as if TFDS had downloaded them."""
    component(FASHION.is_dir(), "Fashion-MNIST", "apt-get install dataset-fashion-mnist")
    from etils import epath
    from tensorflow_datasets import builder
    from tensorflow_datasets.core.download import resource

    root = tmp_path_factory.mktemp("tfds")
    (root / "downloads").mkdir()
    for url, info in builder("fashion_mnist", data_dir=root).url_infos.items():
        path = root / "downloads" / resource.get_dl_fname(url, info.checksum)
        shutil.copy(FASHION / info.filename, path)
        resource.write_info_file(
            url=url,
            path=epath.Path(path),
            dataset_name="fashion_mnist",
            original_fname=info.filename,
            url_info=info,
        )
    return root
