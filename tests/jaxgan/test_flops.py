"""Tests of the matrix products of compiled steps against hand counts, and of both ways of counting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from benchmarks import arithmetic, convolutions, flops, jax_convolutions, jax_side, products, step_time
from experiments.cli import config_files
from experiments.dry_run import costs, hlo
from experiments.training import build
from jaxgan import latents, losses, parallel, regularizers, steps
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import dcgan, mlp
from jaxgan.ops import conv, winograd

BATCH = 8
# The fields that make each config small.
TINY = {
    "dcgan_mnist": {"data.size": 16, "models.generator.width": 8, "models.critic.width": 8},
    "wgan_gp_mnist": {"data.size": 16, "models.generator.width": 16, "models.critic.width": 16},
    "sngan_mnist": {"data.size": 16, "models.generator.width": 8, "models.critic.width": 8},
    "gan_gaussians": {"models.generator.hidden": (32, 32), "models.critic.hidden": (32, 32)},
    "sngan_cifar10": {"data.size": 16, "models.generator.width": 16, "models.critic.width": 16},
    "lucic_objectives:BEGAN": {"models.generator.hidden": (32, 32), "models.autoencoder.hidden": (32, 16)},
}


def tiny(name):
    stem, colon, argument = name.partition(":")
    config = config_files.load(f"{stem}.py{colon}{argument}").values.copy_and_resolve_references()
    config.update_from_flattened_dict(TINY[name])
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_step_multiplies_no_more_than_it_needs(name):
    for kind, (needed, compiled) in flops.compare(tiny(name), BATCH).items():
        assert 0.98 <= compiled / needed <= 1.02, kind


@pytest.mark.slow
def test_samples_made_twice_are_seen():
    config = tiny("dcgan_mnist")
    gan = build.build(config)

    def wasteful(params, state, batch, fakes, key):  # other latents than the generator's share no pass
        other = jax.random.fold_in(key, 1)
        fakes, _ = gan.generate(state.generator.params, state, batch, other, advance=False)
        return gan.critic_loss(params, state, batch, fakes, key)

    twice = gan._replace(critic_loss=wasteful)
    forward = 2 * BATCH * sum(arithmetic.direct(layer) for layer in flops.networks(config)[0])
    for needed, compiled in flops.compare(config, BATCH, twice).values():
        assert compiled / needed > 1.02
    needed, compiled = flops.compare(config, BATCH, twice)["direct"]
    np.testing.assert_allclose(compiled, needed + forward, rtol=1e-3)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
@pytest.mark.parametrize("side", [4, 7, 8])
def test_a_layers_multiplications_by_two_other_ways(side, kernel, stride):
    geometry = conv.same((side, side), (kernel, kernel), stride)
    inputs, outputs = 5, 7
    layer = arithmetic.Layer(inputs, outputs, side, kernel, stride)

    # A convolution of ones counts the pixels under each window.
    ones = jnp.ones((1, side, side, inputs)), jnp.ones((kernel, kernel, inputs, outputs))
    numbers = ("NHWC", "HWIO", "NHWC")
    counted = lax.conv_general_dilated(*ones, (stride, stride), geometry.padding, dimension_numbers=numbers)
    assert arithmetic.direct(layer) == int(counted.sum())

    # The shapes of minimal filtering's matrices give its number of multiplications.
    for channels in (inputs, 64):
        wide = layer._replace(inputs=channels)
        thinner = min(channels, outputs) if stride == 1 else channels
        m = 2 if -(-kernel // stride) > 1 and thinner * stride**2 >= 64 and min(geometry.out) > 1 else 1
        tiling = winograd.Tiling(
            geometry.size, geometry.kernel, stride, (geometry.padding[0][0],) * 2, geometry.out, m
        )
        x = jax.eval_shape(tiling.images, jax.ShapeDtypeStruct((1, side, side, channels), "float32"))
        assert flops.minimal(wide) == sum(matrix.size for matrix in x) * outputs


def one(a, b, stride, padding, groups=1, batch_groups=1, dilation=1, spread=1):
    return lax.conv_general_dilated(
        a,
        b,
        (stride, stride),
        (padding, padding),
        lhs_dilation=(dilation, dilation),
        rhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        batch_group_count=batch_groups,
    )


@pytest.mark.parametrize(
    "more",
    [
        {"stride": 1, "padding": (0, 0)},
        {"stride": 2, "padding": (2, 1)},
        {"stride": 1, "padding": (2, 3), "dilation": 2},
        {"stride": 1, "padding": (-1, 2), "spread": 2},
        {"stride": 1, "padding": (1, 1), "groups": 2},
        {"stride": 1, "padding": (1, 1), "batch_groups": 2},
    ],
)
def test_convolutions_in_a_program_as_xla_itself_counts_them(more):
    images = jax.ShapeDtypeStruct((4, 9, 9, 6), "float32")
    kernel = jax.ShapeDtypeStruct((3, 3, 6 // more.get("groups", 1), 8), "float32")
    compiled = jax.jit(lambda a, b: one(a, b, **more)).lower(images, kernel).compile()
    (product,) = costs.products(hlo.parse(compiled.as_text()))
    assert product.opcode == "convolution"
    assert product.flops == compiled.cost_analysis()["flops"]


def test_products_in_loops_and_batches():
    def f(a, b):
        return lax.fori_loop(0, 5, lambda _, x: jnp.tanh(jnp.einsum("bij,bjk->bik", x, b)), a)

    shapes = jax.ShapeDtypeStruct((3, 4, 6), "float32"), jax.ShapeDtypeStruct((3, 6, 6), "float32")
    products = costs.products(hlo.parse(jax.jit(f).lower(*shapes).compile().as_text()))
    assert [product.flops for product in products] == [5 * 2 * 3 * 4 * 6 * 6]


@pytest.mark.slow
@pytest.mark.parametrize("n_critic", [1, 3])
@pytest.mark.parametrize("critic", [mlp.Critic((32, 32)), dcgan.Critic(8, norm="layer")])
def test_a_lazy_penalty_costs_its_share(critic, n_critic):
    points = isinstance(critic, mlp.Critic)
    generator = mlp.Generator((2,), (32, 32)) if points else dcgan.Generator(16, 1, 8)
    shape = (2,) if points else (16, 16, 1)
    batch = {"real": np.zeros((n_critic, BATCH, *shape)), "row": np.zeros((n_critic, BATCH), np.int32)}

    def count(**terms):
        gan = adversarial(
            generator,
            critic,
            loss=losses.get("hinge"),
            generator_tx=optax.sgd(0.1),
            critic_tx=optax.sgd(0.1),
            prior=functools.partial(latents.normal, dim=8),
            regularizers=terms,
        )
        step = functools.partial(steps.train_step, gan=gan, ema_decay=0.9)
        state = jax.eval_shape(gan.init, jax.random.key(0), batch)
        compiled = jax.jit(step).lower(state, batch).compile()
        return sum(product.flops for product in costs.products(hlo.parse(compiled.as_text())))

    r1 = regularizers.penalty("r1", weight=1.0)
    without, always = count(), count(r1=r1)
    assert always > 1.2 * without
    for interval in (4, 16):
        share = (always - without) / interval
        np.testing.assert_allclose(count(r1=regularizers.every(interval, r1)) - without, share, rtol=0.01)


def test_loops_of_unknown_length_are_refused():
    def f(a):
        return lax.while_loop(lambda x: x.sum() < 9.0, lambda x: x @ x, a)

    text = jax.jit(f).lower(jax.ShapeDtypeStruct((4, 4), "float32")).compile().as_text()
    with pytest.raises(ValueError, match="unknown length"):
        costs.products(hlo.parse(text))


def test_a_step_of_two_dense_layers_spelt_out():
    # The generator has layers a, b and the critic c, d; the letters are multiplications per sample.
    generator, critic = arithmetic.mlp(3, (5,), 7), arithmetic.mlp(7, (11,), 1)
    a, b, c, d = 3 * 5, 5 * 7, 7 * 11, 11
    samples = a + b
    critic_update = 2 * (c + d) + 2 * (c + d)  # the logit's input gradient is an outer product
    generator_update = (c + d) + c + (a + b) + b
    for n in (1, 5):
        total = arithmetic.step(generator, critic, batch=2, n_critic=n)
        assert total == 2 * 2 * (n * (samples + critic_update) + generator_update)


@pytest.mark.parametrize("name", ["r1", "dragan"])
def test_what_is_not_counted_by_hand_is_refused(name):
    config = tiny("wgan_gp_mnist")
    config.penalties[name].weight = 1.0
    with pytest.raises(ValueError, match=name):
        flops.needed(config, BATCH, arithmetic.direct)


def test_networks_have_as_many_weights_as_the_models():
    for name in TINY:
        config = tiny(name)
        state = jax.eval_shape(build.initializer(config, build.build(config)))
        for player, layers in zip((state.generator, state.critic), flops.networks(config), strict=True):
            leaves = jax.tree.leaves_with_path(player.params)
            kernels = [(jax.tree_util.keystr(path), x) for path, x in leaves]
            kernels = [(name, x.shape[-2:]) for name, x in kernels if "kernel" in name]
            assert len(kernels) == len(layers)
            # Transposed convolutions store their kernels as (k, k, out, in).
            widths = sorted(sides[::-1] if "Transpose" in name else sides for name, sides in kernels)
            assert widths == sorted((layer.inputs, layer.outputs) for layer in layers)


def test_every_config_of_what_is_counted_has_a_count():
    counted = flops.names()
    assert {name.partition(":")[0] for name in TINY} <= set(counted)
    for name in config_files.list_configs():
        config = flops.load(name.removesuffix(".py"))
        if name.removesuffix(".py") in counted:
            assert flops.needed(config, 1, flops.minimal) > 0
        else:
            with pytest.raises(ValueError, match=r"(system|family) \w+ is not counted by hand"):
                flops.needed(config, 1, flops.minimal)


@pytest.mark.slow
def test_a_lazy_penalty_is_counted_by_its_share():
    config = tiny("wgan_gp_mnist")
    penalty = config.penalties.gradient_penalty
    always = flops.needed(config, BATCH, arithmetic.direct)
    penalty.every = 4
    quarter = flops.needed(config, BATCH, arithmetic.direct)
    for needed, compiled in flops.compare(config, BATCH).values():
        assert 0.98 <= compiled / needed <= 1.02
    penalty.weight = 0.0
    without = flops.needed(config, BATCH, arithmetic.direct)
    assert quarter - without == (always - without) / 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "wgan_gp32"])
def test_the_step_benchmark_counts_what_it_runs(name):
    gan, given, _ = jax_side.BUILDERS[name]()
    if name == "mlp":
        given = {"real": np.zeros((1, given, 2), np.float32), "row": np.zeros((1, given), np.int32)}
    step = flops.Step(
        functools.partial(steps.train_step, gan=gan, ema_decay=0.999),
        jax.eval_shape(gan.init, jax.random.key(0), given),
        jax.eval_shape(lambda: given),
    )
    compiled = flops.compiled_flops(step, own=True)
    np.testing.assert_allclose(compiled, step_time.WORKLOADS[name].flops, rtol=0.01)


def test_share_of_peak_of_known_times():
    seconds, rates = [[0.002, 0.004]] * 3, [[100.0, 80.0], [90.0, 160.0], [80.0, 80.0]]
    result = step_time.summary("mlp", seconds, rates)
    assert result["ratio"] == 2.0
    assert result["peak_gflops"] == [100.0, 160.0]
    # The FLOPs are those of the step spelt out above, with three hidden layers of 128 and two inputs and
    # outputs. Layers with two inputs only scale their rows, and the input gradients of layers with one or
    # two outputs are outer products, so neither counts as a matrix product.
    two, hidden, logit = 2 * 128, 2 * 128 * 128, 128
    samples = hidden + two
    update = 2 * (hidden + logit) + 2 * (two + hidden + logit) + 2 * hidden
    last = (hidden + logit) + (two + hidden) + (two + hidden + two) + hidden
    needed = 2 * 256 * (samples + update + last) / 1e9
    np.testing.assert_allclose(result["needed_gflop"], needed)
    np.testing.assert_allclose(result["of_peak"], [needed / 0.002 / 100, needed / 0.004 / 160])
    assert f"{needed / 0.2:8.0%} {needed / 0.64:8.0%}" in step_time.line(result)


def test_slow_convolutions_are_timed_less_often():
    turns = convolutions.schedule({"slow": 7.5, "fast": 0.05}, 9)
    assert [side for side, _ in turns].count("slow") == convolutions.SLOW_ROUNDS
    assert [side for side, _ in turns].count("fast") == 9
    assert all(calls == {"slow": 1, "fast": 4}[side] for side, calls in turns)


@pytest.mark.parametrize("case", convolutions.CASES)
def test_both_kinds_of_convolution_compute_the_same(case):
    ours, theirs = (jax.jit(jax_convolutions.product(f"{case}/{kind}")) for kind in ("ours", "lax"))
    rng = np.random.default_rng(0)
    shapes = jax_convolutions.shapes(case.partition("/")[0], batch=2)
    x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    turned = "transpose" in case
    expected = theirs(x, w[::-1, ::-1] if turned else w, g)
    if turned and case.endswith("kernel"):
        expected = expected[::-1, ::-1]
    np.testing.assert_allclose(ours(x, w, g), expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_a_steps_products_are_read_with_their_sides_and_axes():
    def program(a, b):
        a, _ = jax.lax.scan(lambda a, _: (jnp.tanh(a @ b), None), a, length=3)
        return jnp.einsum("ni,nj->ij", a, a)

    a, b = jnp.ones((5, 4)), jnp.ones((4, 4))
    options = parallel.CPU_OPTIONS
    text = jax.jit(program, compiler_options=options).lower(a, b).compile().as_text()
    found = products.contractions(hlo.parse(text))
    assert sorted((left, right) for left, right, _ in found) == [((5, 4), (4, 4))] * 3 + [((5, 4), (5, 4))]
    made = [jax.lax.dot_general(jnp.ones(left), jnp.ones(right), axes) for left, right, axes in found]
    assert sorted(x.shape for x in made) == [(4, 4)] + [(5, 4)] * 3
