"""The workloads in jaxgan, compiled in the same way as a run compiles them.

They use jaxgan's losses, models, systems and train step.
"""

import functools
import itertools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, latents, losses, optimizers, parallel, regularizers
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import dcgan, mlp, resnet
from jaxgan.steps import GAN, train_step

Run = Callable[[int], None]


def _gan(
    generator: Any, critic: Any, loss: str, dim: int, b1: float = 0.5, b2: float = 0.999, **more: Any
) -> GAN:
    tx = optimizers.build("adam", learning_rate=2e-4, b1=b1, b2=b2)
    return adversarial(
        generator,
        critic,
        loss=losses.get(loss),
        generator_tx=tx,
        critic_tx=tx,
        prior=functools.partial(latents.normal, dim=dim),
        **more,
    )


def _images(n_critic: int, batch: int, size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (n_critic, batch, size, size, 3)).astype(np.float32)
    return {"real": real, "row": np.broadcast_to(np.arange(batch, dtype=np.int32), (n_critic, batch))}


def _dcgan64() -> tuple[GAN, Any, int]:
    return _gan(dcgan.Generator(64), dcgan.Critic(), "non_saturating", 100), _images(1, 64, 64), 0


def _wgan_gp32() -> tuple[GAN, Any, int]:
    pair = dcgan.Generator(32), dcgan.Critic(norm="layer")
    penalty = regularizers.penalty("gradient_penalty", weight=10.0)
    gan = _gan(*pair, "wasserstein", 100, 0.0, 0.9, regularizers={"gradient_penalty": penalty})
    return gan, _images(5, 64, 32), 0


def _sn_resnet32() -> tuple[GAN, Any, int]:
    return _gan(resnet.Generator(32), resnet.Critic(), "hinge", 128, 0.0, 0.9), _images(1, 16, 32), 0


def _mlp(hidden: int, layers: int, batch: int, members: int) -> tuple[GAN, Any, int]:
    widths = (hidden,) * layers
    gan = _gan(mlp.Generator((2,), widths), mlp.Critic(widths), "non_saturating", 2)
    return gan, batch, members


BUILDERS: dict[str, Callable[[], tuple[GAN, Any, int]]] = {
    "dcgan64": _dcgan64,
    "wgan_gp32": _wgan_gp32,
    "sn_resnet32": _sn_resnet32,
    "mlp": lambda: _mlp(128, 3, 256, 0),
    "mlp_x16": lambda: _mlp(128, 3, 256, 16),
    "mlp_x64": lambda: _mlp(64, 2, 128, 64),
}


class Prepared(NamedTuple):
    """A workload that is ready to run.

    Attributes:
      step: The jitted step.
      state: The first state.
      batches: Batches on the devices.
    """

    step: Any
    state: Any
    batches: list[Any]


def prepare(name: str) -> Prepared:
    """Returns a workload whose step is compiled at the first call."""
    gan, given, members = BUILDERS[name]()
    if members:  # The members are shared by one device per core.
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    mesh = parallel.device_mesh(axis=parallel.MEMBERS_AXIS if members else parallel.AXIS)
    points = data.open_source("ring", path="", seed=0) if isinstance(given, int) else None
    if points:
        batches = points.batches(seed=0, n_critic=1, batch_size=given)
        put = parallel.replicate if members else parallel.shard_batch
        ready = [put(batches[i], mesh) for i in range(64)]
        example = {"real": jnp.zeros((1, 1, 2)), "row": jnp.zeros((1, 1), int)}
    else:
        ready = [parallel.shard_batch(given, mesh)]
        example = ready[0]

    def one(state: Any, batch: Any) -> Any:
        return train_step(state, batch, gan=gan, ema_decay=0.999)

    def step(state: Any, batch: Any) -> Any:
        return one(state, points.prepare(batch) if points else batch)

    if members:
        keys = jax.random.split(jax.random.key(0), members)
        state = parallel.split_members(jax.vmap(gan.init, (0, None))(keys, example), mesh)
        return Prepared(parallel.jit_members(step, mesh), state, ready)
    state = parallel.replicate(gan.init(jax.random.key(0), example), mesh)
    return Prepared(parallel.jit_step(step, mesh), state, ready)


def build(name: str) -> Run:
    """Returns a function that trains a workload for a given number of steps and waits for them."""
    return runner(prepare(name))


def runner(prepared: Prepared) -> Run:
    """Returns the same function as :func:`build` for a prepared workload.

    The state of the workload is donated.
    """
    step, state, batches = prepared
    batches_in_turn = itertools.cycle(batches)

    def run(steps: int) -> None:
        nonlocal state
        before = None
        for _ in range(steps):
            state, metrics = step(state, next(batches_in_turn))
            # As in the training loop, a step is dispatched while the previous one runs.
            jax.block_until_ready(before)
            before = metrics
        jax.block_until_ready(state)

    return run


def matmul() -> Run:
    """Returns a function that computes a 2048³ matrix product a given number of times."""
    a, b = jax.random.normal(jax.random.key(0), (2, 2048, 2048))
    product = jax.jit(jnp.matmul)

    def run(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(product(a, b))

    return run
