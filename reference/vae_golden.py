"""Golden values of small autoencoders: what diffusers computes, for crates/diffusion/tests/it/vae.rs.

    python vae_golden.py ../crates/diffusion/tests/data/vae

Each case is a folder: `vae/` (weights in f16, computed with as f32) and `case.safetensors` (f32, images
[batch, channels, height, width]): pictures, mean, log_variance, latents, decoded. The case "old" names the
attention's layers as folders from before 2023 do.
"""
import os
import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

CASES = {
    "sd": dict(block_out_channels=[8, 16, 16], layers_per_block=1, norm_num_groups=4, latent_channels=4, scaling_factor=0.13025),
    "old": dict(block_out_channels=[8, 16], layers_per_block=2, norm_num_groups=8, latent_channels=3),
    "bare": dict(block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, latent_channels=16, shift_factor=0.1159,
                 use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False),
}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def make(name, config, folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    n = len(config["block_out_channels"])
    vae = AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n, sample_size=32, **config)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.05)
    vae.half().save_pretrained(os.path.join(folder, "vae"))
    vae.float()
    if name == "old":
        path = os.path.join(folder, "vae", "diffusion_pytorch_model.safetensors")
        rename = lambda k: next((k.replace(f".attentions.0.{new}.", f".attentions.0.{old}.") for new, old in OLD.items() if f".attentions.0.{new}." in k), k)
        save_file({rename(k): v for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    pictures = torch.rand(2, 3, 8 << (n - 1), 6 << (n - 1), generator=g) * 2 - 1
    if name == "bare":
        pictures = pictures[:, :, :-1, :-1]  # a size that does not halve evenly
    latents = torch.randn(2, config["latent_channels"], 5, 7, generator=g)
    with torch.no_grad():
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(latents).sample
    out = dict(pictures=pictures, mean=posterior.mean, log_variance=posterior.logvar, latents=latents, decoded=decoded)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    print(name, "parameters", sum(p.numel() for p in vae.parameters()), "decoded", float(decoded.std()))


if __name__ == "__main__":
    for name, config in CASES.items():
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        make(name, config, folder)
