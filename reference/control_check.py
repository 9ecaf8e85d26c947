"""Loads a control network that fairhuman wrote into diffusers' SDXL pipeline and compares a picture with ours.

    fairhuman init-control --model MODEL --kind controlnet --random --out NET      (or --kind t2i-xl)
    fairhuman sample --model MODEL --control NET --control-image IMAGE --prompt "a woman waves" --steps 8 --seed 3 --out OURS
    python control_check.py MODEL NET IMAGE OURS/0000.png --prompt "a woman waves" --steps 8 --seed 3

The folder is read by `from_pretrained`, the noise is made here as ours is (ChaCha8). Sampler UniPC, guidance 7.5, weight 1.
Prints the mean difference of the two pictures in units of 1/255 (at most 2 is wanted), and that to the picture without control.
"""
import argparse
import itertools
import json
import math
import os
import struct

import numpy as np
import torch
from diffusers import (ControlNetModel, StableDiffusionXLAdapterPipeline, StableDiffusionXLControlNetPipeline, StableDiffusionXLPipeline,
                       T2IAdapter, UniPCMultistepScheduler)
from PIL import Image


def chacha8(seed, stream):
    """32-bit numbers of rand_chacha's ChaCha8Rng::seed_from_u64(seed) with this stream."""
    mask, key, state = (1 << 64) - 1, [], seed
    for _ in range(8):  # PCG32 fills the key
        state = (state * 6364136223846793005 + 11634580027462260723) & mask
        x, turn = ((state >> 18 ^ state) >> 27) & 0xffffffff, state >> 59
        key.append((x >> turn | x << (32 - turn)) & 0xffffffff if turn else x)
    rotate = lambda v, n: (v << n | v >> 32 - n) & 0xffffffff
    for counter in itertools.count():
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *key, counter & 0xffffffff, counter >> 32, stream & 0xffffffff, stream >> 32]
        x = start[:]
        for turn in range(8):
            for i in range(4):
                a, b, c, d = (i, 4 + i, 8 + i, 12 + i) if turn % 2 == 0 else (i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
                for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    x[p] = (x[p] + x[q]) & 0xffffffff
                    x[r] = rotate(x[r] ^ x[p], n)
        yield from ((v + s) & 0xffffffff for v, s in zip(x, start))


def noise(seed, index, shape):
    """The noise of a picture, [1, channels, rows, columns]; ours is made channel by channel of each position."""
    stream = 0xcbf29ce484222325
    for byte in f"initial noise of picture {index}".encode():
        stream = ((stream ^ byte) * 0x100000001b3) & ((1 << 64) - 1)
    c, h, w = shape
    unit = ((v + 0.5) / 4294967296.0 for v in chacha8(seed, stream))
    values = []
    while len(values) < c * h * w:
        radius, angle = math.sqrt(-2 * math.log(next(unit))), 2 * math.pi * next(unit)
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return torch.tensor(values[:c * h * w], dtype=torch.float32).reshape(1, h, w, c).permute(0, 3, 1, 2)


parser = argparse.ArgumentParser()
for name in ("model", "network", "image", "ours"):
    parser.add_argument(name)
parser.add_argument("--prompt", required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()
ours = np.asarray(Image.open(a.ours).convert("RGB"), dtype=np.float64)
height, width = ours.shape[:2]
with open(os.path.join(a.network, "config.json")) as file:
    kind = json.load(file)["_class_name"]
if kind == "ControlNetModel":
    pipe = StableDiffusionXLControlNetPipeline.from_pretrained(a.model, controlnet=ControlNetModel.from_pretrained(a.network, torch_dtype=torch.float32))
else:
    pipe = StableDiffusionXLAdapterPipeline.from_pretrained(a.model, adapter=T2IAdapter.from_pretrained(a.network, torch_dtype=torch.float32))
pipe.to(torch.float32)
pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)
start = noise(a.seed, 0, (pipe.unet.config.in_channels, height // pipe.vae_scale_factor, width // pipe.vae_scale_factor))
call = dict(prompt=a.prompt, num_inference_steps=a.steps, guidance_scale=7.5, height=height, width=width)
picture = lambda pipe, **extra: np.asarray(pipe(**call, latents=start.clone(), **extra).images[0], dtype=np.float64)
theirs = picture(pipe, image=Image.open(a.image).convert("RGB").resize((width, height), Image.LANCZOS))
parts = {k: v for k, v in pipe.components.items() if k not in ("controlnet", "adapter")}
plain = picture(StableDiffusionXLPipeline(**parts))
print(json.dumps(dict(kind=kind, difference=np.abs(ours - theirs).mean(), without_control=np.abs(ours - plain).mean())))
