"""Golden trajectories of samplers, made by diffusers' schedulers with a toy model.

    python sampler_golden.py ../crates/diffusion/tests/data/sampler
    python sampler_golden.py ../crates/diffusion/tests/data/sampler --model MODEL

The toy model is p(x, t) = 0.6 sin(1.3 x) + 0.3 x cos(t / 300): no weights, smooth, different at every step. For
every case `trajectories.json` holds the scheduler's configuration, the time steps, what the model was given at
every evaluation (the scheduler's scaled input), and the last sample; of two numbers that start as START, times the
scheduler's init_noise_sigma. Ancestral noise of step i, element j is cos(3 i + j).

With --model (a folder written by `fairhuman init-model --preset tiny --dtype f32 --seed 7`) `pipeline.safetensors`
holds what StableDiffusionXLPipeline makes of given initial noise: for UniPC and DDIM the final latents and pictures
(in [0, 1]), four steps, two prompts, a negative prompt for the first alone.
"""

import argparse
import json
import math
import pathlib

import numpy
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionXLPipeline,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from safetensors.torch import save_file

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.model:
        return pipeline(options.model, options.out)
    rows = list(cases())
    for row in rows:
        assert numpy.isfinite(row["inputs"] + [row["last"]]).all(), row
    text = ",\n".join(json.dumps(row) for row in rows)
    (options.out / "trajectories.json").write_text(f"[\n{text}\n]\n")
    print(len(rows), "trajectories; largest number", max(abs(v) for r in rows for x in r["inputs"] for v in x))


main()
