"""Agreement of clusters, which have no names, with classes."""

import numpy as np


def matched_accuracy(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Computes the share of samples that agree under the best one-to-one match of clusters and classes.

    max_σ 1/N Σ_i 1[σ(cluster_i) = label_i], where σ ranges over the injective maps. If there are more
    clusters than classes, the samples of the clusters left over count as errors.

    Args:
      clusters: (N,) integer clusters from 0.
      labels: (N,) integer classes from 0.

    Returns:
      The share, from 0 to 1.

    References:
      Kuhn, 1955, The Hungarian method for the assignment problem, https://doi.org/10.1002/nav.3800020109
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))
