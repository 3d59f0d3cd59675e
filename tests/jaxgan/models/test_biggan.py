"""Tests of BigGAN's and BigGAN-deep's networks against published counts, hand counts and formulas."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import SetupError
from jaxgan.models import biggan, biggan_deep

FAMILIES = pytest.mark.parametrize("family", [biggan, biggan_deep])
CLASSES = 3
LABELS = jnp.array([0, 1, 2, 1])


def shapes_of(module, *inputs):
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, True))


def count(module, *inputs):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(module, *inputs)["params"]))


def counts(family, size, width, dim, classes=1000, channels=3, attention=(64,)):
    labels = jnp.zeros(1, int)
    generator = family.Generator(size, channels, classes, width, attention)
    critic = family.Critic(classes, width, attention)
    images = jnp.zeros((1, size, size, channels))
    return count(generator, jnp.zeros((1, dim)), labels), count(critic, images, labels)


@pytest.mark.parametrize(
    ("family", "width", "dim", "expected"),
    [
        # The tests of google/compare_gan (resnet_biggan_test.py and resnet_biggan_deep_test.py) have these
        # numbers. The paper's table 1 gives 158.3 million for BigGAN, without the embedding of 128,000.
        (biggan, 96, 120, (70_433_988, 87_982_370)),
        (biggan_deep, 128, 128, (50_244_484, 34_590_210)),
        # The authors' note on their code, for 64 instead of 96 channels.
        (biggan, 64, 120, (31_978_628, 39_448_258)),
    ],
)
def test_the_networks_for_128_pixels_have_the_published_numbers_of_parameters(family, width, dim, expected):
    assert counts(family, 128, width, dim) == expected


def test_the_networks_for_32_pixels_by_a_count_by_hand():
    # In the authors' code, all blocks have 4 · width channels: the generator's three and the critic's four.
    width, classes, chunk, embedding = 32, 10, 30, 128
    c, condition = 4 * width, 30 + 128
    conv, shortcut, norm = 9 * c * c + c, c * c + c, 2 * condition * c
    attention = 2 * c * c // 8 + 2 * c * c // 2 + 1
    generator = (
        classes * embedding
        + (chunk * 16 * c + 16 * c)
        + 3 * (2 * norm + 2 * conv + shortcut)
        + attention
        + (2 * c + 9 * c + 1)
    )
    first = (9 * c + c) + conv + (c + c)
    critic = first + (2 * conv + shortcut) + 2 * 2 * conv + attention + (c + 1) + classes * c
    assert counts(biggan, 32, width, 120, classes, 1, (16,)) == (generator, critic)


# Channels in units of the width, from the paper's tables and, for 32 and 64 pixels, from the authors' code:
# the generator's after each block, from a side of 8 up, and the critic's with their sides.
UP = {
    16: (4, 4),
    32: (4, 4, 4),
    64: (16, 8, 4, 2),
    128: (16, 8, 4, 2, 1),
    256: (16, 8, 8, 4, 2, 1),
    512: (16, 8, 8, 4, 2, 1, 1),
}
DOWN = {
    16: ((8, 4), (8, 4), (8, 4)),
    32: ((16, 4), (8, 4), (8, 4), (8, 4)),
    64: ((32, 1), (16, 2), (8, 4), (4, 8), (4, 16)),
    128: ((64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (4, 16)),
    256: ((128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16), (4, 16)),
    512: ((256, 1), (128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16), (4, 16)),
}


def blocks_of(module, name, *inputs):
    """Returns the shapes (side, channels) of the outputs of a network's blocks, and that of its output."""

    def run():
        variables = module.init(jax.random.key(0), *inputs, True)
        out, kept = module.apply(
            variables, *inputs, True, capture_intermediates=True, mutable=["intermediates"]
        )
        found = {key: value["__call__"][0] for key, value in kept["intermediates"].items() if name in key}
        return out, found

    out, found = jax.eval_shape(run)
    ordered = sorted(found, key=lambda key: int(key.rpartition("_")[2]))
    assert all(found[key].shape[1] == found[key].shape[2] for key in ordered)
    return [found[key].shape[2:] for key in ordered], out.shape


@FAMILIES
@pytest.mark.parametrize(
    "size", [size if size < 128 else pytest.param(size, marks=pytest.mark.slow) for size in biggan.SIZES]
)
def test_the_blocks_have_the_papers_sides_and_channels(family, size):
    width, labels, dim = 4, jnp.zeros(2, int), 3 * (len(UP[size]) + 1)
    generator = family.Generator(size, 3, CLASSES, width, (8,), embedding=5)
    ups, images = blocks_of(generator, "GeneratorBlock", jnp.zeros((2, dim)), labels)
    assert images == (2, size, size, 3)
    critic = family.Critic(CLASSES, width, (8,))
    downs, logits = blocks_of(critic, "CriticBlock", jnp.zeros((2, size, size, 3)), labels)
    assert logits == (2,)
    expected_up = [(8 * 2**i, multiple * width) for i, multiple in enumerate(UP[size])]
    expected_down = [(side, multiple * width) for side, multiple in DOWN[size]]
    if family is biggan:
        assert (ups, downs) == (expected_up, expected_down)
        return
    # Two blocks at each side. The generator doubles in its second block and the critic halves in its first
    # one, whose multiple of the channels is that of the following side in the table of BigGAN.
    assert ups[1::2] == expected_up
    first = biggan.GENERATOR[size][0] * width
    assert ups[::2] == [(side // 2, inputs) for (side, _), inputs in zip(
        expected_up, [first, *(channels for _, channels in expected_up)], strict=False
    )]  # fmt: skip
    sides = [side for side, _ in expected_down]
    stages = [(side, channels) for side, (_, channels) in zip(sides, expected_down[1:], strict=False)]
    assert downs == [stage for stage in stages for _ in range(2)]


def start(module, *inputs):
    return jax.jit(lambda: module.init(jax.random.key(1), *inputs, True))()


def latents(dim, seed=0):
    return jax.random.normal(jax.random.key(seed), (len(LABELS), dim))


def generator(family, **options):
    return family.Generator(16, 1, CLASSES, 2, (8,), 5, **options)


def changed(variables, name, change):
    """Returns variables in which ``change`` was applied to the kernels of all modules of a name."""
    flat = flax.traverse_util.flatten_dict(variables["params"])
    flat = {path: change(x) if name in path and path[-1] == "kernel" else x for path, x in flat.items()}
    return {**variables, "params": flax.traverse_util.unflatten_dict(flat)}


@FAMILIES
@pytest.mark.parametrize("train", [False, True])
def test_a_generator_without_gains_and_biases_is_unconditional(family, train):
    module, z = generator(family), latents(6)
    variables = start(module, z, LABELS)
    if family is biggan_deep:  # Its first layer sees the label as well, in the first five inputs.
        dense = variables["params"]["Dense_0"]
        dense = {**dense, "kernel": dense["kernel"].at[:5].set(0.0)}
        variables = {**variables, "params": {**variables["params"], "Dense_0": dense}}
    zeroed = changed(changed(variables, "scale", jnp.zeros_like), "bias", jnp.zeros_like)
    apply = jax.jit(lambda variables, labels: module.apply(variables, z, labels, train))
    others = (LABELS + 1) % CLASSES
    np.testing.assert_array_equal(apply(zeroed, LABELS), apply(zeroed, others))
    assert np.abs(apply(variables, LABELS) - apply(variables, others)).max() > 0.01
    # Gains are then 1, not 0: the images depend on the latents.
    assert np.ptp(apply(zeroed, LABELS), axis=0).max() > 0.01


def test_each_chunk_of_the_latents_enters_at_its_own_block():
    module = biggan.Generator(32, 1, CLASSES, 2, (16,), 5)
    order = ["Dense_0", *(f"GeneratorBlock_{i}" for i in range(3))]
    z = latents(12)
    variables = start(module, z, LABELS)

    @jax.jit
    def layers(z, labels):
        # In evaluation no sample of the batch depends on the others.
        _, kept = module.apply(
            variables, z, labels, False, capture_intermediates=True, mutable=["intermediates"]
        )
        return [kept["intermediates"][name]["__call__"][0] for name in order]

    before = layers(z, LABELS)

    def moved(z, labels):
        return [bool((np.asarray(a) != b).any()) for a, b in zip(layers(z, labels), before, strict=True)]

    for chunk in range(4):
        other = z.at[:, 3 * chunk : 3 * chunk + 3].add(1.0)
        assert moved(other, LABELS) == [layer >= chunk for layer in range(4)]
    # The label enters at all blocks but not at the first layer.
    assert moved(z, (LABELS + 1) % CLASSES) == [False, True, True, True]
    assert moved(z, LABELS) == [False] * 4


def test_all_of_biggan_deeps_latents_enter_everywhere():
    module, z = generator(biggan_deep), latents(6)
    shapes = flax.traverse_util.flatten_dict(shapes_of(module, z, LABELS)["params"])
    inputs = {x.shape[0] for path, x in shapes.items() if any("Conditional" in name for name in path)}
    assert inputs == {6 + 5}
    assert shapes["Dense_0", "kernel"].shape[0] == 6 + 5


@FAMILIES
def test_all_kernels_start_orthogonal_and_all_but_the_embedding_are_normalised(family):
    inputs = {
        generator(family): (latents(6), LABELS),
        family.Critic(CLASSES, 2, (8,)): (jnp.zeros((4, 16, 16, 1)), LABELS),
    }
    for module, given in inputs.items():
        variables = start(module, *given)
        kernels = {
            path[:-1]: np.asarray(x, np.float64)
            for path, x in flax.traverse_util.flatten_dict(variables["params"]).items()
            if path[-1] == "kernel"
        }
        for kernel in kernels.values():
            matrix = kernel.reshape(-1, kernel.shape[-1])
            narrow = matrix if len(matrix) >= matrix.shape[1] else matrix.T
            np.testing.assert_allclose(narrow.T @ narrow, np.eye(narrow.shape[1]), atol=1e-5)
        normal = {path[:-1] for path in flax.traverse_util.flatten_dict(variables["spectral"])}
        embedding = set() if isinstance(module, family.Critic) else {("Embed_0",)}
        assert set(kernels) - normal == embedding
        assert normal <= set(kernels)


@FAMILIES
def test_bfloat16_networks_have_float32_results(family):
    module = generator(family, dtype=jnp.bfloat16)
    variables = start(module, latents(6), LABELS)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    def images_of(module):
        return jax.jit(lambda: module.apply(variables, latents(6), LABELS, False))()

    images, exact = images_of(module), images_of(generator(family))
    assert images.dtype == jnp.float32
    np.testing.assert_allclose(images, exact, atol=0.05)


@FAMILIES
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 28}, "unknown image size '28'"),
        ({"width": 0}, "width 0: a BigGAN needs at least 1 channel"),
        (
            {"attention": (4,)},
            r"attention at side 4: a BigGAN for 32 pixels has it at 8, 16, 32, or nowhere",
        ),
    ],
)
def test_impossible_generators_are_refused(family, options, message):
    fields = {"size": 32, "channels": 1, "classes": CLASSES, "width": 2, **options}
    with pytest.raises(SetupError, match=message):
        shapes_of(family.Generator(**fields), latents(12), LABELS)


@FAMILIES
@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (28, {}, "unknown image size '28'"),
        (32, {"width": 0}, "width 0"),
        (
            32,
            {"attention": (32,)},
            "attention at side 32: a BigGAN for 32 pixels has it at 16, 8, or nowhere",
        ),
    ],
)
def test_impossible_critics_are_refused(family, size, options, message):
    critic = family.Critic(**{"classes": CLASSES, "width": 2, **options})
    with pytest.raises(SetupError, match=message):
        shapes_of(critic, jnp.zeros((4, size, size, 1)), LABELS)


def test_latents_that_cannot_be_cut_into_chunks_are_refused():
    with pytest.raises(SetupError, match=r"latent.dim 10: a BigGAN for 16 pixels cuts .* 3 chunks"):
        shapes_of(generator(biggan), latents(10), LABELS)
    shapes_of(generator(biggan_deep), latents(10), LABELS)
