"""LoRA files as other programs write them, and a check that diffusers reads ours.

    python reference/lora_golden.py make        # writes crates/diffusion/tests/data/lora
    python reference/lora_golden.py check       # diffusers reads the files in .../lora/written

diffusers 0.32.2, peft, transformers 4.57, torch 2.11. The model is a small random SDXL: three blocks of two layers,
and two text encoders of one layer.

`make`: a random LoRA with different ranks and alphas, over attention, feed-forward, projections, convolutions
and text encoders, saved by diffusers (PEFT and old keys), in kohya's form with diffusers' and with sgm names,
and as attention processors; `expected.safetensors` is the neutral form, `modules.json` all layers of the model.

`check`: each file that the Rust tests wrote (the modules of rank 2 of the same LoRA; alpha 1, in `peft_alphas` their own)
is loaded with `load_lora_weights`; U-Net and text encoders must then compute what they compute with W + alpha / rank *
up @ down added by hand, within 1e-4. Alpha is not the rank there, and diffusers below 0.35 reads none from a PEFT file,
so its factors must hold it. One rank, and one alpha in kohya's file, because diffusers (0.32 and 0.35) mixes up those of modules
that differ.
"""

import json
import pathlib
import re
import sys

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers, _maybe_map_sgm_blocks_to_diffusers
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

OUT = pathlib.Path(__file__).parents[1] / "crates/diffusion/tests/data/lora"
UNET = dict(
    sample_size=8, block_out_channels=(8, 16, 16), layers_per_block=2, norm_num_groups=4, cross_attention_dim=16,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 1, 2), attention_head_dim=(1, 2, 2), use_linear_projection=True,
    addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=32,
)  # fmt: skip


def pipeline():
    torch.manual_seed(0)
    text = dict(vocab_size=100, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, projection_dim=8)
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL(block_out_channels=(4,), norm_num_groups=2),
        text_encoder=CLIPTextModel(CLIPTextConfig(**text)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**text)),
        tokenizer=None, tokenizer_2=None, unet=UNet2DConditionModel(**UNET), scheduler=DDPMScheduler(),
    )  # fmt: skip


def components(pipe):
    return {"unet": pipe.unet, "text_encoder": pipe.text_encoder, "text_encoder_2": pipe.text_encoder_2}


def layers(pipe):
    """Every linear layer and convolution, by its full path."""
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return {f"{c}.{n}": m for c, net in components(pipe).items() for n, m in net.named_modules() if isinstance(m, kinds)}


CHOSEN = re.compile(
    r"unet\.(down_blocks\.1\.attentions\.[01]|mid_block\.attentions\.0|up_blocks\.[01]\.attentions\.2)\."
    r"(proj_in|transformer_blocks\.0\.(attn1\.to_q|attn2\.to_k|attn2\.to_out\.0|ff\.net\.0\.proj|ff\.net\.2))"
    r"|unet\.(down_blocks\.0\.resnets\.1\.conv1|down_blocks\.1\.resnets\.0\.(conv_shortcut|time_emb_proj)"
    r"|down_blocks\.[01]\.downsamplers\.0\.conv|mid_block\.resnets\.1\.conv2"
    r"|up_blocks\.[01]\.upsamplers\.0\.conv|up_blocks\.2\.resnets\.0\.conv1)"
    r"|text_encoder(_2)?\.text_model\.encoder\.layers\.0\.(self_attn\.(q_proj|out_proj)|mlp\.fc1)"
)


def random_lora(pipe):
    """path -> (down, up, alpha); ranks 2 and 3, alphas 1 to 4."""
    torch.manual_seed(1)
    lora = {}
    for i, (path, layer) in enumerate(layers(pipe).items()):
        if not CHOSEN.fullmatch(path):
            continue
        rank, alpha = (3, 1.0) if i % 5 == 0 else (2, float(1 + i % 4))
        if isinstance(layer, torch.nn.Linear):
            down, up = torch.randn(rank, layer.in_features), torch.randn(layer.out_features, rank)
        else:
            down, up = torch.randn(rank, layer.in_channels, *layer.kernel_size), torch.randn(layer.out_channels, rank, 1, 1)
        lora[path] = (0.1 * down, 0.1 * up, alpha)
    return lora


def sgm(path):
    """SDXL's numbering in the original code: two layers per block, written down case by case."""
    p = path.split(".")
    inner = {"conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    rest = ".".join(inner.get(x, x) for x in p[4:])
    if p[0] == "mid_block":
        place = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}[".".join(p[1:3])]
        return f"middle_block.{place}." + ".".join(inner.get(x, x) for x in p[3:])
    block, kind, layer = int(p[1]), p[2], int(p[3])
    if kind == "downsamplers":
        return f"input_blocks.{(3, 6)[block]}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{(2, 5)[block]}.2.conv"
    place = {"resnets": 0, "attentions": 1}[kind]
    return f"input_blocks.{1 + 3 * block + layer}.{place}.{rest}" if p[0] == "down_blocks" else f"output_blocks.{3 * block + layer}.{place}.{rest}"


def kohya(lora, unet_name):
    tensors = {}
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
    for path, (down, up, alpha) in lora.items():
        component, rest = path.split(".", 1)
        stem = prefix[component] + (unet_name(rest) if component == "unet" else rest).replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": down.half(), f"{stem}.lora_up.weight": up.half(), f"{stem}.alpha": torch.tensor(alpha).half()}
    return tensors


def make():
    OUT.mkdir(parents=True, exist_ok=True)
    pipe = pipeline()
    # Halves in every file, so that all of them hold the same numbers.
    lora = {k: (d.half().float(), u.half().float(), a) for k, (d, u, a) in random_lora(pipe).items()}
    (OUT / "modules.json").write_text(json.dumps(list(layers(pipe)), separators=(",", ":")) + "\n")
    (OUT / "unet_config.json").write_text(json.dumps(UNET, indent=1) + "\n")
    expected = {}
    for path, (down, up, alpha) in lora.items():
        expected |= {f"{path}|down": down.half(), f"{path}|up": up.half(), f"{path}|alpha": torch.tensor(alpha)}
    save_file(expected, OUT / "expected.safetensors")

    save_file(kohya(lora, lambda path: path), OUT / "kohya_diffusers.safetensors")
    sgm_file = kohya(lora, sgm)
    save_file(sgm_file, OUT / "kohya_sgm.safetensors", {"ss_network_module": "networks.lora", "ss_network_dim": "Dynamic"})
    # diffusers must understand the sgm names as the same modules.
    renamed, _ = _convert_non_diffusers_lora_to_diffusers(_maybe_map_sgm_blocks_to_diffusers(dict(sgm_file), pipe.unet.config))
    plain = lambda key: key.replace(".processor", "").replace("to_out_lora", "to_out.0.lora").replace("_lora.", ".lora.")
    assert {plain(k) for k in renamed if k.startswith("unet")} == {
        f"{p}.lora.{w}.weight" for p in lora if p.startswith("unet") for w in ("down", "up")
    }

    # What diffusers 0.35 writes into the header, by component.
    metadata = {}
    for component in components(pipe):
        mine = {p.split(".", 1)[1]: (d.shape[0], a) for p, (d, u, a) in lora.items() if p.split(".", 1)[0] == component}
        metadata |= {
            f"{component}.r": 2, f"{component}.lora_alpha": 3, f"{component}.target_modules": sorted(mine),
            f"{component}.rank_pattern": {p: r for p, (r, a) in mine.items() if r != 2},
            f"{component}.alpha_pattern": {p: int(a) for p, (r, a) in mine.items() if a != 3},
            f"{component}.use_rslora": False, f"{component}.use_dora": False, f"{component}.bias": "none",
        }  # fmt: skip
    header = {"format": "pt", "lora_adapter_metadata": json.dumps(metadata, sort_keys=True)}
    pair = lambda path, a, b: {f"{path}.{a}.weight": lora[path][0].half(), f"{path}.{b}.weight": lora[path][1].half()}
    peft = {k: v for path in lora for k, v in pair(path, "lora_A", "lora_B").items()}
    save_file(peft, OUT / "peft.safetensors", header)

    # Old conventions have alpha = rank. diffusers writes what it is given, so its own converters make the keys.
    from diffusers.utils import convert_state_dict_to_diffusers

    text = {k: v.contiguous() for k, v in convert_state_dict_to_diffusers({k: v for k, v in peft.items() if k.startswith("text")}).items()}
    unet = {k[5:]: v for path in lora if path.startswith("unet") for k, v in pair(path, "lora.down", "lora.up").items()}
    StableDiffusionXLPipeline.save_lora_weights(
        OUT, unet_lora_layers=unet, weight_name="old.safetensors",
        text_encoder_lora_layers={k[13:]: v for k, v in text.items() if k.startswith("text_encoder.")},
        text_encoder_2_lora_layers={k[15:]: v for k, v in text.items() if k.startswith("text_encoder_2.")},
    )  # fmt: skip
    processors = {}
    for path in lora:
        if match := re.fullmatch(r"unet\.(.*attn[12])\.(to_[qkv]|to_out)(?:\.0)?", path):
            processors |= {f"{match[1]}.processor.{match[2]}_lora.{w}.weight": lora[path][i].half() for i, w in enumerate(("down", "up"))}
    save_file(processors, OUT / "processors.safetensors")
    print(len(lora), "modules", {f.name: f.stat().st_size for f in OUT.iterdir()})


def outputs(pipe):
    torch.manual_seed(2)
    draw = torch.randn
    with torch.no_grad():
        conditions = {"text_embeds": draw(2, 8), "time_ids": draw(2, 6)}
        noise = pipe.unet(draw(2, 4, 8, 8), torch.tensor([10, 700]), draw(2, 5, 16), added_cond_kwargs=conditions).sample
        ids = torch.arange(10).reshape(2, 5)
        return [noise, pipe.text_encoder(ids).last_hidden_state, pipe.text_encoder_2(ids).text_embeds]


def check():
    tensors = load_file(OUT / "expected.safetensors")
    plain = outputs(pipeline())
    for file in sorted((OUT / "written").iterdir()):
        by_hand = pipeline()
        for path, layer in layers(by_hand).items():
            if f"{path}|down" in tensors and len(tensors[f"{path}|down"]) == 2:
                down, up = tensors[f"{path}|down"].float(), tensors[f"{path}|up"].float()
                alpha = tensors[f"{path}|alpha"].item() if file.stem == "peft_alphas" else 1
                layer.weight.data += alpha / 2 * (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
        loaded = pipeline()
        loaded.load_lora_weights(OUT / "written", weight_name=file.name)
        errors = []
        for got, want, base in zip(outputs(loaded), outputs(by_hand), plain):
            assert (want - base).norm() > 1e-2 * want.norm(), "the LoRA does nothing"
            errors.append(((got - want).norm() / want.norm()).item())
        print(f"{file.name}: relative errors of U-Net and text encoders", ", ".join(f"{e:.1e}" for e in errors))
        assert max(errors) < 1e-4, file


{"make": make, "check": check}[sys.argv[1]]()
