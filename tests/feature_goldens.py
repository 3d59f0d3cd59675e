"""Features with the scores that torch-fidelity computes for them.

The scores are printed by

    python -m tests.feature_goldens

if ``torch-fidelity==0.3.0 torch==2.14.1 torchvision==0.29.1 'scipy<1.18'`` are installed. The number of
samples is large enough for the ``sqrtm`` of SciPy, which FID uses, to be exact.
"""

import numpy as np

KID = {"kid_subsets": 5, "kid_subset_size": 50}

SCORES = {
    "inception_score_mean": 3.411739180772863,
    "inception_score_std": 0.5343265044932148,
    "inception_score_mean_unshuffled": 3.2614215865871357,
    "inception_score_std_unshuffled": 0.5414249817476329,
    "kernel_inception_distance_mean": 0.04021998456870559,
    "kernel_inception_distance_std": 0.012878856618526672,
    "frechet_inception_distance": 0.1409426684922882,
}


def features():
    """Draws (130, 16) and (117, 16) float32 features, positive and skewed like pooled activations."""
    rng = np.random.RandomState(7)
    mixing = rng.uniform(0, 0.04, size=(16, 16)) + 0.1 * np.eye(16)
    real, fake = np.exp(0.5 * rng.normal(size=(130, 16))), np.exp(0.1 + 0.6 * rng.normal(size=(117, 16)))
    return (real @ mixing).astype(np.float32), (fake @ mixing).astype(np.float32)


def logits():
    """Draws (103, 10) float32 logits, whose number of samples is not a multiple of 10 splits."""
    return (3 * np.random.RandomState(8).normal(size=(103, 10))).astype(np.float32)


def main():
    """Prints the scores of torch-fidelity."""
    import torch
    from torch_fidelity import metric_fid, metric_isc, metric_kid

    real, fake = map(torch.from_numpy, features())
    shuffled = metric_isc.isc_features_to_metric(torch.from_numpy(logits()))
    ordered = metric_isc.isc_features_to_metric(torch.from_numpy(logits()), shuffle=False)
    statistics = [metric_fid.fid_features_to_statistics(x.double()) for x in (real, fake)]
    scores = {
        **shuffled,
        **{f"{name}_unshuffled": value for name, value in ordered.items()},
        **metric_kid.kid_features_to_metric(real.double(), fake.double(), verbose=False, **KID),
        **metric_fid.fid_statistics_to_metric(*statistics, verbose=False),
    }
    for name, value in scores.items():
        print(f"    {name!r}: {value!r},".replace("'", '"'))


if __name__ == "__main__":
    main()
