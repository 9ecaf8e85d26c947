"""Golden values of small U-Nets: what diffusers and PEFT compute, for crates/diffusion/tests/it/unet.rs and residuals.rs.

    python unet_golden.py ../crates/diffusion/tests/data/unet              # all
    python unet_golden.py ../crates/diffusion/tests/data/unet residuals    # only residuals.safetensors, of the models there

Each case is a folder: `unet/` (a model as diffusers saves it, weights in f16 and computed with as f32) and
`case.safetensors` (all f32; images [batch, channels, height, width]): inputs, LoRA factors, the prediction,
and for the objectives global, face, hand (mean of (5 * mask * error)^2 over all elements; no mask and factor 1
for global) the gradients `grad.<parameter>` [3, ...] and their Gram matrix [3, 3]. `case.json` names the LoRA.
`residuals.safetensors`: inputs of one sample with what a ControlNet (`skip.i`, `mid`) and a T2I-Adapter (`feature.i`) add,
the prediction with both, and the gradients `grad.<tensor>` of its mean squared error in them.
"""
import json
import os
import sys

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import save_file

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def blocks(attends):
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)]
    return dict(down_block_types=down, up_block_types=up)


CASES = {
    # 1x1-convolution projections, heads given as one number, LoRA on layers and on both kinds of convolution
    "sd15": dict(
        config=dict(**blocks([True, True, False]), block_out_channels=[16, 32, 32], layers_per_block=1,
                    attention_head_dim=4, cross_attention_dim=12, norm_num_groups=8, sample_size=8),
        size=(8, 12), rank=3, alpha=6.0, targets=[*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "conv1", "conv_shortcut", "time_emb_proj"],
    ),
    # linear projections, a head count per block, sizes that do not halve evenly
    "sd2": dict(
        config=dict(**blocks([True, True, False]), block_out_channels=[16, 32, 32], layers_per_block=[1, 2, 1],
                    attention_head_dim=[2, 4, 4], cross_attention_dim=20, norm_num_groups=8, sample_size=8,
                    use_linear_projection=True, upcast_attention=True),
        size=(9, 7), rank=2, alpha=2.0, targets=[*ATTENTION, "proj_out"],
    ),
    # text_time conditions, depths per block, a plain first stage
    "sdxl": dict(
        config=dict(**blocks([False, True, True]), block_out_channels=[16, 32, 32], layers_per_block=1,
                    attention_head_dim=[1, 2, 2], transformer_layers_per_block=[1, 2, 3], cross_attention_dim=24,
                    norm_num_groups=8, sample_size=8, use_linear_projection=True, addition_embed_type="text_time",
                    addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 20),
        size=(8, 8), rank=4, alpha=4.0, targets=ATTENTION,
    ),
    # the rarer keys; gradients of every parameter instead of a LoRA's
    "rare": dict(
        config=dict(**blocks([True, False]), block_out_channels=[8, 16], layers_per_block=2, attention_head_dim=2,
                    cross_attention_dim=6, norm_num_groups=4, sample_size=8, use_linear_projection=False,
                    only_cross_attention=[True, True], downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
                    conv_in_kernel=5, conv_out_kernel=1, time_embedding_dim=12, norm_eps=1e-3, in_channels=5,
                    transformer_layers_per_block=[[1, 2], [1, 1]],
                    reverse_transformer_layers_per_block=[[1, 1, 1], [1, 0, 2]]),
        size=(6, 7), rank=0, alpha=0.0, targets=[],
    ),
}


def make(name, case, folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    unet = UNet2DConditionModel(**case["config"])
    with torch.no_grad():
        for p in unet.parameters():  # norms start at 1 and 0: move everything, then round to what is stored
            p.add_(torch.randn(p.shape, generator=g) * 0.05)
    unet.half().save_pretrained(os.path.join(folder, "unet"))
    unet.float()
    named = dict(unet.named_parameters())
    if case["rank"]:
        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=case["rank"], lora_alpha=case["alpha"], target_modules=case["targets"]))
        named = {n: p for n, p in unet.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for p in named.values():
                p.copy_(torch.randn(p.shape, generator=g) * 0.1)
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    c, (h, w), n = unet.config, case["size"], 3
    x = dict(latents=rnd(n, c.in_channels, h, w), target=rnd(n, c.out_channels, h, w), timesteps=torch.tensor([999.0, 3.0, 417.0]),
             text=rnd(n, 5, c.cross_attention_dim), mask_face=torch.zeros(n, 1, h, w), mask_hand=torch.zeros(n, 1, h, w))
    x["mask_face"][0, :, 1:4, 2:6] = 1
    x["mask_face"][2, :, 0:2, 0:3] = 1
    x["mask_hand"][1, :, 3:5, 1:3] = 1
    added = None
    if c.addition_embed_type:
        x["pooled"] = rnd(n, c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim)
        x["time_ids"] = torch.tensor([[64, 96, 0, 8, 64, 64], [512, 480, 3, 0, 64, 64], [64, 64, 0, 0, 64, 64]], dtype=torch.float32)
        added = dict(text_embeds=x["pooled"], time_ids=x["time_ids"])
    prediction = unet(x["latents"], x["timesteps"], x["text"], added_cond_kwargs=added, return_dict=False)[0]
    error = prediction - x["target"]
    losses = [(error ** 2).mean(), ((5 * x["mask_face"] * error) ** 2).mean(), ((5 * x["mask_hand"] * error) ** 2).mean()]
    grads = [torch.autograd.grad(loss, list(named.values()), retain_graph=True) for loss in losses]
    columns = torch.stack([torch.cat([v.double().flatten() for v in row]) for row in grads])
    short = lambda key: key.replace(".default", "")
    out = dict(x, prediction=prediction.detach(), gram=(columns @ columns.T).float())
    for i, key in enumerate(named):
        out["grad." + short(key)] = torch.stack([row[i] for row in grads])
        if case["rank"]:
            out[short(key)] = named[key].detach()
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    with open(os.path.join(folder, "case.json"), "w") as file:
        json.dump({k: case[k] for k in ("rank", "alpha", "targets")}, file)
    print(name, "parameters", sum(p.numel() for p in unet.parameters()), "prediction", float(prediction.detach().std()))


def residuals(name, case, folder):
    g = torch.Generator().manual_seed(2)
    unet = UNet2DConditionModel.from_pretrained(os.path.join(folder, "unet"), torch_dtype=torch.float32)
    unet.requires_grad_(False)
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    c, (h, w) = unet.config, case["size"]
    x = dict(latents=rnd(1, c.in_channels, h, w), target=rnd(1, c.out_channels, h, w), timesteps=torch.tensor([417.0]),
             text=rnd(1, 5, c.cross_attention_dim))
    added = None
    if c.addition_embed_type:
        x["pooled"] = rnd(1, c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim)
        x["time_ids"] = torch.tensor([[64, 96, 0, 8, 64, 64]], dtype=torch.float32)
        added = dict(text_embeds=x["pooled"], time_ids=x["time_ids"])
    # Shapes: every output of the down blocks is a skip; a feature has the shape of its block's last layer where the block
    # attends, of its last output elsewhere; the left-over one and `mid` that of the middle.
    skips, features = [], []
    unet.conv_in.register_forward_hook(lambda m, i, out: skips.append(out.shape))
    for block in unet.down_blocks:
        attends = hasattr(block, "attentions")
        def hook(m, i, out, attends=attends):
            skips.extend(s.shape for s in out[1])
            features.append(out[1][-2 if attends and m.downsamplers is not None else -1].shape)
        block.register_forward_hook(hook)
    unet.mid_block.register_forward_hook(lambda m, i, out: features.append(out.shape))
    run = lambda **extra: unet(x["latents"], x["timesteps"], x["text"], added_cond_kwargs=added, return_dict=False, **extra)[0]
    plain = run()
    extra = {f"skip.{i}": rnd(*s) for i, s in enumerate(list(skips))} | {f"feature.{i}": rnd(*s) for i, s in enumerate(list(features))}
    extra["mid"] = rnd(*features[len(unet.down_blocks)])
    for v in extra.values():
        v.mul_(0.5).requires_grad_(True)
    part = lambda kind: [v for k, v in extra.items() if k.startswith(kind)]
    prediction = run(down_block_additional_residuals=part("skip"), mid_block_additional_residual=extra["mid"],
                     down_intrablock_additional_residuals=[v.clone() for v in part("feature")])  # the list is emptied
    grads = torch.autograd.grad(((prediction - x["target"]) ** 2).mean(), list(extra.values()))
    out = dict(x, prediction=prediction) | extra | {"grad." + k: v for k, v in zip(extra, grads)}
    save_file({k: v.detach().clone().contiguous() for k, v in out.items()}, os.path.join(folder, "residuals.safetensors"))
    print(name, "with residuals: differs by", float((prediction - plain).detach().std()), [tuple(v.shape) for v in extra.values()])


if __name__ == "__main__":
    for name, case in CASES.items():
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        if sys.argv[2:] != ["residuals"]:
            make(name, case, folder)
        if name in ("sd15", "sdxl"):  # blocks without attention: the last, which has no downsampler, and the first, which has one
            residuals(name, case, folder)
