"""The objectives that Lucic et al. compared, each by its paper's name with what its paper fixes.

The numbers are plain data, for a config or a notebook to take::

    >>> row = get("WGAN-GP")
    >>> row.loss, row.penalties, row.n_critic
    ('wasserstein', {'gradient_penalty': {'weight': 10.0}}, 5)

References:
  Lucic, Kurach et al., 2018, Are GANs Created Equal? A Large-Scale Study, table 1,
  https://arxiv.org/abs/1711.10337
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxgan.errors import unknown


class Objective(NamedTuple):
    """A row of the table.

    Attributes:
      loss: a name of ``losses.PAIRS``, or ``"began"``, which is a system of its own.
      paper: where it comes from.
      penalties: names of ``penalties.PENALTIES``, each with its weight and what else the paper fixes.
      n_critic: the critic's updates before each of the generator's.
      optimizer: both players', as ``optimizers.build`` takes it; empty where the paper fixes none. The
        rates are for images.
      clip: bound on the critic's weights, None for none.
      hyper: what else the objective has.
    """

    loss: str
    paper: str
    penalties: Mapping[str, Mapping[str, float]] = {}
    n_critic: int = 1
    optimizer: Mapping[str, Any] = {}
    clip: float | None = None
    hyper: Mapping[str, float] = {}


# DRAGAN's generator saturates in the table, and here, though its authors' program has the other loss. Its
# target is the table's, its weight and target are that program's; the table's c is not a number, and the
# noise's std is left to the penalty's default, which is neither's. The signs of LSGAN's row are taken from
# its paper.
OBJECTIVES: dict[str, Objective] = {
    "MM": Objective("minimax", "https://arxiv.org/abs/1406.2661"),
    "NS": Objective("non_saturating", "https://arxiv.org/abs/1406.2661"),
    "WGAN": Objective(
        "wasserstein",
        "https://arxiv.org/abs/1701.07875",
        n_critic=5,
        optimizer={"name": "rmsprop", "learning_rate": 5e-5},
        clip=0.01,
    ),
    "WGAN-GP": Objective(
        "wasserstein",
        "https://arxiv.org/abs/1704.00028",
        penalties={"gradient_penalty": {"weight": 10.0}},
        n_critic=5,
        optimizer={"name": "adam", "learning_rate": 1e-4, "b1": 0.0, "b2": 0.9},
    ),
    "LSGAN": Objective(
        "least_squares",
        "https://arxiv.org/abs/1611.04076",
        optimizer={"name": "adam", "learning_rate": 1e-3, "b1": 0.5},
    ),
    "DRAGAN": Objective(
        "minimax", "https://arxiv.org/abs/1705.07215", penalties={"dragan": {"weight": 10.0, "target": 1.0}}
    ),
    "BEGAN": Objective(
        "began",
        "https://arxiv.org/abs/1703.10717",
        optimizer={"name": "adam", "learning_rate": 1e-4},
        hyper={"gamma": 0.5, "lambda_k": 1e-3},
    ),
}


def get(name: str) -> Objective:
    """The row of that name.

    Args:
      name: one of ``OBJECTIVES``.

    Returns:
      The row.

    Raises:
      SetupError: no row has that name; the message lists them.
    """
    if name not in OBJECTIVES:
        raise unknown("objective", name, OBJECTIVES)
    return OBJECTIVES[name]
