"""Makes the golden step of `fairhuman replay`: a small U-Net in SDXL's form, one recorded step, what PyTorch gives.

    .venv/bin/python replay_golden.py ../crates/fairhuman/tests/golden   # rewrites all files in it

The weights are rounded to bf16 before anything is computed, so that the stored 16-bit file is exact.
Objectives: global, face (absent in sample 1), hand (absent everywhere), torso (an objective of another name).
Weights are the solution of G w = w^(-1/2) over the objectives that are present, by fixed-point iteration.
"""
import pathlib
import sys

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import save_file

HERE = pathlib.Path(sys.argv[1])
ALPHA, SCALE, RANK = 2.0, 5.0, 2
NAMES = ["face", "hand", "torso"]

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8, in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
    transformer_layers_per_block=(1, 1), attention_head_dim=(1, 2), cross_attention_dim=8, norm_num_groups=4,
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
    projection_class_embeddings_input_dim=6 * 4 + 6,
)
with torch.no_grad():
    for p in unet.parameters():
        p.add_(torch.randn(p.shape) * 0.05)
        p.copy_(p.bfloat16().float())
unet.to(torch.bfloat16).save_pretrained(HERE / "model" / "unet")
unet.float().requires_grad_(False)
unet.add_adapter(LoraConfig(r=RANK, lora_alpha=3, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
lora = {n: p for n, p in unet.named_parameters() if p.requires_grad}
with torch.no_grad():
    for p in lora.values():
        p.copy_(torch.randn(p.shape) * 0.1)

rnd = torch.randn
inputs = dict(
    noisy_latents=rnd(2, 4, 8, 8), target=rnd(2, 4, 8, 8), timesteps=torch.tensor([17, 801]),
    prompt_embeds=rnd(2, 5, 8), pooled_prompt_embeds=rnd(2, 6),
    time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64], [96, 64, 16, 0, 64, 64]]),
)
masks = {name: torch.zeros(2, 1, 8, 8) for name in NAMES}
masks["face"][0, 0, 1:3, 2:5] = 1
masks["torso"][0, 0, 3:8, 1:6] = 1
masks["torso"][1, 0, 2:7, 3:8] = 1
step = dict(alpha=ALPHA, local_scale=SCALE, lora_alpha=3.0, rank=RANK, learning_rate=1e-3, weight_decay=1e-2,
            beta1=0.9, beta2=0.999, eps=1e-8, max_grad_norm=1.0)
key = lambda name: "lora." + name.replace(".default", "")
save_file(
    inputs | {f"mask_{n}": m for n, m in masks.items()} | {key(n): p.detach().clone() for n, p in lora.items()},
    HERE / "inputs.safetensors", metadata={k: repr(v) for k, v in step.items()},
)

prediction = unet(inputs["noisy_latents"], inputs["timesteps"], inputs["prompt_embeds"], return_dict=False,
                  added_cond_kwargs={"text_embeds": inputs["pooled_prompt_embeds"], "time_ids": inputs["time_ids"]})[0]
error = prediction - inputs["target"]
losses = [(error ** 2).mean()] + [((SCALE * masks[n] * error) ** 2).mean() for n in NAMES]
params = list(lora.values())
columns = []
for i, loss in enumerate(losses):
    grads = torch.autograd.grad(loss, params, retain_graph=True)
    columns.append(torch.cat([g.reshape(-1) for g in grads]))
jacobian = torch.stack(columns, 1)
gram = (jacobian.double().T @ jacobian.double()).numpy()
live = np.flatnonzero(np.diag(gram) > 0)
a = gram[np.ix_(live, live)]
w = np.diag(a) ** (-ALPHA / (1 + ALPHA))
for _ in range(10_000):  # damped: w <- geometric mean of w and (G w)^-2
    w = w ** 0.8 * (a @ w) ** (-ALPHA * 0.2)
assert np.abs(a @ w - w ** (-1 / ALPHA)).max() < 1e-10
weights = np.zeros(len(losses)); weights[live] = w
combined = jacobian @ torch.tensor(weights, dtype=jacobian.dtype) * len(losses)
offset = 0
for p in params:
    p.grad = combined[offset:offset + p.numel()].view_as(p).clone(); offset += p.numel()
norm = torch.nn.utils.clip_grad_norm_(params, step["max_grad_norm"])
torch.optim.AdamW(params, lr=step["learning_rate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2).step()
expected = dict(prediction=prediction.detach().contiguous(), losses=torch.stack(losses).detach(),
                gram=torch.tensor(gram), weights=torch.tensor(weights), grad_norm=norm.reshape(1))
save_file(expected | {key(n): p.detach().clone() for n, p in lora.items()}, HERE / "expected.safetensors")
print("losses", [float(l.detach()) for l in losses], "weights", weights, "norm", float(norm))
