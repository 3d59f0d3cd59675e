"""Tests of InfoGAN's bounds against exact information, and of its codes, gradients and measures."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxgan import latents, losses
from jaxgan.data import from_digits
from jaxgan.data.arrays import digits_spec
from jaxgan.data.source import make_spec
from jaxgan.errors import SetupError
from jaxgan.gans import infogan as infogan_module
from jaxgan.gans.infogan import infogan
from jaxgan.models import dcgan
from jaxgan.steps import train_step

NOISE, BATCH = 0.5, 256
CENTRES = np.stack([np.cos(np.arange(3) * 2 * np.pi / 3), np.sin(np.arange(3) * 2 * np.pi / 3)], 1)
POINTS = make_spec((2,))


class Fixed(nn.Module):
    """Maps (noise, one-hot category) to the category's centre plus noise; the parameter does nothing."""

    @nn.compact
    def __call__(self, z, train):
        one = self.param("one", nn.initializers.ones, ())
        return one * (z[:, 2:5] @ jnp.asarray(CENTRES, jnp.float32) + NOISE * z[:, :2])


class Pass(nn.Module):
    """Returns its inputs, so that samples show the codes."""

    @nn.compact
    def __call__(self, z, train):
        return z * self.param("one", nn.initializers.ones, ())


class Reader(nn.Module):
    """A critic of points with one shared layer and one layer of Q's own."""

    categories: int = 3
    continuous: int = 0

    @nn.compact
    def __call__(self, x, train, is_detached=False):
        x = nn.leaky_relu(nn.Dense(64, name="trunk")(x), 0.2)
        logit = nn.Dense(1, name="logit")(x)[:, 0]
        y = jax.lax.stop_gradient(x) if is_detached else x
        y = nn.leaky_relu(nn.Dense(64, name="hidden")(y), 0.2)
        y = nn.Dense(self.categories + self.continuous, name="codes")(y)
        return logit, y[:, : self.categories], y[:, self.categories :]

    def detached(self, x, train):
        return self(x, train, is_detached=True)


def system(generator=None, reader=None, *, spec=POINTS, dim=2, rate=3e-3, **options):
    options = {"loss": losses.get("non_saturating"), "categories": 3, "continuous": 0, **options}
    reader = reader or Reader(options["categories"], options["continuous"])
    return infogan(
        generator or Fixed(),
        reader,
        generator_tx=optax.set_to_zero(),
        critic_tx=optax.adam(rate),
        prior=functools.partial(latents.normal, dim=dim),
        spec=spec,
        **options,
    )


def points(seed=0, batch=BATCH):
    real = np.random.default_rng(seed).normal(size=(1, batch, 2)).astype(np.float32)
    return {"real": real, "row": np.arange(batch, dtype=np.int32)[None]}


def plane():
    """Returns a grid on the plane, and the densities of the three Gaussians times the cell's area."""
    line = np.linspace(-5, 5, 401)
    x = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    area = (line[1] - line[0]) ** 2
    return x, np.stack([stats.multivariate_normal.pdf(x, c, NOISE**2) for c in CENTRES], 1) * area


@functools.cache
def exact():
    """Returns I(c; x) = 1/K Σ_k ∫ p(x|k) log(p(x|k) / p(x)) dx, by the sum over a grid."""
    _, density = plane()
    np.testing.assert_allclose(density.sum(0), 1.0, atol=1e-9)
    return np.sum(density * np.log(density / density.mean(1, keepdims=True))) / len(CENTRES)


def bound_of(logits):
    """Returns E log Q(c|x) + H(c) for the logits of Q on the grid, by the sum over the grid."""
    _, density = plane()
    read = jax.vmap(lambda k: infogan_module.categorical_information(logits, jnp.full(len(logits), k)))
    return float(np.sum(density.T * np.asarray(read(jnp.arange(3)), np.float64)) / len(CENTRES))


@functools.cache
def trained_bound(code_weight):
    gan, batch = system(code_weight=code_weight), points()
    step = functools.partial(train_step, gan=gan, ema_decay=0.98)

    @jax.jit
    def train(state):
        return jax.lax.scan(lambda state, _: (step(state, batch)[0], None), state, length=800)[0]

    state = train(gan.init(jax.random.key(0), batch))
    params, _ = state.critic.averages
    return bound_of(Reader().apply({"params": params}, jnp.asarray(plane()[0], jnp.float32), False)[1])


def test_the_trained_bound_is_the_exact_information():
    assert 0.3 < exact() < 0.9 * math.log(3)  # neither nothing nor everything can be read
    found = trained_bound(1.0)
    assert found < exact() + 1e-4  # no Q exceeds the information
    np.testing.assert_allclose(found, exact(), atol=0.01)
    assert trained_bound(0.0) < exact() - 0.2  # an untrained Q


def test_the_bound_is_the_information_exactly_for_the_posterior():
    _, density = plane()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(bound_of(jnp.asarray(np.log(density + 1e-30))), exact(), atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_entropy_has_a_plus(count):
    codes = jnp.arange(count)
    blind = infogan_module.categorical_information(jnp.zeros((count, count)), codes)
    np.testing.assert_allclose(blind, 0.0, atol=1e-6)
    certain = infogan_module.categorical_information(1e3 * jnp.eye(count), codes)
    np.testing.assert_allclose(certain, math.log(count), rtol=1e-6)
    wrong = infogan_module.categorical_information(-1e3 * jnp.eye(count), codes)
    assert count == 1 or float(wrong.max()) < -900


def test_the_continuous_bound_is_that_of_scipy():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5, 2)).astype(np.float32)
    codes = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
    entropy = 2 * stats.uniform(-1, 2).entropy()
    expected = stats.norm.logpdf(codes, means, 1.0).sum(1) + entropy
    np.testing.assert_allclose(
        infogan_module.continuous_information(means, codes), expected, rtol=1e-5, atol=1e-6
    )
    best = infogan_module.continuous_information(codes, codes)
    np.testing.assert_allclose(best, 2 * (math.log(2) - 0.5 * math.log(2 * math.pi)), rtol=1e-5)


def test_codes_are_uniform_and_independent():
    keys = latents.row_keys(jax.random.key(0), jnp.arange(20_000))
    codes, others = map(np.asarray, infogan_module.draw_codes(keys, categories=10, continuous=2))
    assert stats.chisquare(np.bincount(codes, minlength=10)).pvalue > 1e-3
    for column in others.T:
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    table = np.corrcoef(np.stack([codes, *others.T]))
    assert np.abs(table - np.eye(3)).max() < 0.03  # four standard errors of 1 / √20,000


def test_samples_get_the_codes_that_are_asked_for():
    gan = system(Pass(), Reader(4, 2), categories=4, continuous=2, spec=make_spec((8,)))
    batch = points(batch=8)
    batch["real"] = np.zeros((1, 8, 8), np.float32)
    state, rows = gan.init(jax.random.key(0), batch), jnp.arange(8)
    first = jax.tree.map(lambda x: x[0], batch)
    fakes, _ = gan.generate(state.generator.params, state, first, jax.random.key(1), advance=True)
    np.testing.assert_array_equal(fakes["samples"][:, 2:6], np.eye(4)[fakes["codes"]])
    np.testing.assert_array_equal(fakes["samples"][:, 6:], fakes["continuous"])
    drawn = gan.sample(state, jax.random.key(1), {"row": rows})
    codes, others = rows % 4, jnp.linspace(-1, 1, 16).reshape(8, 2)
    given = gan.sample(state, jax.random.key(1), {"row": rows, "codes": codes, "continuous": others})
    np.testing.assert_array_equal(given[:, 2:6], np.eye(4)[codes])
    np.testing.assert_array_equal(given[:, 6:], others)
    np.testing.assert_array_equal(given[:, :2], drawn[:, :2])  # the noise does not depend on the codes
    half = gan.sample(state, jax.random.key(1), {"row": rows, "codes": codes})
    np.testing.assert_array_equal(half[:, 6:], drawn[:, 6:])
    assert len(np.unique(np.argmax(drawn[:, 2:6], 1))) > 1
    # A sample depends on its own row alone.
    alone = gan.sample(state, jax.random.key(1), {"row": rows[5:6]})
    np.testing.assert_array_equal(alone[0], drawn[5])


def critic_gradient(**options):
    gan, batch = system(**options), points()
    state = gan.init(jax.random.key(0), batch)
    first = jax.tree.map(lambda x: x[0], batch)
    fakes, _ = gan.generate(state.generator.params, state, first, jax.random.key(1), advance=False)
    return jax.grad(gan.critic_loss, has_aux=True)(state.critic.params, state, first, fakes, state.key)[0]


def test_the_trunk_is_trained_by_the_bound_only_if_asked():
    without = critic_gradient(code_weight=0.0)
    shared, own = (critic_gradient(train_trunk=trunk) for trunk in (True, False))
    for name in ("trunk", "logit"):
        np.testing.assert_allclose(own[name]["kernel"], without[name]["kernel"], rtol=1e-6, atol=1e-7)
    difference = np.abs(shared["trunk"]["kernel"] - without["trunk"]["kernel"]).max()
    assert difference > 1e-3
    for name in ("hidden", "codes"):
        np.testing.assert_allclose(own[name]["kernel"], shared[name]["kernel"], rtol=1e-6)
        assert not without[name]["kernel"].any()


def test_the_losses_are_the_adversarial_ones_minus_the_weighted_bound():
    batch = points()
    first = jax.tree.map(lambda x: x[0], batch)
    values = {}
    for weight in (0.0, 1.0, 3.0):
        gan = system(code_weight=weight)
        state = gan.init(jax.random.key(0), batch)
        fakes, _ = gan.generate(state.generator.params, state, first, state.key, advance=False)
        for name, loss in (("critic", gan.critic_loss), ("generator", gan.generator_loss)):
            player = getattr(state, name).params
            values[name, weight], aux = loss(player, state, first, fakes, state.key)
            if name == "critic":
                bound = aux.metrics["categorical_information"]
    for name in ("critic", "generator"):
        for weight in (1.0, 3.0):
            np.testing.assert_allclose(
                values[name, weight], values[name, 0.0] - weight * bound, rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("name", ["hinge", "relativistic_average"])
def test_other_losses_train(name):
    gan, batch = system(loss=losses.get(name)), points()
    state = gan.init(jax.random.key(0), batch)
    state, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    assert all(np.isfinite(x) for x in metrics.values())
    assert bool(gan.mixes) == (name != "hinge")


def test_a_critic_of_other_codes_is_refused():
    with pytest.raises(SetupError, match=r"estimates 4 categories and 1 continuous codes: give 3 and 0"):
        system(reader=Reader(4, 1)).init(jax.random.key(0), points())


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_dcgans_coding_critic_can_be_detached(norm):
    x = np.tanh(np.random.default_rng(0).normal(size=(4, 8, 8, 1))).astype(np.float32)
    critic = dcgan.CodingCritic(5, 2, width=4, features=16, norm=norm)
    variables = critic.init(jax.random.key(0), x, True)
    logits, codes, means = critic.apply(variables, x, False)
    assert (logits.shape, codes.shape, means.shape) == ((4,), (4, 5), (4, 2))
    same = critic.apply(variables, x, False, method="detached")
    jax.tree.map(np.testing.assert_array_equal, same, (logits, codes, means))

    def squares(params, method, outputs):
        found = critic.apply({**variables, "params": params}, x, False, method=method)
        return sum(jnp.sum(jnp.square(found[i])) for i in outputs)

    def moved(method, outputs):
        grads = jax.grad(squares)(variables["params"], method, outputs)
        return {name for name, layer in grads.items() if np.any(layer.get("kernel", 0))}

    # Dense_0 is shared, Dense_1 gives the logit, and Dense_2 and Dense_3 are Q's own.
    trunk = {"Conv_0", "Dense_0"}
    assert moved("__call__", (0,)) == moved("detached", (0,)) == {*trunk, "Dense_1"}
    assert moved("__call__", (1, 2)) == {*trunk, "Dense_2", "Dense_3"}
    assert moved("detached", (1, 2)) == {"Dense_2", "Dense_3"}
    sigmas = variables.get("spectral", {})
    assert set(sigmas) == ({*trunk, "Dense_1"} if norm == "spectral" else set())


def test_the_measures_are_those_that_the_data_allows():
    unlabelled = make_spec((28, 28, 1))
    both = digits_spec(size=28, channels=1)
    assert set(system(spec=POINTS).measures) == set()
    shapes = {"slant_correlation", "width_correlation"}
    assert set(system(spec=unlabelled, continuous=2).measures) == shapes
    assert set(system(spec=both, continuous=2).measures) == {"code_accuracy", *shapes}
    assert set(system(spec=both).measures) == {"code_accuracy"}


class Oracle(nn.Module):
    """Reads the class from the first pixel, renamed, and the slant of the image as the second code."""

    @nn.compact
    def __call__(self, x, train):
        one = self.param("one", nn.initializers.ones, ())
        found = jnp.round((x[:, 0, 0, 0] + 1) * 5).astype(jnp.int32)
        slant, _ = infogan_module.slant_and_width(x)
        means = jnp.stack([x[:, 0, 0, 0], -jnp.exp(slant)], 1)
        return one * found, jax.nn.one_hot((found * 3 + 1) % 10, 10), means


def test_an_oracle_is_right_about_everything():
    source = from_digits()
    raw = source.examples[np.arange(0, 5000, 50)]
    batch = {name: x[0] for name, x in source.prepare({k: v[None] for k, v in raw.items()}).items()}
    marked = np.array(batch["real"])
    marked[:, 0, 0, 0] = batch["labels"] / 5.0 - 1.0
    batch = {**batch, "real": marked}
    gan = system(Pass(), Oracle(), categories=10, continuous=2, spec=source.spec)
    state = gan.init(jax.random.key(0), jax.tree.map(lambda x: x[None], batch))

    def value(name):
        measure = gan.measures[name]
        rows = measure.per_row(state, batch, jax.random.key(0))
        return measure.reduce(jax.tree.map(np.asarray, rows))

    assert value("code_accuracy") == 1.0
    np.testing.assert_allclose(value("slant_correlation"), 1.0)
    assert value("width_correlation") < 0.9


def test_the_layout_varies_one_continuous_code_after_another():
    layout = system(categories=3, continuous=2).layout
    columns = 2 * len(infogan_module.TRAVERSAL)
    assert layout["continuous"].shape == (3, columns, 2)
    assert {len(x) for x in layout.values()} == {3}
    np.testing.assert_array_equal(layout["codes"], np.repeat([[0], [1], [2]], columns, 1))
    assert not layout["row"].any()
    for number in range(2):
        assert len(np.unique(layout["continuous"][0, :, number])) == len(infogan_module.TRAVERSAL) + 1
    assert not np.prod(layout["continuous"], -1).any()
    noise = system(categories=3).layout
    assert set(noise) == {"row", "codes"}
    assert len(np.unique(noise["row"][0])) == noise["row"].shape[1]
