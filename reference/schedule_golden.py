"""Golden values of noise schedules, made by diffusers.

    python reference/schedule_golden.py        # diffusers 0.32.2

For every combination of beta schedule, prediction type and rescaling: abar_t at some steps, and for scalar z0
and eps the noisy latent, the training target, the clean latent that a prediction of 0.4 implies, the
signal-to-noise ratio and min-SNR-5 weight as diffusers' training example computes them. diffusers works in f32.
"""

import itertools
import json
import pathlib

import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, LCMScheduler, UniPCMultistepScheduler
from diffusers.training_utils import compute_snr

OUT = pathlib.Path(__file__).parents[1] / "crates/diffusion/tests/data/schedule"
Z0, EPS, P, GAMMA = 0.7, -1.3, 0.4, 5.0


def row(config, scheduler_class, source):
    """`source` may be another class whose configuration is read as `scheduler_class`, as diffusers does."""
    # Saved files do not have this list, by which a configuration in memory forgets its defaults.
    config = {k: v for k, v in config.items() if k != "_use_default_values"}
    scheduler = scheduler_class.from_config(config)
    steps = scheduler.config.num_train_timesteps
    at = sorted({0, 1, steps // 4, steps // 2, 3 * steps // 4, steps - 2, steps - 1})
    t = torch.tensor(at)
    z0, eps, p = (torch.full((len(at),), v) for v in (Z0, EPS, P))
    noisy = scheduler.add_noise(z0, eps, t)
    kind = scheduler.config.prediction_type
    target = {"epsilon": eps, "v_prediction": scheduler.get_velocity(z0, eps, t), "sample": z0}[kind]
    abar = scheduler.alphas_cumprod[t]
    clean = {
        "epsilon": (noisy - (1 - abar).sqrt() * p) / abar.sqrt(),
        "v_prediction": abar.sqrt() * noisy - (1 - abar).sqrt() * p,
        "sample": p,
    }[kind]
    snr = compute_snr(scheduler, t)
    least = torch.minimum(snr, torch.full_like(snr, GAMMA))
    weight = {"epsilon": least / snr, "v_prediction": least / (snr + 1), "sample": least}[kind]
    columns = dict(noisy=noisy, target=target, clean=clean, snr=snr, weight=weight, alphas_cumprod=abar)
    finite = lambda values: [v if torch.isfinite(torch.tensor(v)) else None for v in values]
    return {"config": config, "class": source, "at": at, **{k: finite(v.tolist()) for k, v in columns.items()}}


def main():
    rows = []
    for form, kind, rescale in itertools.product(
        ("linear", "scaled_linear", "squaredcos_cap_v2"), ("epsilon", "v_prediction", "sample"), (False, True)
    ):
        config = dict(DDPMScheduler(1000, 0.00085, 0.012, form, prediction_type=kind, rescale_betas_zero_snr=rescale).config)
        rows.append(row(dict(config, _class_name="DDPMScheduler"), DDPMScheduler, "DDPMScheduler"))
    # Whole configurations as other schedulers save them, defaults included.
    for other in (DDIMScheduler, EulerDiscreteScheduler, LCMScheduler, UniPCMultistepScheduler):
        config = dict(other(num_train_timesteps=500).config)
        rows.append(row(dict(config, _class_name=other.__name__), DDPMScheduler, other.__name__))
    trained = [0.001 * (i + 1) for i in range(20)]
    rows.append(row(dict(_class_name="DDPMScheduler", num_train_timesteps=20, trained_betas=trained), DDPMScheduler, "DDPMScheduler"))
    OUT.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(json.dumps(r) for r in rows)
    (OUT / "golden.json").write_text(f"[\n{text}\n]\n")
    print(len(rows), "schedules")


main()
