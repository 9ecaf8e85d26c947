"""Golden values of small ControlNets and T2I-Adapters: what diffusers computes, for crates/diffusion/tests/it/control.rs.

    python control_golden.py ../crates/diffusion/tests/data/control             # all
    python control_golden.py ../crates/diffusion/tests/data/control pictures    # one of sd15, sd2, sdxl, pictures, names

Each case is a folder: `unet/`, `controlnet/` and `adapter/` as diffusers saves them (weights in f16, computed with as
f32), and `case.safetensors` (all f32; images [batch, channels, height, width]): inputs with the control image, the
ControlNet's `skip.i` and `mid`, the same in guess mode (`guess.i`, `guess.mid`) and pooled over all positions (`pool.i`,
`pool.mid`), the adapter's `feature.i`, the U-Net's `prediction` with the ControlNet at weight 0.8 and the adapter at 0.7,
and for the objectives of unet_golden.py the gradients `grad.<component>.<parameter>` [3, ...] of both networks through
the frozen U-Net and their Gram matrix [3, 3].
`pictures/`: two ControlNets and an adapter for the model of ../crates/diffusion/tests/data/sampler/sd, and in
`case.safetensors` noise, control images and the latents that diffusers' pipelines make of them with DDIM and guidance.
`names.json`: names and shapes of the tensors of published networks, SD 1.5, SD 2.1 and SDXL, in diffusers and in the
original code, the latter checked with diffusers' own conversion.
"""
import json
import os
import sys

import torch
from diffusers import (AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionAdapterPipeline, StableDiffusionControlNetPipeline,
                       T2IAdapter, UNet2DConditionModel)
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer


def blocks(attends):
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)]
    return dict(down_block_types=down, up_block_types=up)


CASES = {
    # 1x1-convolution projections, odd sizes, four pixels a cell; a block without attention that has no downsampler
    "sd15": dict(
        unet=dict(**blocks([True, False]), block_out_channels=[8, 16], layers_per_block=1, attention_head_dim=2,
                  cross_attention_dim=6, norm_num_groups=4, sample_size=8),
        size=(9, 7), reduction=4, hint=(4, 6, 8), order="rgb",
        adapter=dict(adapter_type="full_adapter", channels=[8, 16], num_res_blocks=2, downscale_factor=4),
    ),
    # linear projections, a head count per block, a middle of one resnet, reversed channels; a light adapter
    "sd2": dict(
        unet=dict(**blocks([True, True]), block_out_channels=[8, 8], layers_per_block=2, attention_head_dim=[1, 2],
                  cross_attention_dim=10, norm_num_groups=4, sample_size=8, use_linear_projection=True,
                  mid_block_type="UNetMidBlock2D"),
        size=(5, 6), reduction=8, hint=(3, 4, 4, 6), order="bgr",
        adapter=dict(adapter_type="light_adapter", channels=[8], num_res_blocks=2, downscale_factor=8),
    ),
    # text_time conditions, depths per block, a plain first stage whose downsampler comes before the feature; a left-over
    # feature for the middle
    "sdxl": dict(
        unet=dict(**blocks([False, True, True]), block_out_channels=[8, 16, 16], layers_per_block=1, attention_head_dim=[1, 2, 2],
                  transformer_layers_per_block=[1, 1, 2], cross_attention_dim=12, norm_num_groups=4, sample_size=8,
                  use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
                  projection_class_embeddings_input_dim=6 * 4 + 10),
        size=(10, 6), reduction=8, hint=(4, 4, 6, 6), order="rgb",
        adapter=dict(adapter_type="full_adapter_xl", channels=[8, 16, 16, 16], num_res_blocks=2, downscale_factor=16),
    ),
}


def fresh(module, g, scale):
    with torch.no_grad():
        for p in module.parameters():  # norms start at 1 and 0, some convolutions at 0: move everything
            p.add_(torch.randn(p.shape, generator=g) * scale)


def make(case, folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    unet = UNet2DConditionModel(**case["unet"])
    fresh(unet, g, 0.05)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=case["hint"], controlnet_conditioning_channel_order=case["order"])
    adapter = T2IAdapter(in_channels=3, **case["adapter"])
    fresh(net, g, 0.1)
    fresh(adapter, g, 0.05)
    for module, name in ((unet, "unet"), (net, "controlnet"), (adapter, "adapter")):
        module.half().save_pretrained(os.path.join(folder, name))
        module.float()
    unet.requires_grad_(False)
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    c, (h, w), n, f = unet.config, case["size"], 3, case["reduction"]
    x = dict(latents=rnd(n, c.in_channels, h, w), target=rnd(n, c.out_channels, h, w), timesteps=torch.tensor([999.0, 3.0, 417.0]),
             text=rnd(n, 5, c.cross_attention_dim), mask_face=torch.zeros(n, 1, h, w), mask_hand=torch.zeros(n, 1, h, w),
             control=torch.randint(0, 256, (n, 3, f * h, f * w), generator=g) / 255)
    x["mask_face"][0, :, 1:4, 2:6] = 1
    x["mask_face"][2, :, 0:2, 0:3] = 1
    x["mask_hand"][1, :, 3:5, 1:3] = 1
    added = None
    if c.addition_embed_type:
        x["pooled"] = rnd(n, c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim)
        x["time_ids"] = torch.tensor([[64, 96, 0, 8, 64, 64], [512, 480, 3, 0, 64, 64], [64, 64, 0, 0, 64, 64]], dtype=torch.float32)
        added = dict(text_embeds=x["pooled"], time_ids=x["time_ids"])
    base = (x["latents"], x["timesteps"], x["text"])
    control = lambda **extra: net(*base, controlnet_cond=x["control"], added_cond_kwargs=added, return_dict=False, **extra)
    out = dict(x)

    def put(kind, residuals):
        down, mid = residuals
        out.update({f"{kind}.{i}": v for i, v in enumerate(down)} | {("mid" if kind == "skip" else kind + ".mid"): mid})

    put("skip", control())
    put("guess", control(guess_mode=True, conditioning_scale=0.5))
    net.register_to_config(global_pool_conditions=True)
    put("pool", control())
    net.register_to_config(global_pool_conditions=False)
    features = adapter(x["control"])
    out.update({f"feature.{i}": v for i, v in enumerate(features)})
    down, mid = control(conditioning_scale=0.8)
    prediction = unet(*base, added_cond_kwargs=added, return_dict=False, down_block_additional_residuals=down, mid_block_additional_residual=mid,
                      down_intrablock_additional_residuals=[0.7 * v for v in features])[0]  # a new list: it is emptied
    error = prediction - x["target"]
    losses = [(error ** 2).mean(), ((5 * x["mask_face"] * error) ** 2).mean(), ((5 * x["mask_hand"] * error) ** 2).mean()]
    named = {f"{component}.{k}": p for component, m in (("controlnet", net), ("t2i", adapter)) for k, p in m.named_parameters()}
    grads = [torch.autograd.grad(loss, list(named.values()), retain_graph=True) for loss in losses]
    columns = torch.stack([torch.cat([v.double().flatten() for v in row]) for row in grads])
    out |= dict(prediction=prediction, gram=(columns @ columns.T).float())
    for i, key in enumerate(named):
        out["grad." + key] = torch.stack([row[i] for row in grads])
    save_file({k: v.detach().clone().contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    print(folder, "parameters", [sum(p.numel() for p in m.parameters()) for m in (unet, net, adapter)], "residuals",
          [tuple(v.shape[1:]) for v in down], "features", [tuple(v.shape[1:]) for v in features], "prediction", float(prediction.std()))


def pictures(data, folder):
    """Pipelines: start and end, several networks, guess mode."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(3)
    model = os.path.join(data, "sampler", "sd")
    load = lambda kind, name: kind.from_pretrained(os.path.join(model, name)).float().eval()
    unet, vae, text = load(UNet2DConditionModel, "unet"), load(AutoencoderKL, "vae"), load(CLIPTextModel, "text_encoder")
    with open(os.path.join(model, "scheduler", "scheduler_config.json")) as file:
        scheduler = DDIMScheduler.from_config({k: v for k, v in json.load(file).items() if k != "_class_name"}, clip_sample=False)
    parts = dict(vae=vae, text_encoder=text, tokenizer=CLIPTokenizer.from_pretrained(os.path.join(data, "tokenizer", "tokenizer")), unet=unet,
                 scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    nets = [ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=hint) for hint in ((4, 8), (3, 6))]
    adapter = T2IAdapter(in_channels=3, channels=[8, 16], num_res_blocks=2, downscale_factor=4, adapter_type="full_adapter_xl")
    for module, name, scale in ((nets[0], "controlnet", 0.3), (nets[1], "controlnet_1", 0.3), (adapter, "adapter", 0.1)):
        fresh(module, g, scale)
        module.half().save_pretrained(os.path.join(folder, name))
        module.float().eval()
    i = torch.arange(4 * 6 * 10, dtype=torch.float64)
    noise = (2.0 * torch.sin(12.9898 * i + 78.233 * torch.sin(i))).float().reshape(1, 4, 6, 10)
    images = torch.randint(0, 256, (2, 1, 3, 12, 20), generator=g) / 255
    common = dict(prompt="a photo of a woman waving with an open hand", latents=noise.clone(), num_inference_steps=4, guidance_scale=3.0,
                  height=12, width=20, output_type="latent")
    def run(kind, network, **extra):
        pipe = kind(**parts, **network)
        pipe.set_progress_bar_config(disable=True)
        pipe.check_inputs = lambda *a, **k: None  # wants multiples of 8 pixels; this model has two to a cell
        return pipe(**(common | extra)).images
    one = dict(controlnet=nets[0])
    out = dict(noise=noise, images=images[:, 0])
    out["plain"] = run(StableDiffusionControlNetPipeline, one, image=images[0], controlnet_conditioning_scale=0.0)
    out["span"] = run(StableDiffusionControlNetPipeline, one, image=images[0], controlnet_conditioning_scale=0.8, control_guidance_start=0.25,
                      control_guidance_end=0.75)
    out["two"] = run(StableDiffusionControlNetPipeline, dict(controlnet=nets), image=[images[0], images[1]], controlnet_conditioning_scale=[0.8, 0.5],
                     control_guidance_start=[0.0, 0.5], control_guidance_end=[0.5, 1.0])
    out["guess"] = run(StableDiffusionControlNetPipeline, one, image=images[0], guess_mode=True, controlnet_conditioning_scale=0.9)
    out["adapter"] = run(StableDiffusionAdapterPipeline, dict(adapter=adapter), image=images[0], adapter_conditioning_scale=0.7)
    save_file({k: v.detach().clone().contiguous() for k, v in out.items()}, os.path.join(folder, "case.safetensors"))
    print("pictures", {k: (tuple(v.shape), round(float((v - out["plain"]).std()), 4)) for k, v in out.items() if v.shape == out["plain"].shape})


PUBLISHED = {
    "sd15": dict(attention_head_dim=8, cross_attention_dim=768),
    "sd21": dict(attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024, use_linear_projection=True),
    "sdxl": dict(down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], block_out_channels=[320, 640, 1280],
                 attention_head_dim=[5, 10, 20], cross_attention_dim=2048, transformer_layers_per_block=[1, 2, 10],
                 use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                 projection_class_embeddings_input_dim=2816),
}


def cldm(name, layers, count):
    """The original code's name of a tensor: as sgm names the encoder of a U-Net."""
    module, end = name.rsplit(".", 1)
    p = module.split(".")
    linear = {"linear_1": "0", "linear_2": "2"}
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    if p[0] == "time_embedding":
        new = f"time_embed.{linear[p[1]]}"
    elif p[0] == "add_embedding":
        new = f"label_emb.0.{linear[p[1]]}"
    elif p[0] == "conv_in":
        new = "input_blocks.0.0"
    elif p[0] == "controlnet_cond_embedding":
        new = "input_hint_block." + ({"conv_in": "0", "conv_out": "14"}.get(p[1]) or str(2 * (int(p[2]) + 1)))
    elif p[0] == "controlnet_down_blocks":
        new = f"zero_convs.{p[1]}.0"
    elif p[0] == "controlnet_mid_block":
        new = "middle_block_out.0"
    elif p[0] == "mid_block":
        index = 1 if p[1] == "attentions" else 2 * int(p[2])
        new = f"middle_block.{index}." + (".".join(p[3:]) if index == 1 else resnet[p[3]])
    else:
        i, kind, j = int(p[1]), p[2], int(p[3])
        n = 1 + i * (layers + 1) + (layers if kind == "downsamplers" else j)
        new = f"input_blocks.{n}." + {"downsamplers": "0.op", "attentions": "1." + ".".join(p[4:]), "resnets": "0." + resnet.get(p[4], "")}[kind]
    return f"{new}.{end}"


def names():
    out = {}
    for family, config in PUBLISHED.items():
        with torch.device("meta"):
            net = ControlNetModel(**config)
        state = net.state_dict()
        table = {k: cldm(k, net.config.layers_per_block, len(config)) for k in state}
        assert len(set(table.values())) == len(state)
        if family != "sdxl":  # the conversion knows no text_time
            back = convert_controlnet_checkpoint({"control_model." + table[k]: v for k, v in state.items()}, dict(net.config))
            assert {k: tuple(v.shape) for k, v in back.items()} == {k: tuple(v.shape) for k, v in state.items()}
        out[family] = dict(config=config, tensors={k: dict(shape=list(v.shape), cldm=table[k]) for k, v in state.items()})
        print(family, len(state), "tensors", sum(p.numel() for p in net.parameters()))
    return out


if __name__ == "__main__":
    wanted = sys.argv[2:] or [*CASES, "pictures", "names"]
    for name, case in CASES.items():
        if name in wanted:
            os.makedirs(os.path.join(sys.argv[1], name), exist_ok=True)
            make(case, os.path.join(sys.argv[1], name))
    if "pictures" in wanted:
        pictures(os.path.join(sys.argv[1], ".."), os.path.join(sys.argv[1], "pictures"))
    if "names" not in wanted:
        sys.exit()
    with open(os.path.join(sys.argv[1], "names.json"), "w") as file:
        json.dump(names(), file, separators=(",", ":"))
