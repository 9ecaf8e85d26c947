"""Golden values of the judges of CLIP's family on small random models, for crates/evaluate/tests/it/clip.rs.

    python clip_judges_golden.py ../crates/evaluate/tests/data/clip

- `transformers/`: a CLIPModel of transformers with quick GELU, and what it computes;
- `open_clip/`: a model with open_clip's names, by the few lines of its architecture below (open_clip 2.x:
  transformer.py, model.py), exact GELU, heads of two sizes;
- `aesthetic.safetensors`: five linear layers with dropout between them, as LAION's predictor;
- `bicubic.safetensors`: both resizers on a picture, Pillow's in bytes and torch's in floats, and the squares
  that transformers' processor and HPSv2's transform make of it.
"""
import os
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

MEAN, STD = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)


def picture(width=47, height=30):
    """A picture by formula, which the test draws as well: edges, ramps and noise."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * 7 + y * 13 + c * 50 + (x * y * (c + 3)) % 97 + 120 * ((x // 5 + y // 7) % 2)) % 256).astype(np.uint8)


def shaken(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * .08)
            p.copy_(p.half())  # the files are in f16, computed with as f32
    return model.eval()


def ids(vocabulary, end, length=16):
    g = torch.Generator().manual_seed(3)
    out = torch.full((3, length), end)
    for row, n in enumerate((1, 6, 14)):
        out[row, 0] = vocabulary - 2
        out[row, 1:1 + n] = torch.randint(1, vocabulary - 10, (n,), generator=g)
        out[row, 1 + n] = end
    return out


def pixels(side):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(4))


def write(folder, model, tensors, text, image, scale):
    os.makedirs(folder, exist_ok=True)
    text, image = (v / v.norm(dim=-1, keepdim=True) for v in (text, image))
    case = dict(ids=tensors[0].float(), pixels=tensors[1], text=text, image=image, score=scale * image @ text.T)
    save_file({k: v.detach().contiguous() for k, v in case.items()}, os.path.join(folder, "case.safetensors"))
    print(folder, sum(p.numel() for p in model.parameters()), "cosines", (image @ text.T).detach().numpy().round(4).tolist())


def transformers_clip(folder):
    torch.manual_seed(0)
    text = dict(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
                bos_token_id=298, eos_token_id=299, pad_token_id=299, hidden_act="quick_gelu")
    vision = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, patch_size=7, image_size=28, hidden_act="quick_gelu")
    model = shaken(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)), 1)
    model.half().save_pretrained(folder)
    model.float()
    tokens, images = ids(300, 299), pixels(28)
    with torch.no_grad():
        out = model(input_ids=tokens, pixel_values=images)
    write(folder, model, (tokens, images), out.text_embeds, out.image_embeds, model.logit_scale.exp())


class Block(nn.Module):
    """open_clip's ResidualAttentionBlock."""

    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 2 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(2 * width, width))

    def forward(self, x, mask=None):
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    def __init__(self, side, patch, width, heads, layers, out):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * .2)
        self.positional_embedding = nn.Parameter(torch.randn((side // patch) ** 2 + 1, width) * .2)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, heads, layers)
        self.proj = nn.Parameter(torch.randn(width, out) * .2)

    def forward(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x))
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    def __init__(self):
        super().__init__()
        width, out = 40, 24
        self.visual = Visual(28, 7, 60, 3, 2, out)
        self.transformer = Transformer(width, 4, 3)
        self.token_embedding = nn.Embedding(300, width)
        self.positional_embedding = nn.Parameter(torch.randn(16, width) * .1)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, out) * .2)
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    def encode_text(self, text):
        mask = torch.full((16, 16), float("-inf")).triu_(1)
        x = self.ln_final(self.transformer(self.token_embedding(text) + self.positional_embedding, mask))
        return x[torch.arange(len(x)), text.argmax(-1)] @ self.text_projection


def open_clip(folder):
    torch.manual_seed(5)
    model = shaken(OpenClip(), 6)
    tokens, images = ids(300, 299), pixels(28)
    tokens[tokens.eq(299).cumsum(1) > 1] = 0  # padded with 0, as open_clip's tokenizer does
    with torch.no_grad():
        text, image = model.encode_text(tokens), model.visual(images)
    write(folder, model, (tokens, images), text, image, torch.ones(()))
    # As a port of HPS has it: everything under a name of its own.
    state = {"model." + k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(state, os.path.join(folder, "hps.safetensors"))
    with open(os.path.join(folder, "open_clip_config.json"), "w") as f:
        f.write('{"model_cfg": {"vision_cfg": {"head_width": 20}, "text_cfg": {"heads": 4}}}\n')


def aesthetic(path):
    torch.manual_seed(7)
    layers = nn.Sequential(nn.Linear(20, 16), nn.Dropout(.2), nn.Linear(16, 12), nn.Dropout(.2), nn.Linear(12, 8), nn.Dropout(.1), nn.Linear(8, 4), nn.Linear(4, 1)).eval()
    vectors = torch.nn.functional.normalize(torch.randn(5, 20), dim=-1)
    state = {f"layers.{k}": v.contiguous() for k, v in layers.state_dict().items()}
    save_file(state, path)
    save_file(dict(vectors=vectors, scores=layers(vectors)[:, 0].detach().contiguous()), path.replace(".safetensors", "-case.safetensors"))


def resize(path):
    """Both resizers to sizes that shrink, enlarge and do both; the squares of 24 pixels of both transforms."""
    image = Image.fromarray(picture())
    floats = torch.from_numpy(picture()).permute(2, 0, 1).float() / 255
    out = {}
    for width, height in ((20, 11), (60, 41), (24, 60)):
        out[f"pillow.{width}x{height}"] = torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BICUBIC))).float()
        out[f"torch.{width}x{height}"] = torch.nn.functional.interpolate(floats[None], (height, width), mode="bicubic", antialias=True)[0].contiguous()
    processor = CLIPImageProcessor(size=dict(shortest_edge=24), crop_size=dict(height=24, width=24), image_mean=MEAN, image_std=STD, resample=3)
    out["crop"] = processor(image, return_tensors="pt").pixel_values[0].contiguous()
    # HPSv2's ResizeMaxSize on a tensor (hpsv2/src/open_clip/transform.py), then its normalisation.
    scale = 24 / max(floats.shape[1:])
    height, width = (round(side * scale) for side in floats.shape[1:])
    small = torch.nn.functional.interpolate(floats[None], (height, width), mode="bicubic", antialias=True)[0]
    square = torch.zeros(3, 24, 24)
    top, left = (24 - height) // 2, (24 - width) // 2
    square[:, top:top + height, left:left + width] = small
    out["pad"] = ((square - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]).contiguous()
    save_file(out, path)


if __name__ == "__main__":
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    transformers_clip(os.path.join(folder, "transformers"))
    open_clip(os.path.join(folder, "open_clip"))
    aesthetic(os.path.join(folder, "aesthetic.safetensors"))
    resize(os.path.join(folder, "bicubic.safetensors"))
