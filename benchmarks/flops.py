"""Compares the FLOPs of the compiled train step with those that the algorithm needs.

    python -m benchmarks.flops [--only=dcgan_mnist,sngan_cifar10] [--batch=N]

The needed FLOPs are counted by hand in :mod:`benchmarks.arithmetic`. The compiled FLOPs are those of the
matrix products and convolutions in the optimised program, with loops counted as often as they run. Neither
includes elementwise work. Each config is compiled twice for the CPU of this machine:

* ``direct``: with the convolutions that GPUs and TPUs use (the step exported for a TPU), compared with the
  definition of a convolution;
* ``minimal``: as a run on a CPU compiles it, compared with what minimal filtering needs for each layer that
  uses it (:mod:`jaxgan.ops.winograd`).

Nothing is trained, no dataset is read, and neither a TPU nor a GPU is needed. All configs together take 4
to 5 minutes on 2 cores.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import export
from ml_collections import ConfigDict

from benchmarks import arithmetic, command
from benchmarks.arithmetic import Layer, Network
from experiments.cli import config_files
from experiments.dry_run import costs, hlo
from experiments.training import build, derived, staging
from jaxgan import parallel
from jaxgan.ops import conv
from jaxgan.steps import GAN, train_step

PyTree = Any
WANTED = 1.02
# Systems that are counted by hand, with the role of their second player, and families of networks.
COUNTED = {"adversarial": "critic", "began": "autoencoder"}
FAMILIES = ("dcgan", "mlp", "resnet")


def minimal(layer: Layer) -> int:
    """Returns the multiplications of one product for one sample on a CPU.

    They are those of :mod:`jaxgan.ops.conv`. Tiles of 2 × 2 outputs take (r + 1)² products over the
    channels of all phases, with r = ⌈kernel / stride⌉. Layers with few channels are one product with every
    window written out, padding included.

    Raises:
      ValueError: A CPU computes the layer with XLA's own convolution.
    """
    inputs, outputs, side, kernel, stride, *_ = layer
    out, taps = -(-side // stride), -(-kernel // stride)
    channels = outputs if layer.transposed else inputs  # Channels of the images, the larger side.
    if stride == 1:
        channels = min(inputs, outputs)
    if taps == 1 or channels * stride**2 < conv.THIN or out == 1:
        return (out * taps * stride) ** 2 * inputs * outputs
    if taps > conv.MOST_TAPS:
        raise ValueError(f"{layer}: a CPU computes it with XLA's own convolution")
    return (-(-out // 2) * (taps + 1) * stride) ** 2 * inputs * outputs


def uncounted(config: ConfigDict) -> str:
    """Returns why a config is not counted by hand, or an empty string if it is."""
    if config.gan.name not in COUNTED:
        return f"system {config.gan.name} is not counted by hand"
    for values in config.models.values():
        if values.family not in FAMILIES:
            return f"family {values.family} is not counted by hand"
        if values.get("attention"):
            return "self-attention is not counted by hand"
    if "autoencoder" in config.models and (family := config.models.autoencoder.family) != "mlp":
        return f"an auto-encoder of family {family} is not counted by hand"
    return ""


def networks(config: ConfigDict) -> tuple[Network, Network]:
    """Returns the layers of a config's generator and critic.

    Raises:
      ValueError: The system, a family or a layer of the config is not counted by hand.
    """
    if reason := uncounted(config):
        raise ValueError(reason)
    shape, dim = derived.spec_of(config).shape, config.latent.dim
    size, channels = shape[0], shape[-1]
    ours, theirs = config.models.generator, config.models[COUNTED[config.gan.name]]
    spectral = theirs.get("norm") == "spectral"
    if ours.get("norm") == "spectral":
        raise ValueError("a spectrally normalised generator is not counted by hand")
    generators: dict[str, Callable[[], Network]] = {
        "dcgan": lambda: arithmetic.dcgan_generator(size, channels, ours.width, ours.kernel_size, dim),
        "mlp": lambda: arithmetic.mlp(dim, ours.hidden, math.prod(shape)),
        "resnet": lambda: arithmetic.resnet_generator(size, channels, ours.width, dim),
    }
    critics: dict[str, Callable[[], Network]] = {
        "dcgan": lambda: arithmetic.dcgan_critic(
            size, channels, theirs.width, theirs.kernel_size, spectral
        ),
        "mlp": lambda: arithmetic.mlp(math.prod(shape), theirs.hidden, 1),
        "resnet": lambda: arithmetic.resnet_critic(size, channels, theirs.width, spectral),
    }
    if config.gan.name == "began":
        middle = (*theirs.hidden, theirs.code, *reversed(theirs.hidden))
        return generators[ours.family](), arithmetic.mlp(math.prod(shape), middle, math.prod(shape))
    return generators[ours.family](), critics[theirs.family]()


def needed(config: ConfigDict, batch: int, count: arithmetic.Count) -> int:
    """Returns the FLOPs that one step of a config needs, counted by hand.

    Args:
      config: Config of the step.
      batch: Batch size.
      count: Function that returns the multiplications of one product of a layer for one sample.

    Raises:
      ValueError: The system or the penalties of the config are not counted by hand.
    """
    layers = networks(config)
    penalties = {name: x for name, x in config.get("penalties", {}).items() if x.weight}
    if set(penalties) - {"gradient_penalty"}:
        raise ValueError(f"penalties {', '.join(penalties)} are not counted by hand")

    def step(penalised: bool) -> int:
        return arithmetic.step(
            *layers,
            batch=batch,
            n_critic=config.n_critic,
            gradient_penalty=penalised,
            curved=config.models[COUNTED[config.gan.name]].get("norm") == "layer",
            count=count,
        )

    interval = penalties["gradient_penalty"].get("every", 1) if penalties else 1
    return step(False) + (step(bool(penalties)) - step(False)) // interval


class Step(NamedTuple):
    """A train step with the shapes of its arguments.

    Attributes:
      function: The train step.
      state: Shapes of the state.
      batch: Shapes of the batch.
    """

    function: Callable[..., Any]
    state: PyTree
    batch: PyTree


def open_step(config: ConfigDict, batch: int, gan: GAN) -> Step:
    """Returns the train step of a config for a batch size, on samples as the losses take them."""
    samples = jax.eval_shape(lambda: derived.spec_of(config).zeros(max(config.n_critic, 1), batch))

    def step(state: PyTree, batch: PyTree) -> tuple[PyTree, PyTree]:
        return train_step(
            state, batch, gan=gan, ema_decay=derived.ema_decay(config), n_critic=config.n_critic
        )

    return Step(step, jax.eval_shape(build.initializer(config, gan)), samples)


def compiled_flops(step: Step, own: bool) -> int:
    """Returns the FLOPs of the matrix products and convolutions that the CPU compiler leaves in a step.

    Args:
      step: Step to compile.
      own: Whether to use XLA's own convolutions, as on other platforms, instead of the matrix products that
        the CPU uses.
    """
    function = step.function
    if own:
        anywhere = [export.DisabledSafetyCheck.platform()]
        exported = export.export(jax.jit(function), platforms=["tpu"], disabled_checks=anywhere)
        function = exported(step.state, step.batch).call
    mesh = parallel.device_mesh(jax.devices("cpu")[:1])
    jitted: Any = parallel.jit_step(function, mesh)
    text = jitted.lower(step.state, step.batch).compile().as_text()
    return sum(product.flops for product in costs.products(hlo.parse(text)))


def compare(config: ConfigDict, batch: int, gan: GAN | None = None) -> dict[str, tuple[int, int]]:
    """Returns needed and compiled FLOPs, with direct convolutions and with minimal filtering."""
    step = open_step(config, batch, gan or build.build(config))
    return {
        "direct": (needed(config, batch, arithmetic.direct), compiled_flops(step, True)),
        "minimal": (needed(config, batch, minimal), compiled_flops(step, False)),
    }


def load(name: str) -> ConfigDict:
    """Returns a config by its name; of a config with several stages, the last stage."""
    return staging.stage_configs(config_files.load(f"{name}.py").values)[-1].config


def names() -> list[str]:
    """Returns the names of the configs that are counted by hand."""
    known = [name.removesuffix(".py") for name in config_files.list_configs()]
    return [name for name in known if not uncounted(load(name))]


def main() -> None:
    """Prints a line for each config and kind of convolution."""
    parser = command.parser(__doc__, names())
    parser.add_argument("--batch", type=int, help="batch size to use instead of each config's own")
    chosen, given = command.parse(parser, names())
    jax.config.update("jax_platforms", "cpu")
    print(f"{'config':<22} {'batch':>5}  {'kind':<8}{'needed':>15}{'compiled':>15}   ratio")
    worst = 0.0
    for name in chosen:
        config = load(name)
        batch = given.batch or config.batch_size
        for kind, (by_hand, compiled) in compare(config, batch).items():
            ratio = compiled / by_hand
            worst = max(worst, ratio)
            print(
                f"{name:<22} {batch:>5}  {kind:<8}{by_hand / 1e9:>9.3f} GFLOP{compiled / 1e9:>9.3f} GFLOP"
                f"  {ratio:6.4f}  wanted {WANTED}",
                flush=True,
            )
    if worst > WANTED:
        raise SystemExit(f"error: {worst:.4f} times what is needed; wanted {WANTED}")


if __name__ == "__main__":
    main()
