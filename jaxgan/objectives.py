"""The objectives compared by Lucic et al., by name, with the settings that each paper fixes.

The settings are plain data that a config or a notebook can read::

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
    """A row of the table: an objective and the settings that its paper fixes.

    Attributes:
      loss: A name in ``losses.PAIRS``, or ``"began"``, which is a system of its own.
      paper: Link to the paper.
      penalties: Names in ``penalties.PENALTIES``, each with its weight and any other settings.
      n_critic: Number of critic updates before each generator update.
      optimizer: Optimiser of both players, in the form that ``optimizers.build`` takes; empty if the paper
        fixes none. The learning rates are for images.
      clip: Bound on the absolute value of the critic's weights; None for no bound.
      hyper: Further hyper-parameters of the objective.
    """

    loss: str
    paper: str
    penalties: Mapping[str, Mapping[str, float]] = {}
    n_critic: int = 1
    optimizer: Mapping[str, Any] = {}
    clip: float | None = None
    hyper: Mapping[str, float] = {}


# The DRAGAN row follows the table in using the saturating generator loss, although the authors' program
# uses the non-saturating one. The target 1 is the same in the table and the program, and the weight 10 is
# the program's. The table does not give c as a number, so the noise's std is left to the penalty's default,
# which is neither the table's nor the program's. The signs in the LSGAN row follow its paper.
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
    """Returns the objective with the given name.

    Args:
      name: A key of ``OBJECTIVES``.

    Returns:
      The objective.

    Raises:
      SetupError: No objective has that name; the message lists the valid names.
    """
    if name not in OBJECTIVES:
        raise unknown("objective", name, OBJECTIVES)
    return OBJECTIVES[name]
