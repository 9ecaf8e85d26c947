"""Does diffusers make of our LoRA file what we make of it?

    fairhuman train recipes/smoke.toml --steps 149 && cp runs/smoke/lora.safetensors lora149.safetensors
    fairhuman train recipes/smoke.toml --record 150
    python lora_check.py models/tiny lora149.safetensors runs/smoke/record/step-00000150/{inputs,expected}.safetensors

The recorded step starts from the very values that the copied file holds. The file is loaded into
StableDiffusionXLPipeline, its U-Net is given the recorded inputs, and its prediction is compared with ours.
"""
import sys
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file

model, lora, inputs, outputs = sys.argv[1:5]
pipe = StableDiffusionXLPipeline.from_pretrained(model)
x, ours = load_file(inputs), load_file(outputs)["prediction"]


def predict():
    added = {"text_embeds": x["pooled_prompt_embeds"], "time_ids": x["time_ids"]}
    with torch.no_grad():
        return pipe.unet(x["noisy_latents"], x["timesteps"], x["prompt_embeds"], added_cond_kwargs=added)[0]


def distance(prediction):
    return float((prediction - ours).norm() / ours.norm())


without = distance(predict())
pipe.load_lora_weights(lora)
with_lora = distance(predict())
print(f"relative distance of the predictions: {without:.2e} without the LoRA, {with_lora:.2e} with it")
sys.exit(0 if with_lora < 1e-3 < without else 1)
