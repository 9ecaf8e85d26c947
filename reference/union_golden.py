"""Golden values of a small ControlNetUnion: what diffusers computes, for crates/diffusion/tests/it/union.rs.

    python union_golden.py ../crates/diffusion/tests/data/control/union

`controlnet/` as diffusers saves it (weights in f16, computed with as f32), for the U-Net of the case sdxl of control_golden.py, with eight
types of control images and two transformer blocks; and `case.safetensors` (all f32; images [batch, channels, height,
width]): inputs, two control images for each sample, and the residuals with one of them (`one.i`, `one.mid`), with both
(`two.i`, `two.mid`), and with both in guess mode at weight 0.5 (`guess.i`, `guess.mid`).

diffusers' tokens attend to each other across the batch, so each sample is computed alone, as its pipeline does for one
picture: there the two samples of guidance are alike, which is asserted to change nothing.
"""
import os
import sys

import torch
from control_golden import CASES, fresh
from diffusers import ControlNetUnionModel
from safetensors.torch import save_file

TYPES = (3, 6)  # canny, tile


def main(folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(5)
    config = {k: v for k, v in CASES["sdxl"]["unet"].items() if k not in ("up_block_types", "sample_size")}
    net = ControlNetUnionModel(**config, conditioning_embedding_out_channels=(4, 4, 6, 6), num_control_type=8, num_trans_channel=8,
                               num_proj_channel=8, num_trans_head=2, num_trans_layer=2).eval()
    fresh(net, g, 0.1)
    with torch.no_grad():  # images of other means, so that it shows which has which type
        for p in net.controlnet_cond_embedding.parameters():
            p.mul_(2.5 if p.dim() > 1 else 0.5)
        net.task_embedding.mul_(0.3)
        net.spatial_ch_projs.weight.mul_(10)
    net.half().save_pretrained(os.path.join(folder, "controlnet"))
    net.float()
    n, h, w = 2, 5, 3
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    pixels = lambda: torch.randint(0, 256, (n, 3, 8 * h, 8 * w), generator=g) / 255
    x = {"latents": rnd(n, 4, h, w), "timesteps": torch.tensor([999.0, 417.0]), "text": rnd(n, 5, config["cross_attention_dim"]),
         "pooled": rnd(n, 10), "time_ids": torch.tensor([[64, 96, 0, 8, 64, 64], [512, 480, 3, 0, 64, 64]], dtype=torch.float32),
         "control.0": pixels(), "control.1": 0.2 * pixels()}

    def run(samples, images, types, **extra):
        part = {k: v[samples] for k, v in x.items()}
        there = torch.zeros(len(samples), 8)
        there[:, list(types)] = 1
        down, mid = net(part["latents"], part["timesteps"], part["text"], controlnet_cond=[part[f"control.{i}"] for i in images], control_type=there,
                        control_type_idx=list(types), added_cond_kwargs=dict(text_embeds=part["pooled"], time_ids=part["time_ids"]),
                        return_dict=False, **extra)
        return [*down, mid]

    out = dict(x)
    with torch.no_grad():
        for kind, images, types, extra in (("one", (0,), TYPES[:1], {}), ("two", (0, 1), TYPES, {}),
                                           ("guess", (0, 1), TYPES, dict(guess_mode=True, conditioning_scale=0.5))):
            alone = [run([i], images, types, **extra) for i in range(n)]
            twice = run([0, 0], images, types, **extra)
            assert all(torch.allclose(a.expand_as(b), b, atol=1e-5) for a, b in zip(alone[0], twice))
            turned = run([0], images, types[::-1], **extra)
            assert len(types) == 1 or (turned[-1] - alone[0][-1]).norm() > 0.1 * alone[0][-1].norm()
            *down, mid = [torch.cat(each) for each in zip(*alone)]
            out |= {f"{kind}.{i}": v for i, v in enumerate(down)} | {f"{kind}.mid": mid}
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    print("parameters", sum(p.numel() for p in net.parameters()), {k: round(float(v.std()), 3) for k, v in out.items() if k.endswith("mid")})


if __name__ == "__main__":
    main(sys.argv[1])
