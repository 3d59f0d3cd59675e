"""DCGAN as a good but naive Flax user writes it, as a baseline for the step of jaxgan.

The networks, the loss, the optimiser and the averages are those of ``dcgan_celeba.py``, layer for layer.
Only the implementation is the textbook's: ``nn.Conv``, ``nn.ConvTranspose``, ``nn.BatchNorm``,
``jax.value_and_grad`` and ``optax.adam``.
"""

from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

Array = jax.Array
PyTree = Any

LATENT_DIM = 100
EMA_DECAY = 0.999


class Generator(nn.Module):
    """Maps latent codes to images in [−1, 1].

    Attributes:
      size: Side of the images in pixels, a power of two.
      channels: Colour channels.
      width: Feature maps of the last hidden layer.
      kernel: Side of the kernels in pixels.
      dtype: Type of the computation.
    """

    size: int
    channels: int
    width: int
    kernel: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """Maps (B, dim) to (B, size, size, channels)."""
        doublings = (self.size // 4).bit_length() - 1
        features = self.width * 2 ** (doublings - 1)
        x = nn.Dense(4 * 4 * features, use_bias=False, dtype=self.dtype)(z)
        x = x.reshape(-1, 4, 4, features)
        x = nn.relu(nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=self.dtype)(x))
        for _ in range(doublings - 1):
            features //= 2
            window = (self.kernel, self.kernel)
            x = nn.ConvTranspose(features, window, (2, 2), use_bias=False, dtype=self.dtype)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=self.dtype)(x))
        x = nn.ConvTranspose(self.channels, (self.kernel, self.kernel), (2, 2), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))


class Critic(nn.Module):
    """Maps images to logits.

    Attributes:
      width: Feature maps of the first layer.
      kernel: Side of the kernels in pixels.
      dtype: Type of the computation.
    """

    width: int
    kernel: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, size, size, channels) to (B,)."""
        for i in range((x.shape[1] // 4).bit_length() - 1):
            window = (self.kernel, self.kernel)
            x = nn.Conv(self.width * 2**i, window, (2, 2), use_bias=i == 0, dtype=self.dtype)(x)
            if i > 0:
                x = nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, 0.2)
        return nn.Dense(1, dtype=self.dtype)(x.reshape(len(x), -1))[:, 0].astype(jnp.float32)


class State(flax.struct.PyTreeNode):
    """The training state.

    Attributes:
      step: Number of steps taken.
      key: Random key of the run.
      generator: Parameters and batch statistics of the generator.
      generator_opt: State of the generator's optimiser.
      ema: Moving average of the generator's variables.
      critic: Parameters and batch statistics of the critic.
      critic_opt: State of the critic's optimiser.
    """

    step: Array
    key: Array
    generator: PyTree
    generator_opt: PyTree
    ema: PyTree
    critic: PyTree
    critic_opt: PyTree


class Naive:
    """The system, with an initial state and a step.

    Args:
      size: Side of the images in pixels, a power of two.
      width: Feature maps of the critic's first layer.
      channels: Colour channels.
      kernel: Side of all kernels in pixels.
      dtype: Type of the computation; parameters are float32.
    """

    def __init__(self, size: int, width: int, channels: int, kernel: int, dtype: Any = jnp.float32):
        self.shape = (size, size, channels)
        self.generator = Generator(size, channels, width, kernel, dtype)
        self.critic = Critic(width, kernel, dtype)
        self.tx = optax.adam(2e-4, b1=0.5)

    def init(self, key: Array) -> State:
        """Returns the initial state."""
        generator = self.generator.init(key, jnp.zeros((1, LATENT_DIM)))
        critic = self.critic.init(key, jnp.zeros((1, *self.shape)))
        return State(
            step=jnp.int32(0),
            key=key,
            generator=generator,
            generator_opt=self.tx.init(generator["params"]),
            ema=jax.tree.map(jnp.copy, generator),
            critic=critic,
            critic_opt=self.tx.init(critic["params"]),
        )

    def step(self, state: State, images: Array) -> tuple[State, dict[str, Array]]:
        """Updates the critic once and the generator once.

        Args:
          state: State before the step.
          images: Images, (B, size, size, channels) uint8.

        Returns:
          The state after the step, and both losses.
        """
        real = images.astype(jnp.float32) / 127.5 - 1.0
        z = jax.random.normal(jax.random.fold_in(state.key, state.step), (len(real), LATENT_DIM))

        def apply(module: nn.Module, params: PyTree, variables: PyTree, x: Array) -> tuple[Array, PyTree]:
            return module.apply({**variables, "params": params}, x, mutable=["batch_stats"])

        def critic_loss(params: PyTree) -> tuple[Array, PyTree]:
            fake, _ = apply(self.generator, state.generator["params"], state.generator, z)
            real_logits, updated = apply(self.critic, params, state.critic, real)
            fake_logits, _ = apply(self.critic, params, state.critic, fake)
            return jnp.mean(nn.softplus(-real_logits)) + jnp.mean(nn.softplus(fake_logits)), updated

        (critic_value, updated), gradient = jax.value_and_grad(critic_loss, has_aux=True)(
            state.critic["params"]
        )
        updates, critic_opt = self.tx.update(gradient, state.critic_opt)
        critic = {"params": optax.apply_updates(state.critic["params"], updates), **updated}

        def generator_loss(params: PyTree) -> tuple[Array, PyTree]:
            fake, updated = apply(self.generator, params, state.generator, z)
            logits, _ = apply(self.critic, critic["params"], critic, fake)
            return jnp.mean(nn.softplus(-logits)), updated

        (generator_value, updated), gradient = jax.value_and_grad(generator_loss, has_aux=True)(
            state.generator["params"]
        )
        updates, generator_opt = self.tx.update(gradient, state.generator_opt)
        generator = {"params": optax.apply_updates(state.generator["params"], updates), **updated}

        ema = jax.tree.map(lambda e, x: EMA_DECAY * e + (1 - EMA_DECAY) * x, state.ema, generator)
        state = state.replace(
            step=state.step + 1,
            generator=generator,
            generator_opt=generator_opt,
            ema=ema,
            critic=critic,
            critic_opt=critic_opt,
        )
        return state, {"critic_loss": critic_value, "generator_loss": generator_value}
