"""Set before JAX starts: eight CPU devices, one compilation cache for all processes of the session."""

import os
import tempfile
from pathlib import Path

# Compilation is most of the suite's time, and tiny models gain nothing from the costly passes.
FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = f"{FAST_COMPILATION} --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
_cache = os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "jaxgan-test-compilations")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from jaxgan import data, latents, losses, optimizers, penalties  # noqa: E402
from jaxgan.gans.unconditional import unconditional  # noqa: E402
from jaxgan.models import dcgan  # noqa: E402

settings.register_profile(
    "jaxgan", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("jaxgan")


def component(present: bool, name: str, how: str) -> None:
    """Skips a test whose component is absent; in CI, which installs them all, fails it."""
    if not present:
        message = f"{name} is absent: {how}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def tiny_gan(loss="non_saturating", norm="batch", penalty=None, optimizer=None, axis_name=None, size=16):
    """A DCGAN of a few hundred parameters, made by the same code as the large ones."""
    tx = optimizer or optimizers.build("adam", learning_rate=1e-3, b1=0.5)
    weighted = {}
    if penalty:
        function = penalties.PENALTIES[penalty]
        weighted = {penalty: lambda f, real, fake, key: 10.0 * function(f, real, fake, key)}
    return unconditional(
        dcgan.Generator(size, 1, 4, norm="batch", axis_name=axis_name),
        dcgan.Critic(4, norm=norm, axis_name=axis_name),
        loss=losses.get(loss),
        generator_tx=tx,
        critic_tx=tx,
        prior=functools.partial(latents.normal, dim=6),
        penalties=weighted,
        axis_name=axis_name,
    )


def tiny_batch(n_critic=1, batch_size=16, seed=0, size=16):
    """Blobs whose brightness varies: (n_critic, B, size, size, 1) in [−1, 1]."""
    rng = np.random.default_rng(seed)
    images = np.tanh(
        rng.normal(size=(n_critic, batch_size, size, size, 1))
        + rng.normal(size=(n_critic, batch_size, 1, 1, 1))
    ).astype(np.float32)
    rows = np.broadcast_to(np.arange(batch_size, dtype=np.int32), (n_critic, batch_size))
    return {"real": images, "row": rows}


def example(batch):
    """The first of the critic's batches, as a loss takes it."""
    return {name: values[0] for name, values in batch.items()}


@pytest.fixture(scope="session")
def digits():
    return data.load_digits()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def rows():
    return jnp.arange(16)
