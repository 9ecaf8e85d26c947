"""Writes crates/pictures/tests/data: small pictures as Pillow writes them, and their colours as its ImageCms has them.

    python reference/pictures_golden.py crates/pictures/tests/data
"""

import io
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def profile(space, colorants, curve):
    """An ICC profile, version 2, of three colours or of gray, with one curve."""
    xyz = lambda values: b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in values)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, values in zip((b"r", b"g", b"b"), colorants):
            tags[name + b"XYZ"] = xyz(values)
            tags[name + b"TRC"] = curve
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"none", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header + bytes(128 - len(header)) + table + data


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def table(function, count=1024):
    values = [round(65535 * function(i / (count - 1))) for i in range(count)]
    return b"curv\0\0\0\0" + struct.pack(f">I{count}H", count, *values)


def srgb(v):
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


# Colorants adapted to D50, from the profiles that Adobe and Apple publish.
ADOBE = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    levels = np.array([0, 37, 90, 128, 200, 255], dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(18, 12, 3)
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    target = ImageCms.createProfile("sRGB")
    pictures = {
        "adobe": (Image.fromarray(colours), profile(b"RGB ", ADOBE, gamma(2.19921875)), "RGB"),
        "p3": (Image.fromarray(colours), profile(b"RGB ", P3, table(srgb)), "RGB"),
        "srgb": (Image.fromarray(colours), profile(b"RGB ", SRGB, table(srgb)), "RGB"),
        "gray": (Image.fromarray(gray), profile(b"GRAY", None, gamma(1.8)), "L"),
    }
    for name, (picture, icc, mode) in pictures.items():
        picture.save(out / f"{name}.png", icc_profile=icc)
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        converted.save(out / f"{name}-converted.png")
    adobe = pictures["adobe"]
    adobe[0].save(out / "adobe.webp", lossless=True, exact=True, icc_profile=adobe[1])
    adobe[0].resize((72, 48), 0).save(out / "adobe.jpg", quality=100, subsampling=0, icc_profile=adobe[1])

    # Every way in which Pillow's encoder codes a JPEG.
    y, x = np.mgrid[0:75, 0:101]
    rng = np.random.default_rng(7)
    scene = np.stack([x * 2, y * 3, 128 + 90 * np.sin(x * y / 90)], -1) + rng.normal(0, 12, (75, 101, 3))
    scene = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
    for name, mode, options in [
        ("baseline", "RGB", dict(subsampling=0)),
        ("half", "RGB", dict(subsampling=2, optimize=True)),
        ("progressive", "RGB", dict(progressive=True, subsampling=2)),
        ("restarts", "RGB", dict(subsampling=1, restart_marker_blocks=3)),
        ("progressive-restarts", "RGB", dict(progressive=True, restart_marker_rows=1)),
        ("gray-scale", "L", dict()),
        ("inks", "CMYK", dict()),
    ]:
        scene.convert(mode).save(out / f"{name}.jpg", quality=85, **options)

    # Both ways in which WebP codes a picture, and transparency beside one.
    large = scene.resize((303, 225))
    large.save(out / "lossy.webp", quality=85)
    large.resize((152, 113)).save(out / "lossless.webp", lossless=True)
    large.putalpha(large.convert("L"))
    large.save(out / "lossy-alpha.webp", quality=70)
    # Small files with little to read.
    for name, size, colour in [("one", (1, 1), (9, 8, 7)), ("plain", (640, 480), (200, 30, 90))]:
        for lossless in [False, True]:
            Image.new("RGB", size, colour).save(out / f"{name}-{lossless}.webp", lossless=lossless)

    # Orientation 6 in each place where programs write it.
    exif = Image.Exif()
    exif[0x0112] = 6
    prefixed = exif.tobytes()
    assert prefixed.startswith(b"Exif\0\0")
    small = scene.crop((0, 0, 24, 16))
    small.save(out / "turned.jpg", exif=prefixed)
    small.save(out / "turned.webp", lossless=True, exif=prefixed)
    digits = prefixed.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    for name, keyword, add in [
        ("ztxt", "exif", lambda info, key, text: info.add_text(key, text, zip=True)),
        ("text", "APP1", lambda info, key, text: info.add_text(key, text)),
        ("itxt", "exif", lambda info, key, text: info.add_itxt(key, text, zip=True)),
    ]:
        info = PngImagePlugin.PngInfo()
        add(info, f"Raw profile type {keyword}", f"\n{keyword.lower()}\n{len(prefixed):8}\n{lines}\n")
        small.save(out / f"turned-{name}.png", pnginfo=info)
    small.save(out / "other.avif")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
