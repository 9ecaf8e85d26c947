"""Golden values of autoencoder training: what PyTorch's autograd gives, for crates/train/tests/autoencoder.rs.

    python vae_training_golden.py ../crates/train/tests/data/autoencoder

`vae/` is a small AutoencoderKL as diffusers saves it (weights in f16, computed with as f32). `case.safetensors` (all
f32, images [batch, channels, height, width]): pictures, noise of the latents, mask_face (in pixels), and for the
objectives global and face (scale 5; `kl` and `edges` as below) the losses [2], the Gram matrix [2, 2] and the
gradients `grad.<parameter>` [2, ...].
"""
import os
import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

KL, EDGES, SCALE = 0.05, 0.7, 5.0


def main(folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    vae = AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, sample_size=16,
                        block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, latent_channels=3)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.05)
    vae.half().save_pretrained(os.path.join(folder, "vae"))
    vae.float()
    pictures = torch.rand(2, 3, 12, 16, generator=g) * 2 - 1
    noise = torch.randn(2, 3, 6, 8, generator=g)
    mask = torch.zeros(2, 1, 12, 16)
    mask[1, :, 3:7, 4:11] = 1

    posterior = vae.encode(pictures).latent_dist
    output = vae.decode(posterior.mean + posterior.std * noise).sample
    error = output - pictures

    def objective(weight):
        """Mean over all picture elements; a difference belongs to the pixel at its left or above it."""
        total = (weight * error ** 2).sum()
        total = total + EDGES * (weight[..., :-1] * (error[..., 1:] - error[..., :-1]) ** 2).sum()
        total = total + EDGES * (weight[..., :-1, :] * (error[..., 1:, :] - error[..., :-1, :]) ** 2).sum()
        return total / error.numel()

    divergence = 0.5 * (posterior.mean ** 2 + posterior.var - 1 - posterior.logvar).mean()
    losses = [objective(torch.ones_like(mask)) + KL * divergence, objective((SCALE * mask) ** 2)]
    named = dict(vae.named_parameters())
    grads = [torch.autograd.grad(loss, list(named.values()), retain_graph=True) for loss in losses]
    columns = torch.stack([torch.cat([v.double().flatten() for v in row]) for row in grads])
    out = dict(pictures=pictures, noise=noise, mask_face=mask, losses=torch.stack([v.detach() for v in losses]),
               gram=(columns @ columns.T).float())
    for i, key in enumerate(named):
        out["grad." + key] = torch.stack([row[i] for row in grads])
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    print("losses", [float(v.detach()) for v in losses], "parameters", sum(p.numel() for p in vae.parameters()))


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    main(sys.argv[1])
