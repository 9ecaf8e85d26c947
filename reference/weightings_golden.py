"""Golden weights of every weighting on six fixed Gram matrices, for crates/fairness/tests/it/golden.rs.

    python weightings_golden.py

Prints one line per weighting and matrix. Weights are as each method defines them, without the factor that turns them
into the combination. Step 1 of a run with seed 0. Then one line per step for the weightings with a memory, in a run of
six steps in the third of which the third objective is absent. Needs numpy only.
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


LOSSES = {2: np.array([.5, 2.]), 3: np.array([.2616, .7792, .5058])}

# A run: losses, and the matrices E and F by turns. The third objective is absent in step 3.
RUN = np.array([[.30, .80, .60], [.25, .90, .50], [.35, .70, math.nan], [.28, .75, .55], [.24, .82, .45], [.26, .72, .52]])


def alpha_fair(A, alpha, p=None):
    """A w = (p / w)^(1/alpha): damped Newton on w'Aw/2 - sum p^q w^(1-q)/(1-q), q = 1/alpha."""
    t, q, w = np.trace(A) / len(A), 1 / alpha, np.ones(len(A))
    B, p = A / t, np.ones(len(A)) if p is None else np.array(p[:len(A)]) ** q
    f = lambda w: w @ B @ w / 2 - ((p * np.log(w)).sum() if q == 1 else (p * w ** (1 - q)).sum() / (1 - q))
    for _ in range(200):
        g = B @ w - p * w ** -q
        s = -np.linalg.solve(B + np.diag(q * p * w ** (-q - 1)), g)
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


def faces(k):
    """The faces of the simplex of K weights."""
    return [list(face) for r in range(1, k + 1) for face in itertools.combinations(range(k), r)]


def mgda(A):
    w = max_min(A)
    return w / w.sum()


def imtl_g(A):
    w = np.linalg.solve(A, np.sqrt(np.diag(A)))
    return w / np.abs(w).sum()


def cagrad(A, c):
    """Equation 4 of the paper, the dual: w on the simplex minimises g_w . g_0 + c |g_0| |g_w|; Newton on each face."""
    k, best = len(A), None
    g0 = np.ones(k) / k
    radius = c * np.sqrt(g0 @ A @ g0)
    objective = lambda w: w @ A @ g0 + radius * np.sqrt(w @ A @ w)
    for face in faces(k):
        r, x, S, b = len(face), np.ones(len(face)) / len(face), A[np.ix_(face, face)], (A @ g0)[face]
        N = np.vstack([np.eye(r - 1), -np.ones(r - 1)])
        for _ in range(300 if r > 1 else 0):
            norm = np.sqrt(x @ S @ x)
            slope = N.T @ (b + radius * S @ x / norm)
            bend = N.T @ (radius * (S / norm - np.outer(S @ x, S @ x) / norm ** 3)) @ N
            s = N @ -np.linalg.solve(bend, slope)
            step = min([1.0] + [-.95 * x[i] / s[i] for i in range(r) if s[i] < 0])
            f = lambda x: b @ x + radius * np.sqrt(x @ S @ x)
            while f(x + step * s) > f(x) + 1e-18 and step > 1e-14:
                step /= 2
            x = x + step * s
        w = np.zeros(k)
        w[face] = x
        if best is None or objective(w) < objective(best) - 1e-16:
            best = w
    return g0 + radius / np.sqrt(best @ A @ best) * best


def orders(seed, step, count):
    words = chacha8(struct.pack("<QQQ", seed, step, 0) + b"orders  ")
    for _ in range(count):
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = next(words) % (last + 1)
            order[last], order[other] = order[other], order[last]
        yield order


def pcgrad(A, seed=0, step=1):
    total = np.zeros(len(A))
    for i, order in enumerate(orders(seed, step, len(A))):
        own = np.eye(len(A))[i]
        for j in order:
            if j != i:
                own[j] -= min(A[j] @ own, 0) / A[j, j]
        total += own
    return total


def aligned(A, mode):
    values, V = np.linalg.eigh(A)
    s = values.min() if mode == "min" else values.mean()
    return np.sqrt(s) * V @ np.diag(values ** -.5) @ V.T @ np.ones(len(A)) / len(A)


def upgrad(A):
    """For each i the v >= e_i / K with the smallest v'Av, by trying all sets of v on their bounds."""
    k, total = len(A), np.zeros(len(A))
    for lower in np.eye(k) / k:
        best = None
        for free in [[]] + faces(k):
            v, bound = lower.copy(), [i for i in range(k) if i not in free]
            if free and bound:
                v[free] = -np.linalg.solve(A[np.ix_(free, free)], A[np.ix_(free, bound)] @ v[bound])
            elif free:
                v[:] = 0
            if (v >= lower - 1e-12).all() and (best is None or v @ A @ v < best @ A @ best - 1e-15):
                best = v
        total += best
    return total


def nash_limited(A, max_norm):
    """The authors' code: the Gram matrix over its Frobenius norm, then at most max_norm long."""
    w = alpha_fair(A / np.linalg.norm(A), 1.)
    return w * min(1, max_norm / np.sqrt(w @ A @ w))


def of_unit_gradients(solve):
    """Weights for gradients of norm 1, mapped back."""
    def weigh(A):
        n = np.sqrt(np.diag(A))
        return solve(A / np.outer(n, n)) / n
    return weigh


class Average:
    """Moving averages with the bias of the start removed; nan leaves an objective as it is."""

    def __init__(self, decay):
        self.decay, self.sum, self.mass = decay, np.zeros(3), np.zeros(3)

    def __call__(self, l):
        seen = ~np.isnan(l)
        self.sum[seen] = self.decay * self.sum[seen] + (1 - self.decay) * l[seen]
        self.mass[seen] = self.decay * self.mass[seen] + (1 - self.decay)
        return self.sum / np.maximum(self.mass, 1e-300)


class Adam:
    def __init__(self, lr):
        self.lr, self.m, self.v, self.t = lr, np.zeros(3), np.zeros(3), np.zeros(3)

    def __call__(self, g, on):
        self.t[on] += 1
        self.m[on] = .9 * self.m[on] + .1 * g[on]
        self.v[on] = .999 * self.v[on] + .001 * g[on] ** 2
        change = np.zeros(3)
        change[on] = -self.lr * self.m[on] / (1 - .9 ** self.t[on]) / (np.sqrt(self.v[on] / (1 - .999 ** self.t[on])) + 1e-8)
        return change


def softmax(x, on):
    e = np.where(on, np.exp(x), 0)
    return e / e.sum()


def run_log(decay=.9):
    average = Average(decay)
    return lambda A, l, on: 1 / average(l)


def run_db_mtl(decay=.9):
    average = Average(decay)

    def weigh(A, l, on):
        n = np.sqrt(np.diag(A))
        return (n / average(l))[on].max() / n
    return weigh


def run_uncertainty(decay=.9, lr=.1):
    average, adam, s = Average(decay), Adam(lr), np.zeros(3)

    def weigh(A, l, on):
        nonlocal s
        w = np.exp(-s)
        s = s + adam(1 - average(l) * w, on)
        return w
    return weigh


def run_dwa(T=.5, window=2):
    windows = [[[]] for _ in range(3)]

    def weigh(A, l, on):
        means = [[np.mean(v) for v in w if len(v) == window][-2:] for w in windows]
        r = np.array([m[1] / m[0] if len(m) == 2 else 1. for m in means])
        for w, x in zip(windows, l):
            if not math.isnan(x):
                if len(w[-1]) == window:
                    w.append([])
                w[-1].append(x)
        return on.sum() * softmax(r / T, on)
    return weigh


def run_stch(mu=.5, warmup=2, decay=.9):
    average, first = Average(decay), [[], [], []]

    def weigh(A, l, on):
        now, done = average(l), all(len(f) == warmup for f, x in zip(first, on) if x)
        ref = np.array([np.mean(f) if f else 1. for f in first])
        for f, x in zip(first, l):
            if not math.isnan(x) and len(f) < warmup:
                f.append(x)
        return (on.sum() * softmax(np.log(now / ref) / mu, on) if done else 1) / now
    return weigh


def run_famo(lr=.1, gamma=.01):
    """LibMTL's FAMO; after step t the loss of objective i is .9 + .02 (i + t) times what it was."""
    adam, xi, t = Adam(lr), np.zeros(3), 0

    def weigh(A, l, on):
        nonlocal xi, t
        t += 1
        p = softmax(xi, on)
        w = np.where(on, p / l, 0)
        fall = np.where(on, np.log(l) - np.log(l * (.9 + .02 * (np.arange(3) + t))), 0)
        xi = xi + adam(np.where(on, p * (fall - p @ fall) + gamma * xi, 0), on)
        return w / w.sum()
    return weigh


def run_famo_ema(lr=.1, gamma=.01, decay=.9):
    average, adam, xi, before = Average(decay), Adam(lr), np.zeros(3), None

    def weigh(A, l, on):
        nonlocal xi, before
        now = average(l)
        if before is not None:
            p, fall = softmax(xi, on), np.log(before / now)
            xi = xi + adam(p * (fall - p @ fall) + gamma * xi, on)
        before = now
        w = softmax(xi, on) / now
        return w / w.sum()
    return weigh


def run_gradnorm(alpha=1.5, lr=.1, warmup=2, decay=.9):
    average, adam, first, w = Average(decay), Adam(lr), [[], [], []], np.ones(3)

    def weigh(A, l, on):
        nonlocal w
        now, used, n = average(l), w, np.sqrt(np.diag(A))
        done = np.array([len(f) == warmup for f in first]) & on
        r = np.ones(3)
        if done.any():
            lag = now / np.array([np.mean(f) if f else 1. for f in first])
            r = np.where(done, lag / lag[done].mean(), 1)
        for f, x in zip(first, l):
            if not math.isnan(x) and len(f) < warmup:
                f.append(x)
        length = (w * n)[on].mean()
        slope = np.sign(w * n - length * r ** alpha) * n / length
        moved = np.maximum(w + adam(slope, on), 1e-3)
        w = np.where(on, moved * w[on].sum() / moved[on].sum(), w)
        return used
    return weigh


RUNS = {
    "log": run_log, "db-mtl": run_db_mtl, "uncertainty": run_uncertainty, "dwa": run_dwa, "stch": run_stch,
    "famo": run_famo, "famo-ema": run_famo_ema, "gradnorm": run_gradnorm,
}

TABLE = {
    "alpha-fair 0.5": lambda A: alpha_fair(A, .5),
    "alpha-fair 1": lambda A: alpha_fair(A, 1.),
    "alpha-fair 2": lambda A: alpha_fair(A, 2.),
    "alpha-fair inf": max_min,
    "alpha-fair 2, priority 1 2 0.5": lambda A: alpha_fair(A, 2., [1., 2., .5]),
    "alpha-fair 2, gradient": of_unit_gradients(lambda A: alpha_fair(A, 2.)),
    "linear": lambda A: np.ones(len(A)),
    "fixed": lambda A: np.array([1., 5., 20.])[:len(A)],
    "nash": lambda A: alpha_fair(A, 1.),
    "nash, max_norm 1e-12": lambda A: nash_limited(A, 1e-12),
    "mgda": mgda,
    "imtl-g": imtl_g,
    "cagrad 0.5": lambda A: cagrad(A, .5),
    "pcgrad": pcgrad,
    "aligned-mtl min": lambda A: aligned(A, "min"),
    "aligned-mtl rmse": lambda A: aligned(A, "rmse"),
    "upgrad": upgrad,
    "unit": lambda A: 1 / np.sqrt(np.diag(A)),
    "rlw": rlw,
    "log": lambda A: 1 / LOSSES[len(A)],
    "db-mtl": lambda A: (np.sqrt(np.diag(A)) / LOSSES[len(A)]).max() / np.sqrt(np.diag(A)),
    "famo": lambda A: 1 / LOSSES[len(A)] / (1 / LOSSES[len(A)]).sum(),
    "famo-ema": lambda A: 1 / LOSSES[len(A)] / (1 / LOSSES[len(A)]).sum(),
}

if __name__ == "__main__":
    line = lambda weights: print("    &[" + ", ".join(repr(float(f"{w:.12g}")) for w in weights) + "],")
    for name, weigh in TABLE.items():
        print(name)
        for gram in GRAMS.values():
            line(weigh(np.array(gram, float)))
    for name, make in RUNS.items():
        print(name, "run")
        weigh = make()
        for step, losses in enumerate(RUN):
            on = ~np.isnan(losses)
            line(np.where(on, weigh(np.array(GRAMS["EF"[step % 2]]), losses, on), 0))
