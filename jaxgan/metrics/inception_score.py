"""Inception score from logits of the Inception network.

Logits of other classifiers give other scores, which should be reported under another name.
"""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.feature_checks import check_at_least, check_features

ArrayLike = jax.Array | np.ndarray


class InceptionScore(NamedTuple):
    """Inception score over splits.

    Attributes:
      mean: Mean over the splits.
      std: Population standard deviation over the splits (divided by their number), as is usual in the
        literature.
    """

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, splits: int = 10, seed: int | None = 2020) -> InceptionScore:
    """Computes the inception score, which measures how certain and how varied a classifier's answers are.

    IS = exp E_x[KL(p(y|x) ‖ p(y))],  p(y) = E_x[p(y|x)]

    p(y) is computed within each split, so the score depends on the number of splits and grows with the
    number of samples per split; reports should state both. By default the same samples fall into the same
    splits as in torch-fidelity 0.3; the 2016 code takes the samples in order.

    Args:
      logits: Logits (N, K) of K classes.
      splits: Number of splits, each of which has N // splits samples or one more.
      seed: Seed of ``RandomState(seed).permutation(N)``, which shuffles the samples before splitting; None
        keeps the order.

    Returns:
      Mean and standard deviation over splits; the score of each split lies between 1 and K.

    Raises:
      SetupError: The logits are not (N, K) finite numbers, or a split would hold fewer than two samples.

    References:
      Salimans et al., 2016, section 4, https://arxiv.org/abs/1606.03498
    """
    (logits,) = check_features(logits=logits)
    check_at_least("splits", splits, 1)
    count = len(logits)
    if count < 2 * splits:
        raise SetupError(
            f"splits is {splits} for {count} samples: each split needs 2 samples,"
            f" give {count // 2} or fewer"
        )
    order = np.arange(count)
    if seed is not None:
        order = np.random.RandomState(seed).permutation(count)
    scores = []
    for start, end in zip(range(splits), range(1, splits + 1), strict=True):
        chosen = order[start * count // splits : end * count // splits]
        scores.append(_score(logits[chosen].astype(np.float64)))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: np.ndarray) -> float:
    from scipy.special import log_softmax, logsumexp

    log_p = log_softmax(logits, axis=1)
    # We use logarithms because a class that is never predicted has p(y) = 0 in float64 and a KL of 0 · ∞.
    log_mean = logsumexp(log_p, axis=0) - np.log(len(logits))
    return float(np.exp(np.mean(np.sum(np.exp(log_p) * (log_p - log_mean), axis=1))))
