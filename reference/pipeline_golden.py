"""Golden values of a whole random SDXL folder: diffusers loads what `fairhuman init-model` writes.

    fairhuman init-model --preset tiny --dtype f32 --seed 7 --out MODEL
    python pipeline_golden.py MODEL ../crates/diffusion/tests/data/pipeline

Writes `prompts.json` and `case.safetensors` (f32): embeddings [N, T, D] and pooled [N, P] of
StableDiffusionXLPipeline.encode_prompt, and `decoded`, [1, 3, H, W], the picture that the pipeline's VAE makes
of `latents`. It also samples a picture in four steps, to see that every component is accepted.
The model itself is not stored: it is a function of preset and seed.
"""
import json
import os
import sys

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

PROMPTS = [
    "a photo of a woman waving with an open hand",
    "",
    "Two friends, smiling! Café émoji 🙂 " + "and a very long list of words " * 20,
]

if __name__ == "__main__":
    model, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    pipe = StableDiffusionXLPipeline.from_pretrained(model)
    embeddings, _, pooled, _ = pipe.encode_prompt(PROMPTS, do_classifier_free_guidance=False)
    latents = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decoded = pipe.vae.decode(latents).sample
    tensors = dict(embeddings=embeddings, pooled=pooled, latents=latents, decoded=decoded)
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(out, "case.safetensors"))
    with open(os.path.join(out, "prompts.json"), "w") as file:
        json.dump(PROMPTS, file, ensure_ascii=False)
    image = pipe("a man", num_inference_steps=4, height=64, width=64, output_type="np").images
    print("embeddings", tuple(embeddings.shape), float(embeddings.detach().std()), "picture", image.shape, float(image.std()))
