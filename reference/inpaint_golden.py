"""Golden latents of inpainting, by diffusers' pipelines and by a loop of our own rule.

    python inpaint_golden.py ../crates/diffusion/tests/data
    python inpaint_golden.py ../crates/diffusion/tests/data --model MODEL

On the model of sampler_golden.py in `sampler/sd` (predicts v), `inpaint/case.safetensors` holds, from given noise:

- `ddim`: StableDiffusionInpaintPipeline with a mask of 0 and 1, which mixes the sample after each step;
- `nine`: the same with a U-Net for inpainting of 9 channels, which is in `inpaint/unet`;
- `loop.SAMPLER`: a soft mask with the rule of ComfyUI: the network's input and the clean latents are held to the picture.

With --model (a folder written by `fairhuman init-model --preset tiny --dtype f32 --seed 7`) `inpaint/sdxl.safetensors` holds
the latents of StableDiffusionXLInpaintPipeline for DDIM and a mask of 0 and 1.

Latents of pictures are the mean of the autoencoder's distribution, and not drawn.
"""

import argparse
import json
import pathlib

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_inpaint as sd
from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl_inpaint as sdxl
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

PROMPT = "a photo of a woman waving with an open hand"
SAMPLERS = {"unipc": UniPCMultistepScheduler, "dpmpp-2m": DPMSolverMultistepScheduler, "euler": EulerDiscreteScheduler}


def noise(h, w):
    i = torch.arange(4 * h * w, dtype=torch.float64)
    return (2.0 * torch.sin(12.9898 * i + 78.233 * torch.sin(i))).float().reshape(1, 4, h, w)


def inputs(h, w, f):
    """A picture, and a mask that is the same in all pixels of a cell."""
    g = torch.Generator().manual_seed(5)
    picture = torch.rand(1, 3, f * h, f * w, generator=g)
    cells = (torch.rand(1, 1, h, w, generator=g) > 0.5).float()
    return picture, cells.repeat_interleave(f, 2).repeat_interleave(f, 3)


def mean_not_drawn(module, fixed):
    module.retrieve_latents = lambda output, generator=None, sample_mode=None: output.latent_dist.mode()
    module.randn_tensor = lambda shape, **_: fixed.clone()


def loop(unet, scheduler, text, z0, mask, eps, steps, strength, guidance):
    """The rule: x and the clean latents are held to z0 where the mask is below 1."""
    scheduler.set_timesteps(steps)
    first = steps - min(int(steps * strength), steps)
    scheduler.set_begin_index(first)
    abar = scheduler.alphas_cumprod
    timesteps = scheduler.timesteps[first:]
    x = None
    for t in timesteps:
        if isinstance(scheduler, EulerDiscreteScheduler):
            sigma = scheduler.sigmas[first if x is None else scheduler.step_index]
        else:
            sigma = ((1 - abar[t]) / abar[t]) ** 0.5
        signal = 1 / (sigma**2 + 1) ** 0.5
        # Euler's scheduler keeps x / signal, the others x.
        unit = signal if isinstance(scheduler, EulerDiscreteScheduler) else 1.0
        own = signal * z0 + signal * sigma * eps
        x = own / unit if x is None else x
        held = mask * (x * unit) + (1 - mask) * own
        negative, prompt = unet(held.repeat(2, 1, 1, 1), t, text).sample.chunk(2)
        v = negative + guidance * (prompt - negative)
        clean = mask * (signal * held - signal * sigma * v) + (1 - mask) * z0
        # What the scheduler would have to be told to find these clean latents in its own x.
        x = scheduler.step((signal * x * unit - clean) / (signal * sigma), t, x).prev_sample
    return x


def small(data):
    model, out = data / "sampler" / "sd", data / "inpaint"
    out.mkdir(exist_ok=True)
    load = lambda kind, name: kind.from_pretrained(model / name).float().eval()
    unet, vae, text = load(UNet2DConditionModel, "unet"), load(AutoencoderKL, "vae"), load(CLIPTextModel, "text_encoder")
    config = json.loads((model / "scheduler/scheduler_config.json").read_text())
    config = {k: v for k, v in config.items() if k != "_class_name"}
    torch.manual_seed(1)
    nine = UNet2DConditionModel.from_config(dict(unet.config) | dict(in_channels=9)).half()
    nine.save_pretrained(out / "unet")
    nine = nine.float().eval()
    tokenizer = CLIPTokenizer.from_pretrained(data / "tokenizer" / "tokenizer")
    h, w = 6, 9
    eps, (picture, mask) = noise(h, w), inputs(h, w, 2)
    mean_not_drawn(sd, eps)
    tensors = dict(noise=eps, picture=picture, mask=mask)
    for name, network in dict(ddim=unet, nine=nine).items():
        pipe = StableDiffusionInpaintPipeline(
            vae, text, tokenizer, network, DDIMScheduler.from_config(config, clip_sample=False), None, None, requires_safety_checker=False
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.check_inputs = lambda *a, **k: None  # wants multiples of 8 pixels; this model has two to a cell
        tensors[name] = pipe(
            PROMPT, image=picture, mask_image=mask, height=2 * h, width=2 * w, strength=0.75, num_inference_steps=5, guidance_scale=3.0,
            output_type="latent",
        ).images
    embed = lambda prompt: text(tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids)[0]
    embeddings = torch.cat([embed(""), embed(PROMPT)])
    z0 = vae.encode(2 * picture - 1).latent_dist.mode() * vae.config.scaling_factor
    i = torch.arange(h * w, dtype=torch.float64)
    soft = (0.5 + 0.5 * torch.sin(3.7 * i)).float().reshape(1, 1, h, w)
    tensors["soft"] = soft
    for name, kind in SAMPLERS.items():
        tensors[f"loop.{name}"] = loop(unet, kind.from_config(config), embeddings, z0, soft, eps, 6, 0.7, 3.0)
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, out / "case.safetensors")
    print({k: (tuple(v.shape), round(float(v.std()), 4)) for k, v in tensors.items()})


def large(data, model):
    pipe = StableDiffusionXLInpaintPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    h, w = 6, 8
    eps, (picture, mask) = noise(h, w), inputs(h, w, 8)
    mean_not_drawn(sdxl, eps)
    latents = pipe(
        PROMPT, negative_prompt="blurry, extra fingers", image=picture, mask_image=mask, height=8 * h, width=8 * w, strength=0.6,
        num_inference_steps=5, guidance_scale=7.5, output_type="latent",
    ).images
    tensors = dict(noise=eps, picture=picture, mask=mask, ddim=latents)
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, data / "inpaint" / "sdxl.safetensors")
    print({k: (tuple(v.shape), round(float(v.std()), 4)) for k, v in tensors.items()})


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--model")
    options = parser.parse_args()
    large(options.data, options.model) if options.model else small(options.data)


main()
