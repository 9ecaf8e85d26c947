"""Golden values of statistics and set metrics, by numpy, for crates/evaluate/tests/it: prints them.

    python evaluate_golden.py
"""
import math
from statistics import NormalDist

import numpy as np


def bca(x, resamples=400_000):
    """Ends of the percentile and the corrected interval of the mean (Efron & Tibshirani 1993, section 14.3)."""
    rng, phi = np.random.default_rng(0), NormalDist()
    means = np.concatenate([x[rng.integers(0, len(x), (10_000, len(x)))].mean(1) for _ in range(resamples // 10_000)])
    z0 = phi.inv_cdf((means < x.mean()).mean() + 0.5 * (means == x.mean()).mean())
    jack = np.array([np.delete(x, i).mean() for i in range(len(x))])
    d = jack.mean() - jack
    a = (d ** 3).sum() / (6 * (d ** 2).sum() ** 1.5)
    ends = [phi.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in (phi.inv_cdf(.025), phi.inv_cdf(.975))]
    return np.quantile(means, [.025, .975]), np.quantile(means, ends)


def features(n=12, m=10, d=5):
    i, k, j = np.arange(n)[:, None], np.arange(m)[:, None], np.arange(d)[None]
    return np.sin(.7 * i + 1.3 * j + .1 * i * j), 1.2 * np.cos(.5 * k + .9 * j + .05 * k * j) + .1


def frechet(a, b):
    a0, b0 = a - a.mean(0), b - b.mean(0)
    root = np.linalg.svd(a0 @ b0.T, compute_uv=False).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + (a0 ** 2).sum() / (len(a) - 1) + (b0 ** 2).sum() / (len(b) - 1) - 2 * root


def kid(a, b):
    def k(u, v):
        return (u @ v.T / u.shape[1] + 1) ** 3
    x, y, z, p, q = k(a, a), k(b, b), k(a, b), len(a), len(b)
    return (x.sum() - np.trace(x)) / (p * (p - 1)) + (y.sum() - np.trace(y)) / (q * (q - 1)) - 2 * z.mean()


def cmmd(a, b, sigma=10.):
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))

    def k(u, v):
        return np.exp(-((u[:, None] - v[None]) ** 2).sum(-1) / (2 * sigma * sigma))
    return 1000 * (k(a, a).mean() + k(b, b).mean() - 2 * k(a, b).mean())


if __name__ == "__main__":
    values = -np.log(1 - (np.arange(40) + .5) / 40)
    percentile, corrected = bca(values)
    print("bootstrap: percentile", percentile, "corrected", corrected)
    x, y = features()
    print("Frechet %.12f, of 4 and 4 rows %.12f, of 40 and 30 rows %.12f" % (frechet(x, y), frechet(x[:4], y[:4]), frechet(*features(40, 30))))
    print("KID %.12f CMMD %.12f" % (kid(x, y), cmmd(x, y)))
