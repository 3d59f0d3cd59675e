import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import SetupError
from jaxgan.layers import NORMS
from jaxgan.models import dcgan, mlp, resnet


def parameters(module, x):
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, True))
    return flax.traverse_util.flatten_dict(variables["params"]), variables


@pytest.mark.parametrize("size", dcgan.SIZES)
def test_sizes_and_widths(size):
    base, doublings = dcgan.stages(size)
    assert base * 2**doublings == size
    generator = dcgan.Generator(size, channels=3, width=8)
    image, _ = jax.eval_shape(
        lambda: generator.init_with_output(jax.random.key(0), jnp.zeros((2, 10)), True)
    )
    assert image.shape == (2, size, size, 3)
    critic = dcgan.Critic(width=8)
    logits, variables = jax.eval_shape(
        lambda: critic.init_with_output(jax.random.key(0), jnp.zeros((2, size, size, 3)), True)
    )
    assert logits.shape == (2,)
    widths = [variables["params"][f"Conv_{i}"]["kernel"].shape[-1] for i in range(doublings)]
    assert widths == [8 * 2**i for i in range(doublings)]


def test_celeba_generator_is_the_papers():
    flat, _ = parameters(dcgan.Generator(64, 3, width=128, kernel_size=5), jnp.zeros((1, 100)))
    kernels = [leaf.shape for path, leaf in flat.items() if path[-1] == "kernel"]
    assert sorted(kernels, key=np.prod) == sorted(
        [
            (100, 4 * 4 * 1024),
            (5, 5, 512, 1024),
            (5, 5, 256, 512),
            (5, 5, 128, 256),
            (5, 5, 3, 128),
        ],
        key=np.prod,
    )


def test_batch_norm_everywhere_but_at_the_ends():
    flat, variables = parameters(dcgan.Generator(32, 3, 8), jnp.zeros((1, 10)))
    scales = [leaf.shape for path, leaf in flat.items() if path[-1] == "scale"]
    assert scales == [(32,), (16,), (8,)]  # hidden layers only, not the 3 channels of the output
    flat, variables = parameters(dcgan.Critic(8), jnp.zeros((1, 32, 32, 3)))
    scales = [leaf.shape for path, leaf in flat.items() if path[-1] == "scale"]
    assert scales == [(16,), (32,)]  # the first layer, with 8 channels, has no norm
    assert "batch_stats" in variables


def test_no_pooling_no_hidden_dense_layers():
    text = str(
        jax.make_jaxpr(lambda x: dcgan.Critic(4).init_with_output(jax.random.key(0), x, True)[0])(
            jnp.zeros((2, 16, 16, 1))
        )
    )
    assert "reduce_window" not in text
    flat, _ = parameters(dcgan.Critic(4), jnp.zeros((1, 16, 16, 1)))
    assert [
        leaf.shape[1] for path, leaf in flat.items() if path[0].startswith("Dense") and path[1] == "kernel"
    ] == [1]


@pytest.mark.parametrize("norm", NORMS)
def test_norms(norm):
    generator, critic = dcgan.Generator(16, 1, 4, norm=norm), dcgan.Critic(4, norm=norm)
    z = jax.random.normal(jax.random.key(0), (4, 6))
    image, g_variables = jax.jit(lambda: generator.init_with_output(jax.random.key(1), z, True))()
    logits, d_variables = jax.jit(lambda: critic.init_with_output(jax.random.key(2), image, True))()
    assert np.abs(image).max() <= 1
    assert np.isfinite(logits).all()
    collection = {"batch": {"batch_stats"}, "spectral": {"spectral"}}.get(norm, set())
    assert set(g_variables) - {"params"} == collection
    assert set(d_variables) - {"params"} == collection


@pytest.mark.parametrize("norm", ["layer", "none", "spectral"])
def test_only_batch_norm_mixes_samples(norm):
    critic = dcgan.Critic(4, norm=norm)
    x = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))
    variables = jax.jit(lambda: critic.init(jax.random.key(1), x, True))()
    jacobian = jax.jit(jax.jacrev(lambda x: critic.apply(variables, x, True)))(x)
    cross = np.abs(jacobian).sum((2, 3, 4))
    np.testing.assert_allclose(cross - np.diag(np.diag(cross)), 0, atol=1e-7)
    assert (np.diag(cross) > 0).all()


@pytest.mark.parametrize("options", [{"size": 48}, {"norm": "bach"}, {"width": 0}, {"kernel_size": 2}])
def test_impossible_networks_are_refused(options):
    generator = dcgan.Generator(**{"size": 32, **options})
    with pytest.raises(SetupError, match=str(next(iter(options.values())))):
        jax.eval_shape(lambda: generator.init(jax.random.key(0), jnp.zeros((1, 4)), True))


def test_initial_kernels_are_the_papers():
    variables = jax.jit(lambda: dcgan.Critic(64).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), True))()
    kernel = variables["params"]["Conv_1"]["kernel"]
    np.testing.assert_allclose(kernel.std(), 0.02, rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0.0, atol=1e-3)


def test_mlp_shapes():
    z = jnp.zeros((3, 5))

    def shape(module, x):
        return jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, True))[0]

    points = shape(mlp.Generator((2,), (8, 8)), z)
    images = shape(mlp.Generator((4, 4, 1), (8,)), z)
    logits = shape(mlp.Critic((8,)), jnp.zeros(images.shape))
    assert points.shape == (3, 2)
    assert images.shape == (3, 4, 4, 1)
    assert logits.shape == (3,)


def count(module, x):
    return sum(leaf.size for leaf in parameters(module, x)[0].values())


def test_resnets_are_the_papers():
    # In table 4 of the paper on spectral normalisation, the generator has three blocks of 256 channels that
    # upsample from 4 × 4, and the critic has two blocks of 128 channels that pool and two more.
    conv, shortcut = 9 * 256 * 256 + 256, 256 * 256 + 256
    block = 2 * conv + shortcut + 2 * 2 * 256
    assert count(resnet.Generator(32), jnp.zeros((1, 128))) == (
        128 * 4096 + 4096 + 3 * block + 2 * 256 + 9 * 256 * 3 + 3
    )
    conv, shortcut = 9 * 128 * 128 + 128, 128 * 128 + 128
    assert count(resnet.Critic(), jnp.zeros((1, 32, 32, 3))) == (
        (9 * 3 * 128 + 128 + conv + 3 * 128 + 128) + (2 * conv + shortcut) + 2 * 2 * conv + 128 + 1
    )


def test_a_resnet_block_by_hand():
    block = resnet.CriticBlock(5, "none", pool=True)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    variables = jax.jit(lambda: block.init(jax.random.key(1), x, True))()
    kernels = {name: leaf["kernel"] for name, leaf in variables["params"].items()}

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def pool(x):
        return x.reshape(2, 4, 2, 4, 2, -1).mean((2, 4))

    y = convolve(np.maximum(x, 0), kernels["Conv_0"])
    y = pool(convolve(np.maximum(y, 0), kernels["ConvMeanPool_0"]))
    expected = y + pool(convolve(x, kernels["Conv_1"]))
    np.testing.assert_allclose(block.apply(variables, x, True), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "none", "spectral"])
def test_resnets_run(norm):
    generator, critic = resnet.Generator(16, 1, 4), resnet.Critic(4, norm=norm)
    z = jax.random.normal(jax.random.key(0), (4, 6))
    image, _ = jax.jit(lambda: generator.init_with_output(jax.random.key(1), z, True))()
    logits, variables = jax.jit(lambda: critic.init_with_output(jax.random.key(2), image, True))()
    assert image.shape == (4, 16, 16, 1)
    assert np.abs(image).max() <= 1
    assert logits.shape == (4,)
    assert np.isfinite(logits).all()
    assert ("spectral" in variables) == (norm == "spectral")


@pytest.mark.parametrize("options", [{"size": 28}, {"norm": "bach"}, {"width": 0}])
def test_impossible_resnets_are_refused(options):
    generator = resnet.Generator(**{"size": 32, **options})
    with pytest.raises(SetupError, match=str(next(iter(options.values())))):
        jax.eval_shape(lambda: generator.init(jax.random.key(0), jnp.zeros((1, 4)), True))
