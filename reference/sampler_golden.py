"""Golden trajectories of samplers, made by diffusers' schedulers with a toy model.

    python sampler_golden.py ../crates/diffusion/tests/data/sampler
    python sampler_golden.py ../crates/diffusion/tests/data/sampler --model MODEL
    python sampler_golden.py ../crates/diffusion/tests/data/sampler --sd ../crates/diffusion/tests/data/tokenizer/tokenizer

The toy model is p(x, t) = 0.6 sin(1.3 x) + 0.3 x cos(t / 300): no weights, smooth, different at every step. For
every case `trajectories.json` holds the scheduler's configuration, the time steps, what the model was given at
every evaluation (the scheduler's scaled input), and the last sample; of two numbers that start as START, times the
scheduler's init_noise_sigma. Ancestral noise of step i, element j is cos(3 i + j).

With --model (a folder written by `fairhuman init-model --preset tiny --dtype f32 --seed 7`) `pipeline.safetensors`
holds what StableDiffusionXLPipeline makes of given initial noise: for UniPC and DDIM the final latents and pictures
(in [0, 1]), four steps, two prompts, a negative prompt for the first alone.

With --sd (a tokenizer's folder) `sd/` holds a small random model of Stable Diffusion 2's kind that predicts v, without
its tokenizer, and in `case.safetensors` the same of StableDiffusionPipeline for Euler's and Heun's samplers.
"""

import argparse
import json
import math
import pathlib

import numpy
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SAMPLERS = {
    "unipc": UniPCMultistepScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-a": EulerAncestralDiscreteScheduler,
    "dpmpp-2m": DPMSolverMultistepScheduler,
    "heun": HeunDiscreteScheduler,
}
START = [0.8, -1.7]
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def toy(x, t):
    return 0.6 * torch.sin(1.3 * x) + 0.3 * x * math.cos(float(t) / 300)


def trajectory(name, steps, **config):
    config = dict(SD, **config)
    extra = dict(clip_sample=False) if name == "ddim" else {}
    scheduler = SAMPLERS[name](**config, **extra)
    scheduler.set_timesteps(steps)
    drawn = iter(range(10_000))
    scheduling_euler_ancestral_discrete.randn_tensor = lambda shape, **_: torch.tensor(
        [math.cos(3 * i + j) for i in [next(drawn)] for j in range(len(START))]
    ).reshape(shape)
    x = torch.tensor(START).reshape(1, 1, 1, -1) * scheduler.init_noise_sigma
    inputs = []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        inputs.append(scaled.flatten().tolist())
        x = scheduler.step(toy(scaled, t), t, x).prev_sample
    numbers = lambda values: [float(f"{v:.8g}") for v in values]
    return {
        "sampler": name,
        "steps": steps,
        "config": config,
        "timesteps": numbers(scheduler.timesteps.tolist()),
        "inputs": [numbers(row) for row in inputs],
        "last": numbers(x.flatten().tolist()),
    }


def cases():
    for name in SAMPLERS:
        for steps in (10, 30):
            for spacing in ("leading", "trailing", "linspace"):
                for kind in ("epsilon", "v_prediction"):
                    offset = dict(steps_offset=1) if spacing == "leading" else {}
                    yield trajectory(name, steps, prediction_type=kind, timestep_spacing=spacing, **offset)
        # Every class has a spacing of its own where the file names none.
        yield trajectory(name, 7)
        if name != "heun":
            # diffusers' Heun knows no zero terminal SNR.
            snr = dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing")
            yield trajectory(name, 8, **snr)
        if name != "euler-a":
            yield trajectory(name, 8, prediction_type="sample")
    yield trajectory("ddim", 6, set_alpha_to_one=False, steps_offset=1)
    for name in ("unipc", "dpmpp-2m", "euler"):
        for steps in (8, 20):
            yield trajectory(name, steps, final_sigmas_type="sigma_min")
    for name in ("unipc", "dpmpp-2m", "euler", "heun"):
        for steps in (2, 12, 40):
            for spacing in ("leading", "trailing", "linspace"):
                offset = dict(steps_offset=1) if spacing == "leading" else {}
                yield trajectory(name, steps, use_karras_sigmas=True, timestep_spacing=spacing, **offset)


PROMPTS = ["a photo of a woman waving with an open hand", "two men sitting on a bench"]
NEGATIVE = "blurry, extra fingers"


def pipeline(model, out):
    pipe = StableDiffusionXLPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    # Values that need no generator, so that the test makes the same.
    i = torch.arange(4 * 6 * 8, dtype=torch.float64)
    noise = (2.0 * torch.sin(12.9898 * i + 78.233 * torch.sin(i))).float().reshape(1, 4, 6, 8)
    tensors = {"noise": noise}
    for name in ("unipc", "ddim"):
        pipe.scheduler = SAMPLERS[name].from_config(pipe.scheduler.config, **(dict(clip_sample=False) if name == "ddim" else {}))
        for k, prompt in enumerate(PROMPTS):
            common = dict(prompt=prompt, negative_prompt=NEGATIVE if k == 0 else None, latents=noise.clone())
            common |= dict(num_inference_steps=4, guidance_scale=7.5, height=48, width=64)
            latents = pipe(**common, output_type="latent").images
            picture = pipe(**common, output_type="pt").images
            tensors |= {f"{name}.{k}.latents": latents, f"{name}.{k}.picture": picture}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, out / "pipeline.safetensors")
    print({k: (tuple(v.shape), round(float(v.std()), 4)) for k, v in tensors.items()})


def sd(tokenizer, out):
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2), use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, norm_num_groups=4, sample_size=16,
    )
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        hidden_act="gelu", bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    ))
    scheduler = PNDMScheduler(**SD, prediction_type="v_prediction", steps_offset=1, set_alpha_to_one=False, skip_prk_steps=True)
    for network in (unet, vae, text):
        network.half().float()
    pipe = StableDiffusionPipeline(vae, text, tokenizer, unet, scheduler, None, None, requires_safety_checker=False)
    folder = out / "sd"
    for name, network in dict(unet=unet, vae=vae, text_encoder=text).items():
        network.half().save_pretrained(folder / name)
        network.float().eval()
    scheduler.save_pretrained(folder / "scheduler")
    pipe.save_config(folder)
    pipe.set_progress_bar_config(disable=True)
    i = torch.arange(4 * 6 * 9, dtype=torch.float64)
    noise = (2.0 * torch.sin(12.9898 * i + 78.233 * torch.sin(i))).float().reshape(1, 4, 6, 9)
    tensors = {"noise": noise}
    for name in ("euler", "heun"):
        # As from a file: what the class of the file has as default is not handed on.
        config = json.loads((folder / "scheduler/scheduler_config.json").read_text())
        pipe.scheduler = SAMPLERS[name].from_config({k: v for k, v in config.items() if k != "_class_name"})
        common = dict(prompt=PROMPTS[0], latents=noise.clone(), num_inference_steps=5, guidance_scale=3.0)
        common |= dict(height=12, width=18)
        # The pipeline wants multiples of 8 pixels; this model has two to a latent cell.
        pipe.check_inputs = lambda *a, **k: None
        tensors |= {
            f"{name}.latents": pipe(**common, output_type="latent").images,
            f"{name}.picture": pipe(**common, output_type="pt").images,
        }
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / "case.safetensors")
    print({k: (tuple(v.shape), round(float(v.std()), 4)) for k, v in tensors.items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model")
    parser.add_argument("--sd")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.model:
        return pipeline(options.model, options.out)
    if options.sd:
        return sd(options.sd, options.out)
    rows = list(cases())
    for row in rows:
        assert numpy.isfinite(row["inputs"] + [row["last"]]).all(), row
    text = ",\n".join(json.dumps(row) for row in rows)
    (options.out / "trajectories.json").write_text(f"[\n{text}\n]\n")
    print(len(rows), "trajectories; largest number", max(abs(v) for r in rows for x in r["inputs"] for v in x))


main()
