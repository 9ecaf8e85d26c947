"""Golden values of small CLIP text encoders: what transformers computes, for crates/diffusion/tests/it/clip.rs.

    python clip_golden.py ../crates/diffusion/tests/data/clip

Each case is a folder: `text_encoder/` (weights in f16, computed with as f32) and `case.safetensors`: ids
(whole numbers as f32) [N, T], penultimate, last [N, T, C], pooled [N, P].
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

SMALL = dict(vocab_size=300, max_position_embeddings=16, bos_token_id=298)
CASES = {
    # SD 1.5 and SDXL's first: quick GELU; the end token is wrongly 2, so the largest id is pooled
    "quick": (CLIPTextModel, dict(**SMALL, hidden_size=24, intermediate_size=64, num_hidden_layers=3, num_attention_heads=3,
                                  hidden_act="quick_gelu", eos_token_id=2, pad_token_id=299)),
    # SDXL's second: exact GELU and a projection; the end token also pads, its first position is pooled
    "projected": (CLIPTextModelWithProjection, dict(**SMALL, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                                    hidden_act="gelu", eos_token_id=297, pad_token_id=0, projection_dim=20)),
}


def make(name, model_class, config, folder):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    model = model_class(CLIPTextConfig(**config)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.1)
    model.half().save_pretrained(os.path.join(folder, "text_encoder"))
    model.float()
    end = 299 if name == "quick" else 297
    ids = torch.full((3, 16), end if name == "quick" else 0)
    for row, length in enumerate((1, 6, 14)):
        ids[row, 0] = 298
        ids[row, 1:1 + length] = torch.randint(1, 290, (length,), generator=g)
        ids[row, 1 + length] = end
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    pooled = out.text_embeds if name == "projected" else out.pooler_output
    tensors = dict(ids=ids.float(), penultimate=out.hidden_states[-2], last=out.last_hidden_state, pooled=pooled)
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "case.safetensors"))
    print(name, "parameters", sum(p.numel() for p in model.parameters()), "pooled", float(pooled.std()))


if __name__ == "__main__":
    for name, (model_class, config) in CASES.items():
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        make(name, model_class, config, folder)
