"""Golden values of a small random ImageReward, for crates/evaluate/tests/it/image_reward.rs.

    python image_reward_golden.py ../crates/evaluate/tests/data/image_reward

The text network is transformers' BlipTextModel (BLIP's med.py: bidirectional, attention to the picture in
every layer), the vision transformer timm's in the few lines below, with ImageReward's names and numbers
(ImageReward/ImageReward.py). Texts are padded and masked here, as there; the test reads them without padding.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

WIDTH, HEADS, SIDE, PATCH = 128, 2, 16, 8
MEAN, STD = 0.16717362830052426, 1.0333394966054072


class Block(nn.Module):
    """timm's block: norm, attention with one matrix for query, key and value, norm, feed-forward."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(WIDTH, 96), nn.Linear(96, WIDTH)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.attn.qkv(self.norm1(x)).reshape(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        h = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, WIDTH)
        x = x + self.attn.proj(h)
        return x + self.mlp.fc2(torch.nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class Vision(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, WIDTH) * .1), nn.Parameter(torch.randn(1, 5, WIDTH) * .1)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blip, self.mlp = nn.Module(), nn.Module()
        self.blip.visual_encoder = Vision()
        config = BlipTextConfig(vocab_size=120, hidden_size=48, encoder_hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=2,
                                num_attention_heads=4, max_position_embeddings=40, layer_norm_eps=1e-12, hidden_act="gelu",
                                hidden_dropout_prob=0., attention_probs_dropout_prob=0.)
        self.blip.text_encoder = BlipTextModel(config, add_pooling_layer=False)
        self.blip.vision_proj, self.blip.text_proj = nn.Linear(WIDTH, 16), nn.Linear(48, 16)
        self.mlp.layers = nn.Sequential(nn.Linear(48, 32), nn.Dropout(.2), nn.Linear(32, 16), nn.Dropout(.2), nn.Linear(16, 8), nn.Dropout(.1), nn.Linear(8, 4), nn.Linear(4, 1))

    def forward(self, pixels, ids, mask):
        patches = self.blip.visual_encoder(pixels)
        text = self.blip.text_encoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=patches,
                                      encoder_attention_mask=torch.ones(patches.shape[:2]), return_dict=True, is_decoder=False)
        return (self.mlp.layers(text.last_hidden_state[:, 0]) - MEAN) / STD


if __name__ == "__main__":
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    model = Model().eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * .05)
        for layer in model.mlp.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(3)
        for p in model.parameters():
            p.copy_(p.half())
    lengths = (3, 9, 6)
    ids, mask = torch.zeros(3, 12, dtype=torch.long), torch.zeros(3, 12)
    for row, n in enumerate(lengths):
        ids[row, :n], mask[row, :n] = torch.randint(5, 120, (n,), generator=g), 1
    pixels = torch.randn(3, 3, SIDE, SIDE, generator=g)
    with torch.no_grad():
        rewards = model(pixels, ids, mask)[:, 0]
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if v.dtype == torch.float32}
    save_file(state, os.path.join(folder, "model.safetensors"))
    save_file(dict(ids=ids.float(), lengths=torch.tensor(lengths).float(), pixels=pixels, rewards=rewards.contiguous()), os.path.join(folder, "case.safetensors"))
    with open(os.path.join(folder, "med_config.json"), "w") as f:
        json.dump(dict(num_attention_heads=4, layer_norm_eps=1e-12), f)
    with open(os.path.join(folder, "vocab.txt"), "w") as f:
        f.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [f"word{i}" for i in range(116)]) + "\n")
    print(rewards, sum(v.numel() for v in state.values()), [k for k in state if "position" in k or "pos" in k])
