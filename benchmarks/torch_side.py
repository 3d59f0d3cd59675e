"""The reference workloads, as a good PyTorch user would write them for this machine.

Images are channels-last, the optimisers are fused, the critic is frozen in the generator's update, latents
are drawn once for both players where the algorithm allows it, activations work in place, averages use
foreach operations, and the number of threads is the fastest.
"""

import itertools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

Step = Callable[[], None]

LAST = torch.channels_last


class DCGANGenerator(nn.Module):
    """Maps 100 codes to images, as in jaxgan/models/dcgan.py with kernel size 4."""

    def __init__(self, size: int, width: int):
        super().__init__()
        doublings = (size // 4).bit_length() - 1
        self.features = width * 2 ** (doublings - 1)
        self.project = nn.Linear(100, 16 * self.features, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.features), nn.ReLU(inplace=True)]
        features = self.features
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(features, features // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(features // 2),
                nn.ReLU(inplace=True),
            ]
            features //= 2
        self.body = nn.Sequential(*layers, nn.ConvTranspose2d(features, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Maps (B, 100) to (B, 3, size, size)."""
        x = self.project(z).view(-1, self.features, 4, 4)
        return self.body(x.contiguous(memory_format=LAST))


def dcgan_critic(size: int, width: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    """Returns a critic that maps images to logits, as in jaxgan/models/dcgan.py with kernel size 4."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    features = width
    for _ in range((size // 4).bit_length() - 2):
        layers += [
            nn.Conv2d(features, 2 * features, 4, 2, 1, bias=False),
            norm(2 * features),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        features *= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * features, 1))


class GeneratorBlock(nn.Module):
    """Generator block, as in jaxgan/models/resnet.py."""

    def __init__(self, width: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Doubles the side of the images."""
        y = functional.relu(self.norms[0](x), inplace=True)
        y = self.convs[0](functional.interpolate(y, scale_factor=2))
        y = self.convs[1](functional.relu(self.norms[1](y), inplace=True))
        return y + functional.interpolate(self.shortcut(x), scale_factor=2)


class ResNetGenerator(nn.Module):
    """Maps 128 codes to 32×32 images."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.width = width
        self.project = nn.Linear(128, 16 * width)
        self.blocks = nn.Sequential(*[GeneratorBlock(width) for _ in range(3)])
        self.norm, self.last = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Maps (B, 128) to (B, 3, 32, 32)."""
        x = self.project(z).view(-1, self.width, 4, 4).contiguous(memory_format=LAST)
        return torch.tanh(self.last(functional.relu(self.norm(self.blocks(x)), inplace=True)))


class CriticBlock(nn.Module):
    """Critic block, as in jaxgan/models/resnet.py, with spectral normalisation."""

    def __init__(self, inputs: int, width: int, pool: bool, first: bool):
        super().__init__()
        normed = parametrizations.spectral_norm
        self.conv1 = normed(nn.Conv2d(inputs, width, 3, padding=1))
        self.conv2 = normed(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = normed(nn.Conv2d(inputs, width, 1)) if pool or inputs != width else None
        self.pool, self.first = pool, first

    def forward(self, x: Tensor) -> Tensor:
        """Halves the side of the images if ``pool`` is set."""
        y = self.conv1(x if self.first else functional.relu(x))
        y = self.conv2(functional.relu(y, inplace=True))
        if self.pool:
            x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
        return y + (x if self.shortcut is None else self.shortcut(x))


class ResNetCritic(nn.Module):
    """Maps 32×32 images to logits."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.blocks = nn.Sequential(
            CriticBlock(3, width, pool=True, first=True),
            CriticBlock(width, width, pool=True, first=False),
            CriticBlock(width, width, pool=False, first=False),
            CriticBlock(width, width, pool=False, first=False),
        )
        self.last = parametrizations.spectral_norm(nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, 3, 32, 32) to (B, 1)."""
        return self.last(functional.relu(self.blocks(x), inplace=True).sum((2, 3)))


def mlp(hidden: int, layers: int, outputs: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Returns an MLP that takes points in the plane."""
    sizes = [2] + [hidden] * layers
    stack: list[nn.Module] = []
    for inputs, features in itertools.pairwise(sizes):
        stack += [nn.Linear(inputs, features), activation()]
    return nn.Sequential(*stack, nn.Linear(hidden, outputs))


def non_saturating() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Returns the losses of the critic and of the generator."""
    return (
        lambda real, fake: functional.softplus(-real).mean() + functional.softplus(fake).mean(),
        lambda fake: functional.softplus(-fake).mean(),
    )


def hinge() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Returns the losses of the critic and of the generator."""
    return (
        lambda real, fake: functional.relu(1 - real).mean() + functional.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    )


def gan_step(
    generator: nn.Module,
    critic: nn.Module,
    losses: tuple[Callable[..., Tensor], Callable[..., Tensor]],
    real: Callable[[], Tensor],
    latents: Callable[[], Tensor],
    *,
    n_critic: int = 1,
    penalty: float = 0.0,
    mixing: bool = False,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
) -> Step:
    """Returns a step with ``n_critic`` critic updates, one generator update and the generator's average."""
    critic_loss, generator_loss = losses
    weights, judges = list(generator.parameters()), list(critic.parameters())
    generator_optimizer = torch.optim.Adam(weights, lr, betas, fused=True)
    critic_optimizer = torch.optim.Adam(judges, lr, betas, fused=True)
    average = [parameter.detach().clone() for parameter in weights]

    def gradient_penalty(x: Tensor, fake: Tensor) -> Tensor:
        t = torch.rand(len(x), *[1] * (x.ndim - 1))
        between = torch.lerp(x, fake, t).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return penalty * (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    def step() -> None:
        for i in range(n_critic):
            z, x = latents(), real()
            last = i == n_critic - 1
            with torch.set_grad_enabled(last):  # The generator's update reuses the last samples.
                fake = generator(z)
            detached = fake.detach()
            critic_optimizer.zero_grad(set_to_none=True)
            if mixing:
                real_logits, fake_logits = critic(x), critic(detached)
            else:
                real_logits, fake_logits = critic(torch.cat([x, detached])).chunk(2)
            value = critic_loss(real_logits, fake_logits)
            if penalty:
                value = value + gradient_penalty(x, detached)
            value.backward()
            critic_optimizer.step()
        for parameter in judges:
            parameter.requires_grad_(False)
        generator_optimizer.zero_grad(set_to_none=True)
        generator_loss(critic(fake)).backward()
        generator_optimizer.step()
        for parameter in judges:
            parameter.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 0.001)

    return step


def images(batch: int, size: int) -> Callable[[], Tensor]:
    """Returns a function that returns the same batch of noise every time.

    Reading data is not part of the measurement.
    """
    x = (torch.rand(batch, 3, size, size) * 2 - 1).contiguous(memory_format=LAST)
    return lambda: x


def eight_gaussians(batch: int) -> Callable[[], Tensor]:
    """Returns a function that draws new points at every call, as the ring in jaxgan.data does."""
    angles = torch.arange(8) * (torch.pi / 4)
    centres = 2 * torch.stack([angles.cos(), angles.sin()], 1)
    return lambda: centres[torch.randint(8, (batch,))] + 0.02 * torch.randn(batch, 2)


def _dcgan64() -> Step:
    generator, critic = DCGANGenerator(64, 64), dcgan_critic(64, 64, nn.BatchNorm2d)
    return gan_step(
        generator.to(memory_format=LAST),
        critic.to(memory_format=LAST),
        non_saturating(),
        images(64, 64),
        lambda: torch.randn(64, 100),
        mixing=True,
    )


def _wgan_gp32() -> Step:
    generator = DCGANGenerator(32, 64)
    critic = dcgan_critic(32, 64, lambda features: nn.GroupNorm(1, features))
    return gan_step(
        generator.to(memory_format=LAST),
        critic.to(memory_format=LAST),
        (lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean()),
        images(64, 32),
        lambda: torch.randn(64, 100),
        n_critic=5,
        penalty=10.0,
        betas=(0.0, 0.9),
    )


def _sn_resnet32() -> Step:
    return gan_step(
        ResNetGenerator().to(memory_format=LAST),
        ResNetCritic().to(memory_format=LAST),
        hinge(),
        images(16, 32),
        lambda: torch.randn(16, 128),
        betas=(0.0, 0.9),
    )


def _mlp(hidden: int, layers: int, batch: int) -> Step:
    generator = mlp(hidden, layers, 2, lambda: nn.ReLU(inplace=True))
    critic = mlp(hidden, layers, 1, lambda: nn.LeakyReLU(0.2, inplace=True))
    return gan_step(
        generator, critic, non_saturating(), eight_gaussians(batch), lambda: torch.randn(batch, 2), lr=1e-3
    )


def _in_turn(build: Callable[[], Step], members: int) -> Step:
    steps = [build() for _ in range(members)]

    def step() -> None:
        for member in steps:
            member()

    return step


BUILDERS: dict[str, Callable[[], Step]] = {
    "dcgan64": _dcgan64,
    "wgan_gp32": _wgan_gp32,
    "sn_resnet32": _sn_resnet32,
    "mlp": lambda: _mlp(128, 3, 256),
    "mlp_x16": lambda: _in_turn(lambda: _mlp(128, 3, 256), 16),
    "mlp_x64": lambda: _in_turn(lambda: _mlp(64, 2, 128), 64),
}


def build(name: str) -> Callable[[int], None]:
    """Returns a function that trains a workload for a given number of steps."""
    torch.manual_seed(0)
    return tuned(BUILDERS[name]())


def tuned(step: Step) -> Callable[[int], None]:
    """Returns a function that takes a step a given number of times, with the fastest number of threads."""

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        for _ in range(2):
            step()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return min(times)

    torch.set_num_threads(min(range(1, torch.get_num_threads() + 1), key=seconds))

    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return run


def matmul() -> Callable[[int], None]:
    """Returns a function that computes a 2048³ matrix product a given number of times."""
    a, b = torch.randn(2, 2048, 2048)

    def run(times: int) -> None:
        for _ in range(times):
            torch.mm(a, b)

    return run
