"""Golden values of the Inception network of FID with few channels, for crates/evaluate/tests/it/inception.rs.

    python inception_golden.py ../crates/evaluate/tests/data/inception

The architecture is pytorch-fid's (inception.py: FIDInceptionV3 and its blocks), in the names of its file
`pt_inception-2015-12-05`; every number of channels is divided by 16. `case.safetensors`: pictures as they are
read [N, H, W, 3] and their features; Pillow's bicubic in floats of a picture, as clean-fid resizes (clean.py).
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from clip_judges_golden import picture

SHARE = 16


class Conv(nn.Module):
    def __init__(self, i, o, k, stride=1, pad=0):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def c(n):
    return max(n // SHARE, 2)


class Block(nn.Module):
    def add(self, name, i, o, k=1, stride=1, pad=0):
        setattr(self, name, Conv(i, o, k, stride, pad))
        return o

    def run(self, x, *names):
        for name in names:
            x = getattr(self, name)(x)
        return x

    def mean(self, x):
        return self.branch_pool(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))


class A(Block):
    def __init__(self, i, pool):
        super().__init__()
        self.out = self.add("branch1x1", i, c(64))
        self.add("branch5x5_1", i, c(48)), self.add("branch3x3dbl_1", i, c(64))
        self.out += self.add("branch5x5_2", c(48), c(64), 5, 1, 2)
        self.add("branch3x3dbl_2", c(64), c(96), 3, 1, 1)
        self.out += self.add("branch3x3dbl_3", c(96), c(96), 3, 1, 1) + self.add("branch_pool", i, c(pool))

    def forward(self, x):
        return torch.cat([self.branch1x1(x), self.run(x, "branch5x5_1", "branch5x5_2"),
                          self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), self.mean(x)], 1)


class B(Block):
    def __init__(self, i):
        super().__init__()
        self.out = i + self.add("branch3x3", i, c(384), 3, 2)
        self.add("branch3x3dbl_1", i, c(64)), self.add("branch3x3dbl_2", c(64), c(96), 3, 1, 1)
        self.out += self.add("branch3x3dbl_3", c(96), c(96), 3, 2)

    def forward(self, x):
        return torch.cat([self.branch3x3(x), self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), F.max_pool2d(x, 3, 2)], 1)


class C(Block):
    def __init__(self, i, m):
        super().__init__()
        m, o = c(m), c(192)
        self.out = self.add("branch1x1", i, o)
        self.add("branch7x7_1", i, m), self.add("branch7x7_2", m, m, (1, 7), 1, (0, 3))
        self.out += self.add("branch7x7_3", m, o, (7, 1), 1, (3, 0))
        self.add("branch7x7dbl_1", i, m), self.add("branch7x7dbl_2", m, m, (7, 1), 1, (3, 0)), self.add("branch7x7dbl_3", m, m, (1, 7), 1, (0, 3))
        self.add("branch7x7dbl_4", m, m, (7, 1), 1, (3, 0))
        self.out += self.add("branch7x7dbl_5", m, o, (1, 7), 1, (0, 3)) + self.add("branch_pool", i, o)

    def forward(self, x):
        return torch.cat([self.branch1x1(x), self.run(x, *[f"branch7x7_{k}" for k in (1, 2, 3)]),
                          self.run(x, *[f"branch7x7dbl_{k}" for k in range(1, 6)]), self.mean(x)], 1)


class D(Block):
    def __init__(self, i):
        super().__init__()
        m = self.add("branch3x3_1", i, c(192))
        self.out = i + self.add("branch3x3_2", m, c(320), 3, 2)
        self.add("branch7x7x3_1", i, m), self.add("branch7x7x3_2", m, m, (1, 7), 1, (0, 3)), self.add("branch7x7x3_3", m, m, (7, 1), 1, (3, 0))
        self.out += self.add("branch7x7x3_4", m, m, 3, 2)

    def forward(self, x):
        return torch.cat([self.run(x, "branch3x3_1", "branch3x3_2"), self.run(x, *[f"branch7x7x3_{k}" for k in range(1, 5)]), F.max_pool2d(x, 3, 2)], 1)


class E(Block):
    def __init__(self, i, last):
        super().__init__()
        self.last = last
        self.out = self.add("branch1x1", i, c(320))
        m = self.add("branch3x3_1", i, c(384))
        self.add("branch3x3dbl_1", i, c(448)), self.add("branch3x3dbl_2", c(448), m, 3, 1, 1)
        for name in ("branch3x3_2", "branch3x3dbl_3"):
            self.out += self.add(name + "a", m, m, (1, 3), 1, (0, 1)) + self.add(name + "b", m, m, (3, 1), 1, (1, 0))
        self.out += self.add("branch_pool", i, c(192))

    def forward(self, x):
        y, z = self.branch3x3_1(x), self.run(x, "branch3x3dbl_1", "branch3x3dbl_2")
        pool = self.branch_pool(F.max_pool2d(x, 3, 1, 1)) if self.last else self.mean(x)
        return torch.cat([self.branch1x1(x), self.branch3x3_2a(y), self.branch3x3_2b(y), self.branch3x3dbl_3a(z), self.branch3x3dbl_3b(z), pool], 1)


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Conv(3, c(32), 3, 2), Conv(c(32), c(32), 3)
        self.Conv2d_2b_3x3, self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Conv(c(32), c(64), 3, 1, 1), Conv(c(64), c(80), 1), Conv(c(80), c(192), 3)
        self.blocks, width = [], c(192)
        for name, make in [("5b", lambda i: A(i, 32)), ("5c", lambda i: A(i, 64)), ("5d", lambda i: A(i, 64)), ("6a", B)] + \
                [("6" + k, lambda i, m=m: C(i, m)) for k, m in zip("bcde", (128, 160, 160, 192))] + \
                [("7a", D), ("7b", lambda i: E(i, False)), ("7c", lambda i: E(i, True))]:
            block = make(width)
            setattr(self, "Mixed_" + name, block)
            self.blocks.append("Mixed_" + name)
            width = block.out
        self.fc = nn.Linear(width, 8)

    def forward(self, x):
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        for name in self.blocks:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


if __name__ == "__main__":
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    model = Inception().eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn(p.shape, generator=g) * (.25 if p.dim() == 4 else .15))
            p.copy_(p.half())
        for name, b in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                b.add_(torch.rand(b.shape, generator=g) * .3)
                b.copy_(b.half())
    pixels = torch.randn(2, 3, 79, 79, generator=g)
    with torch.no_grad():
        features = model(pixels)
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if v.dtype == torch.float32}
    save_file(state, os.path.join(folder, "model.safetensors"))
    image = picture()
    planes = [np.array(Image.fromarray(image[:, :, k].astype(np.float32), mode="F").resize((40, 40), Image.Resampling.BICUBIC)) for k in range(3)]
    clean = (torch.from_numpy(np.stack(planes, -1)).clip(0, 255) - 128) / 128
    case = dict(pixels=pixels.permute(0, 2, 3, 1).contiguous(), features=features.contiguous(), clean=clean.contiguous())
    save_file(case, os.path.join(folder, "case.safetensors"))
    print(features.shape, features.std(), (features[0] - features[1]).abs().max(), features.max(), sum(v.numel() for v in state.values()))
