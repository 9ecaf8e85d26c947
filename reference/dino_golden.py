"""Golden values of a small random DINOv2, for crates/evaluate/tests/it/set_metrics.rs.

    python dino_golden.py ../crates/evaluate/tests/data/dino

`model.safetensors` in f16, computed with as f32; `case.safetensors`: normalised pictures at the size that the
positions are for (35 pixels, 5 x 5 patches) and at another (28), and the class tokens after the last norm.
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model

if __name__ == "__main__":
    folder = sys.argv[1]
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=36, num_hidden_layers=3, num_attention_heads=3, mlp_ratio=2, patch_size=7, image_size=35, layerscale_value=.5)
    model = Dinov2Model(config).eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * .1)
            p.copy_(p.half())
    model.half().save_pretrained(folder)
    model.float()
    case = {}
    for side in (28, 35):
        pixels = torch.randn(2, 3, side, side, generator=g)
        with torch.no_grad():
            case[f"pixels{side}"], case[f"class{side}"] = pixels, model(pixels).last_hidden_state[:, 0].contiguous()
    save_file(case, os.path.join(folder, "case.safetensors"))
    print(sum(p.numel() for p in model.parameters()), case["class28"].std())
