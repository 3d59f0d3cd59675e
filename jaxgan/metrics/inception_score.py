"""Inception score: of logits of the Inception network, or of any classifier under another name."""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.checks import check_at_least, check_features

ArrayLike = jax.Array | np.ndarray


class InceptionScore(NamedTuple):
    """A score over splits.

    Attributes:
      mean: over the splits.
      std: over the splits, of a population (divided by their number), as everywhere in the literature.
    """

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, splits: int = 10, seed: int | None = 2020) -> InceptionScore:
    """How sure a classifier is of each sample and how varied its answers are.

    IS = exp E_x[KL(p(y|x) ‖ p(y))],  p(y) = E_x[p(y|x)]

    p(y) is that of the split, so the score depends on the number of splits and grows with the samples
    in each: state both. By default the same samples fall into the same splits as in torch-fidelity 0.3;
    the 2016 code takes samples in their order.

    Args:
      logits: (N, K), K classes.
      splits: how many, of N // splits samples or one more.
      seed: of ``RandomState(seed).permutation(N)``, drawn before splitting; None keeps the order.

    Returns:
      Mean and standard deviation over splits; each score lies between 1 and K.

    Raises:
      SetupError: the logits are not (N, K) finite numbers, or a split would hold fewer than two samples.

    References:
      Salimans et al., 2016, section 4, https://arxiv.org/abs/1606.03498
    """
    (logits,) = check_features(logits=logits)
    check_at_least("splits", splits, 1)
    count = len(logits)
    if count < 2 * splits:
        raise SetupError(
            f"splits {splits} of {count} samples: at least 2 a split, so {count // 2} splits or fewer"
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
    # In logarithms: a class that nothing is taken for has p(y) = 0 in float64 and a KL of 0 · ∞.
    log_mean = logsumexp(log_p, axis=0) - np.log(len(logits))
    return float(np.exp(np.mean(np.sum(np.exp(log_p) * (log_p - log_mean), axis=1))))
