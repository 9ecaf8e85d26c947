"""Golden weights of every weighting on six fixed Gram matrices, for crates/fairness/tests/it/golden.rs.

    python weightings_golden.py

Prints one line per weighting and matrix. Weights are as each method defines them, without the factor that turns them
into the combination. Step 1 of a run with seed 0; the losses are those of golden.rs. Needs numpy only.
"""
import itertools
import math
import struct

import numpy as np

GRAMS = {
    "A": [[1, 0], [0, 4]],                                              # orthogonal
    "B": [[1, 1.2], [1.2, 4]],                                          # max-min has a zero weight
    "C": [[1, -1], [-1, 4]],                                            # conflict, cosine -1/2
    "D": [[1, 0, 0], [0, .09, 0], [0, 0, .01]],                         # picture, face and hand
    "E": [[.002657, .003959, .001619], [.003959, .06293, .001105], [.001619, .001105, .03165]],  # a first step
    "F": [[1, -.3, .2], [-.3, .5, -.4], [.2, -.4, .8]],                 # three-way conflict
}


def alpha_fair(A, alpha):
    """A w = w^(-1/alpha): damped Newton on w'Aw/2 - sum w^(1-q)/(1-q), q = 1/alpha."""
    t, q, w = np.trace(A) / len(A), 1 / alpha, np.ones(len(A))
    B = A / t
    f = lambda w: w @ B @ w / 2 - (np.log(w).sum() if q == 1 else (w ** (1 - q)).sum() / (1 - q))
    for _ in range(200):
        g = B @ w - w ** -q
        s = -np.linalg.solve(B + np.diag(q * w ** (-q - 1)), g)
        step = min([1.0] + [-.95 * w[i] / s[i] for i in range(len(w)) if s[i] < 0])
        while f(w + step * s) > f(w) + 1e-4 * step * (g @ s) + 1e-15 * abs(f(w)) and step > 1e-12:
            step /= 2
        w = w + step * s
    return w * t ** (-alpha / (1 + alpha))


def max_min(A):
    """alpha = inf: the shortest convex combination, face by face of the simplex, over its squared length."""
    best = None
    for r in range(1, len(A) + 1):
        for face in map(list, itertools.combinations(range(len(A)), r)):
            x = np.linalg.solve(A[np.ix_(face, face)], np.ones(r))
            if (x / x.sum() >= -1e-13).all():
                w = np.zeros(len(A))
                w[face] = x / x.sum()
                if best is None or w @ A @ w < best @ A @ best - 1e-15:
                    best = w
    return best / (best @ A @ best)


def chacha8(key):
    """The ChaCha stream with 8 rounds, 64-bit counter and nonce 0, as 64-bit numbers."""
    rotate = lambda v, n: (v << n | v >> 32 - n) & 0xffffffff
    for counter in itertools.count():
        start = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key))
        start += [counter & 0xffffffff, counter >> 32, 0, 0]
        x = start[:]
        for round in range(8):
            for i in range(4):
                a, b, c, d = (i, 4 + i, 8 + i, 12 + i) if round % 2 == 0 else (
                    i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
                for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    x[p] = (x[p] + x[q]) & 0xffffffff
                    x[r] = rotate(x[r] ^ x[p], n)
        words = [(v + s) & 0xffffffff for v, s in zip(x, start)]
        yield from (words[i] | words[i + 1] << 32 for i in range(0, 16, 2))


def normals(seed, step, count):
    words = chacha8(struct.pack("<QQQ", seed, step, 0) + b"weights ")
    unit = lambda: ((next(words) >> 11) + 1) / 2 ** 53
    values = []
    while len(values) < count:
        radius, angle = math.sqrt(-2 * math.log(unit())), 2 * math.pi * unit()
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return values[:count]


def rlw(A, seed=0, step=1):
    p = np.exp(normals(seed, step, len(A)))
    return p / p.sum()


TABLE = {
    "alpha-fair 0.5": lambda A: alpha_fair(A, .5),
    "alpha-fair 1": lambda A: alpha_fair(A, 1.),
    "alpha-fair 2": lambda A: alpha_fair(A, 2.),
    "alpha-fair inf": max_min,
    "linear": lambda A: np.ones(len(A)),
    "fixed": lambda A: np.array([1., 5., 20.])[:len(A)],
    "rlw": rlw,
}

if __name__ == "__main__":
    for name, weigh in TABLE.items():
        print(name)
        for gram in GRAMS.values():
            print("    &[" + ", ".join(repr(float(f"{w:.12g}")) for w in weigh(np.array(gram, float))) + "],")
