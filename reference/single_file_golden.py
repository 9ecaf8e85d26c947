"""A small SDXL model twice: as a diffusers folder, and as one checkpoint file in the original names.

    .venv/bin/python single_file_golden.py ../crates/fairhuman/tests/golden/single_file

The file's names and operations are written here by the rules of the original code, not by ours. Weights are rounded
to bf16, and stored so in both. The pooled text is narrower than its encoder: a projection that is not transposed would
not fit. The folder has no tokenizers (tests put some into it); 865 tokens.
"""
import pathlib
import shutil
import sys

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

OUT = pathlib.Path(sys.argv[1])
shutil.rmtree(OUT, ignore_errors=True)
torch.manual_seed(7)
WORDS, H1, H2, POOLED = 865, 8, 16, 6

unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8, 8, 16), layers_per_block=2, norm_num_groups=4, cross_attention_dim=H1 + H2,
    attention_head_dim=[1, 1, 2], use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block=[1, 1, 2], projection_class_embeddings_input_dim=6 * 4 + POOLED)
vae = AutoencoderKL(
    block_out_channels=(8, 8, 8), down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
    layers_per_block=1, norm_num_groups=4, latent_channels=4, scaling_factor=0.13025)


def text(width, layers, heads, act, projection=None):
    config = CLIPTextConfig(hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=heads,
                            projection_dim=projection or width, hidden_act=act, vocab_size=WORDS,
                            bos_token_id=WORDS - 2, eos_token_id=WORDS - 1)
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


first, second = text(H1, 2, 2, "quick_gelu"), text(H2, 3, 2, "gelu", POOLED)
networks = dict(unet=unet, vae=vae, text_encoder=first, text_encoder_2=second)
with torch.no_grad():
    for network in networks.values():
        for p in network.parameters():
            p.add_(torch.randn(p.shape) * 0.05)
        network.to(torch.bfloat16)
scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1,
                          clip_sample=False, set_alpha_to_one=False)
StableDiffusionXLPipeline(**networks, tokenizer=None, tokenizer_2=None, scheduler=scheduler).save_pretrained(OUT / "folder")

RESNET = dict(norm1="in_layers.0", conv1="in_layers.2", time_emb_proj="emb_layers.1", norm2="out_layers.0", conv2="out_layers.3",
              conv_shortcut="skip_connection")
TOP = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
       "add_embedding.linear_2": "label_emb.0.2", "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
ATTENDS = [True, True, False]  # of the up blocks


def unet_name(key):
    stem, leaf = key.rsplit(".", 1)
    if stem in TOP:
        return f"{TOP[stem]}.{leaf}"
    p = stem.split(".")
    if p[0] == "mid_block":
        j, rest = int(p[2]), ".".join(p[3:])
        return f"middle_block.{2 * j}.{RESNET[rest]}.{leaf}" if p[1] == "resnets" else f"middle_block.1.{rest}.{leaf}"
    block, kind, j, rest = int(p[1]), p[2], int(p[3]), ".".join(p[4:])
    side, start = ("input_blocks", 1 + 3 * block) if p[0] == "down_blocks" else ("output_blocks", 3 * block)
    if kind == "downsamplers":
        return f"{side}.{start + 2}.0.op.{leaf}"
    if kind == "upsamplers":
        return f"{side}.{start + 2}.{2 if ATTENDS[block] else 1}.conv.{leaf}"
    return f"{side}.{start + j}.0.{RESNET[rest]}.{leaf}" if kind == "resnets" else f"{side}.{start + j}.1.{rest}.{leaf}"


def vae_item(key, value):
    stem, leaf = key.rsplit(".", 1)
    p = stem.split(".")
    if len(p) == 1 or p[1] in ("conv_in", "conv_out"):
        return key, value
    if p[1] == "conv_norm_out":
        return f"{p[0]}.norm_out.{leaf}", value
    if p[1] == "mid_block" and p[2] == "attentions":
        name = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}[".".join(p[4:])]
        return f"{p[0]}.mid.attn_1.{name}.{leaf}", value[..., None, None] if name != "norm" and leaf == "weight" else value
    last = "nin_shortcut" if p[-1] == "conv_shortcut" else p[-1]
    if p[1] == "mid_block":
        return f"{p[0]}.mid.block_{int(p[3]) + 1}.{last}.{leaf}", value
    way, i = ("down", int(p[2])) if p[1] == "down_blocks" else ("up", 2 - int(p[2]))
    if p[3] != "resnets":
        return f"{p[0]}.{way}.{i}.{way}sample.conv.{leaf}", value
    return f"{p[0]}.{way}.{i}.block.{p[4]}.{last}.{leaf}", value


BLOCK = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}


def open_clip(state):
    out = {"token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
           "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
           "ln_final.weight": state["text_model.final_layer_norm.weight"], "ln_final.bias": state["text_model.final_layer_norm.bias"],
           "text_projection": state["text_projection.weight"].T, "logit_scale": torch.tensor(4.6)}
    for i in range(3):
        from_, to = f"text_model.encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for leaf in ("weight", "bias"):
            out[f"{to}attn.in_proj_{leaf}"] = torch.cat([state[f"{from_}self_attn.{n}_proj.{leaf}"] for n in "qkv"])
            for own, stored in BLOCK.items():
                out[f"{to}{stored}.{leaf}"] = state[f"{from_}{own}.{leaf}"]
    return out


whole = {"model.diffusion_model." + unet_name(k): v for k, v in unet.state_dict().items()}
whole |= {"first_stage_model." + n: v for n, v in (vae_item(k, v) for k, v in vae.state_dict().items())}
whole |= {"conditioner.embedders.0.transformer." + k: v for k, v in first.state_dict().items()}
whole |= {"conditioner.embedders.1.model." + k: v for k, v in open_clip(second.state_dict()).items()}
whole |= {"denoiser.sigmas": torch.rand(10), "conditioner.embedders.0.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
save_file({k: v.detach().contiguous().clone() for k, v in whole.items()}, OUT / "whole.safetensors")
print(len(whole), "tensors")
