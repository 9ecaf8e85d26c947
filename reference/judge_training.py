"""Trains the judge of drawn people, two small networks that `xtask judge` runs, and writes their weights.

    fairhuman people --count 4000 --size 96 --seed 2 --figures 1 --near 90 --out judge-train
    python judge_training.py judge-train ../crates/evaluate/data/judge.safetensors

More folders of drawn people may come before the file of weights. `maps` says for 48 x 48 cells of 2 pixels
whether they are face, hand, or the middle of an eye; `gesture` reads the fingers of a square around one hand,
enlarged to 32 x 32. Both see pictures that are blurred, noisy and of other contrast half of the time, so that what
an autoencoder does to a drawing does not decide. One thread, about ten minutes; the last tenth of every folder is held out.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

SIDE, CELLS, CROP = 96, 48, 32
GESTURES = ["open", "relaxed", "fist", "pointing", "thumb up", "peace", "three"]
ALIASES = {"flat": "open"}


def block(inputs, outputs, kernel=3, stride=1):
    pad = 1
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, pad), nn.GroupNorm(8, outputs), nn.SiLU())


class Maps(nn.Module):
    """Logits of face, hand and eyes, [N, 3, 48, 48], of pictures [N, 3, 96, 96] in [-1, 1]."""

    def __init__(self):
        super().__init__()
        self.b0, self.b1 = block(3, 32, 4, 2), block(32, 32)
        self.b2, self.b3 = block(32, 48, 4, 2), block(48, 48)
        self.b4, self.b5, self.b6 = block(48, 64, 4, 2), block(64, 64), block(64, 64)
        self.b7, self.b8 = block(112, 48), block(80, 32)
        self.out = nn.Conv2d(32, 3, 1)

    def forward(self, x):
        a = self.b1(self.b0(x))
        b = self.b3(self.b2(a))
        c = self.b6(self.b5(self.b4(b)))
        b = self.b7(torch.cat([F.interpolate(c, scale_factor=2), b], 1))
        return self.out(self.b8(torch.cat([F.interpolate(b, scale_factor=2), a], 1)))


class Gesture(nn.Module):
    """Logits of GESTURES, [N, 7, 1, 1], of hands [N, 3, 32, 32] in [-1, 1]."""

    def __init__(self):
        super().__init__()
        self.b0, self.b1, self.b2 = block(3, 32), block(32, 48, 4, 2), block(48, 48)
        self.b3, self.b4 = block(48, 64, 4, 2), block(64, 64)
        self.b5 = block(64, 96, 4, 2)
        self.out = nn.Conv2d(96, len(GESTURES), 4)

    def forward(self, x):
        return self.out(self.b5(self.b4(self.b3(self.b2(self.b1(self.b0(x)))))))


def components(mask):
    """Boxes (left, top, right, bottom, in cells, half open) of the 4-connected parts of a boolean map."""
    mask, boxes = mask.copy(), []
    for y, x in zip(*np.nonzero(mask)):
        if not mask[y, x]:
            continue
        stack, cells = [(y, x)], []
        mask[y, x] = False
        while stack:
            v, u = stack.pop()
            cells.append((v, u))
            for b, a in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)):
                if 0 <= b < mask.shape[0] and 0 <= a < mask.shape[1] and mask[b, a]:
                    mask[b, a] = False
                    stack.append((b, a))
        if len(cells) >= 6:
            ys, xs = zip(*cells)
            boxes.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return boxes


def square(box):
    """Middle and side, in pixels, of the square that is read for a box of cells."""
    left, top, right, bottom = (2 * v for v in box)
    return (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top, 10) * 1.25


def crop(picture, x, y, side):
    """The square around (x, y), enlarged bilinearly to [3, 32, 32]; edges are repeated."""
    at = (np.arange(CROP) + 0.5) / CROP * side - side / 2 - 0.5
    u, v = np.clip(x + at, 0, SIDE - 1), np.clip(y + at, 0, SIDE - 1)
    u0, v0 = np.minimum(u.astype(int), SIDE - 2), np.minimum(v.astype(int), SIDE - 2)
    fu, fv = (u - u0)[None, :, None], (v - v0)[:, None, None]
    p = picture.astype(np.float32)
    rows = lambda r: p[r][:, u0] * (1 - fu) + p[r][:, u0 + 1] * fu
    return (rows(v0) * (1 - fv) + rows(v0 + 1) * fv).transpose(2, 0, 1) / 127.5 - 1


def load(folder):
    """Pictures, their three maps, and the hands: (picture, box, gesture)."""
    lines = [json.loads(line) for line in open(f"{folder}/metadata.jsonl")]
    pictures = np.zeros((len(lines), SIDE, SIDE, 3), np.uint8)
    maps = np.zeros((len(lines), 3, CELLS, CELLS), np.float16)
    hands = []
    yy, xx = np.mgrid[0:CELLS, 0:CELLS]
    for i, line in enumerate(lines):
        pictures[i] = np.asarray(Image.open(f"{folder}/{line['image']}").convert("RGB"))
        for c, column in enumerate(["mask_face", "mask_hand"]):
            if line[column]:
                mask = np.asarray(Image.open(f"{folder}/{line[column]}").convert("L")) / 255.0
                maps[i, c] = mask.reshape(CELLS, 2, CELLS, 2).mean((1, 3))
        figure = json.load(open(f"{folder}/{line['keypoints']}"))["figures"][0]
        for p in figure["body"]:
            if p["name"].endswith("_eye") and p["visibility"] == 2:
                near = np.exp(-((xx + 0.5 - p["x"] / 2) ** 2 + (yy + 0.5 - p["y"] / 2) ** 2) / 2)
                maps[i, 2] = np.maximum(maps[i, 2], near)
        middles = {}
        for name in ("right_hand", "left_hand"):
            seen = [(p["x"], p["y"]) for p in figure[name]["points"] if p["visibility"] == 2]
            if len(seen) >= 6:
                middles[name] = np.mean(seen, 0)
        for box in components(maps[i, 1] > 0.5):
            inside = [n for n, (x, y) in middles.items() if 2 * box[0] <= x <= 2 * box[2] and 2 * box[1] <= y <= 2 * box[3]]
            if len(inside) == 1:
                gesture = figure[inside[0]]["gesture"]
                hands.append((i, box, GESTURES.index(ALIASES.get(gesture, gesture))))
    return pictures, maps, hands


def worse(x, random):
    """Blur, noise and contrast, as drawn for the batch."""
    if random.random() < 0.6:
        k = np.exp(-np.arange(-2, 3) ** 2 / (2 * random.uniform(0.2, 1.2) ** 2))
        k = torch.tensor(np.outer(k, k) / k.sum() ** 2, dtype=torch.float32)[None, None].repeat(3, 1, 1, 1)
        x = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), k, groups=3)
    x = x * random.uniform(0.85, 1.15) + random.uniform(-0.1, 0.1)
    return x + torch.randn(x.shape) * random.uniform(0, 0.09)


def train(network, steps, batch, rate, loss_of):
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(1, steps + 1):
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"  step {step}: {loss.item():.4f}", flush=True)
    network.eval()


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    folders, out = sys.argv[1:-1], sys.argv[-1]
    loaded = [load(folder) for folder in folders]
    pictures = np.concatenate([part[0] for part in loaded])
    maps = np.concatenate([part[1] for part in loaded])
    starts = np.cumsum([0] + [len(part[0]) for part in loaded])
    hands = [(i + start, box, g) for part, start in zip(loaded, starts) for i, box, g in part[2]]
    held = np.concatenate([np.arange(len(p[0])) >= 0.9 * len(p[0]) for p in loaded])
    learnt = np.nonzero(~held)[0]
    print(f"{len(learnt)} pictures, {held.sum()} held out; {len(hands)} hands")
    as_tensor = lambda p: torch.tensor(p, dtype=torch.float32) / 127.5 - 1

    find = Maps()
    weights = torch.tensor([2.0, 4.0, 8.0])[None, :, None, None]

    def maps_loss(batch):
        i = random.choice(learnt, batch)
        x, y = as_tensor(pictures[i].transpose(0, 3, 1, 2)), torch.tensor(maps[i].astype(np.float32))
        if random.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        return F.binary_cross_entropy_with_logits(find(worse(x, random)), y, pos_weight=weights)

    train(find, 700, 16, 3e-3, maps_loss)

    read = Gesture()
    mine = [h for h in hands if not held[h[0]]]
    by_gesture = [[h for h in mine if h[2] == g] for g in range(len(GESTURES))]
    print("hands of each gesture:", dict(zip(GESTURES, map(len, by_gesture))))

    def gesture_loss(batch):
        x, y = [], []
        for g in random.integers(len(GESTURES), size=batch):
            i, box, _ = by_gesture[g][random.integers(len(by_gesture[g]))]
            u, v, side = square(box)
            u, v = u + random.normal(0, 0.07 * side), v + random.normal(0, 0.07 * side)
            c = crop(pictures[i], u, v, side * random.uniform(0.85, 1.3))
            x.append(c[:, :, ::-1].copy() if random.random() < 0.5 else c)
            y.append(g)
        x = torch.tensor(np.stack(x), dtype=torch.float32)
        return F.cross_entropy(read(worse(x, random))[:, :, 0, 0], torch.tensor(y), label_smoothing=0.05)

    train(read, 1200, 32, 3e-3, gesture_loss)

    with torch.no_grad():
        theirs = [h for h in hands if held[h[0]]]
        x = torch.tensor(np.stack([crop(pictures[i], *square(box)) for i, box, _ in theirs]), dtype=torch.float32)
        right = read(x)[:, :, 0, 0].argmax(1).numpy() == np.array([g for *_, g in theirs])
        print(f"held-out hands read: {right.mean():.3f} of {len(right)}")
        for g, name in enumerate(GESTURES):
            which = np.array([h[2] == g for h in theirs])
            print(f"  {name}: {right[which].mean():.3f} of {which.sum()}")
    tensors = {f"{prefix}.{k}": v for prefix, n in (("maps", find), ("gesture", read)) for k, v in n.state_dict().items()}
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, out)


if __name__ == "__main__":
    main()
