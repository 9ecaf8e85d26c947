"""Writes small pictures of kinds that the `image` crate reads but cannot write, for the tests of `crates/dataset`.

    .venv/bin/python reference/dataset/odd_pictures.py crates/dataset/tests/data

Each is 24 x 24 pixels of coarse coloured noise, so that no two look alike: a CMYK JPEG, an animated PNG and an animated
WebP of two frames.
"""

import random
import sys
from pathlib import Path

from PIL import Image


def noise(seed):
    rng = random.Random(seed)
    small = Image.new("RGB", (6, 6))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(36)])
    return small.resize((24, 24), Image.Resampling.BICUBIC)


def main(out):
    noise(1).convert("CMYK").save(out / "cmyk.jpg", quality=90)
    noise(2).save(out / "animated.png", save_all=True, append_images=[noise(3)], duration=100)
    noise(4).save(out / "animated.webp", save_all=True, append_images=[noise(5)], duration=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
