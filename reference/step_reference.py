"""One three-objective training step of an SDXL U-Net with LoRA, computed by PyTorch and diffusers.

It makes a random model in diffusers' folder layout, the inputs of one step, and what the step must
give, so that another implementation can be compared number by number, and timed on the same work.

    python step_reference.py make  --preset tiny --seed 0 --out DIR     # model + inputs + expected
    python step_reference.py bench --preset mini --batch 4 --latent 32  # PyTorch's own time per step
    python step_reference.py compare DIR/expected.safetensors OUT.safetensors

`cargo run --release -p xtask -- speed` runs it beside `fairhuman replay`.

Files of `make` (safetensors; images are [batch, channels, height, width]):
  DIR/model/unet/{config.json,diffusion_pytorch_model.safetensors}
  DIR/inputs.safetensors    noisy_latents, target [B,C,h,w] f32 · timesteps [B] i64 ·
                            prompt_embeds [B,T,D] · pooled_prompt_embeds [B,P] · time_ids [B,6] ·
                            mask_face, mask_hand [B,1,h,w] in {0,1} · lora.<module>.lora_{A,B}.weight
                            header metadata: alpha, local_scale, lora_alpha, rank, learning_rate,
                            weight_decay, beta1, beta2, eps, max_grad_norm   (all as strings)
  DIR/expected.safetensors  prediction [B,C,h,w] · losses [3] · gram [3,3] f64 · weights [3] f64 ·
                            grad_norm [1] (before clipping) · lora.<module>.lora_{A,B}.weight updated
Objectives are ordered global, face, hand. A face or hand objective is the mean over ALL latent
elements of (local_scale * mask * error)^2. An objective whose masks are all empty has weight 0.
"""
import argparse, json, os, resource, time
import numpy as np
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import save_file

PRESETS = {
    # SDXL's shape of network, small: one plain stage, then two with attention; heads of 64 channels in all but tiny
    "tiny": dict(channels=(32, 64, 64), layers=1, depth=(1, 1, 2), heads=(1, 2, 2), cross=32, pooled=24, time_dim=8, groups=8),
    "mini": dict(channels=(64, 128, 256), layers=2, depth=(1, 2, 4), heads=(1, 2, 4), cross=256, pooled=128, time_dim=32, groups=32),
    "mini4x": dict(channels=(256, 512, 1024), layers=2, depth=(1, 2, 4), heads=(4, 8, 16), cross=1024, pooled=512, time_dim=128, groups=32),
    "sdxl": dict(channels=(320, 640, 1280), layers=2, depth=(1, 2, 10), heads=(5, 10, 20), cross=2048, pooled=1280, time_dim=256, groups=32),
}
TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]
STEP = dict(alpha=2.0, local_scale=5.0, learning_rate=1e-3, weight_decay=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, max_grad_norm=1.0)


def build_unet(p):
    return UNet2DConditionModel(
        sample_size=32, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=p["channels"], layers_per_block=p["layers"],
        transformer_layers_per_block=p["depth"], attention_head_dim=p["heads"],
        cross_attention_dim=p["cross"], use_linear_projection=True, norm_num_groups=p["groups"],
        addition_embed_type="text_time", addition_time_embed_dim=p["time_dim"],
        projection_class_embeddings_input_dim=6 * p["time_dim"] + p["pooled"],
    )


def add_lora(unet, rank, lora_alpha, generator):
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=lora_alpha, init_lora_weights="gaussian", target_modules=TARGETS))
    named = {n: q for n, q in unet.named_parameters() if q.requires_grad}
    with torch.no_grad():  # B is zero in a fresh LoRA; give it values so that A has gradients too
        for n, q in named.items():
            q.copy_(torch.randn(q.shape, generator=generator) * 0.05)
    return named


def box_masks(batch, size, rng, absent):
    """Random boxes, [batch,1,size,size]; the samples in `absent` get none."""
    mask = torch.zeros(batch, 1, size, size)
    for b in range(batch):
        if b in absent:
            continue
        h, w = rng.integers(max(2, size // 8), max(3, size // 3), 2)
        y, x = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
        mask[b, :, y:y + h, x:x + w] = 1
    return mask


def make_inputs(p, batch, size, seed, absent_face=(), absent_hand=()):
    g, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    rnd = lambda *s: torch.randn(*s, generator=g)
    return dict(
        noisy_latents=rnd(batch, 4, size, size), target=rnd(batch, 4, size, size),
        timesteps=torch.randint(0, 1000, (batch,), generator=g),
        prompt_embeds=rnd(batch, 77, p["cross"]), pooled_prompt_embeds=rnd(batch, p["pooled"]),
        time_ids=torch.tensor([[8 * size, 8 * size, 0, 0, 8 * size, 8 * size]] * batch, dtype=torch.float32),
        mask_face=box_masks(batch, size, rng, absent_face), mask_hand=box_masks(batch, size, rng, absent_hand),
    )


def predict(unet, x):
    return unet(x["noisy_latents"], x["timesteps"], x["prompt_embeds"], return_dict=False,
                added_cond_kwargs={"text_embeds": x["pooled_prompt_embeds"], "time_ids": x["time_ids"]})[0]


def objectives(prediction, x, scale):
    error = prediction.float() - x["target"]
    return [(error ** 2).mean(), ((scale * x["mask_face"] * error) ** 2).mean(), ((scale * x["mask_hand"] * error) ** 2).mean()]


def alpha_fair_weights(gram, alpha):
    """w > 0 with G w = w^(-1/alpha): Newton on the strictly convex potential, on the trace-normalised
    Gram matrix of the objectives that have a gradient; the others get weight 0."""
    gram = np.asarray(gram, dtype=np.float64)
    live = np.flatnonzero(np.diag(gram) > 0)
    w = np.zeros(len(gram))
    if len(live) == 0:
        return w
    a = gram[np.ix_(live, live)]
    t = np.trace(a) / len(live)
    a = a / t
    potential = lambda v: 0.5 * v @ a @ v - (np.log(v) if alpha == 1 else v ** (1 - 1 / alpha) / (1 - 1 / alpha)).sum()
    v = np.ones(len(live))
    for _ in range(500):
        r = a @ v - v ** (-1 / alpha)
        if np.abs(r).max() <= 1e-14 * np.abs(a @ v).max():
            break
        d = -np.linalg.solve(a + np.diag(v ** (-1 / alpha - 1) / alpha), r)
        s = 1.0
        while (v + s * d).min() <= 0 or potential(v + s * d) > potential(v) + 1e-4 * s * (r @ d):
            s *= 0.5
            if s < 1e-14:
                break
        v = v + s * d
    w[live] = v * t ** (-alpha / (1 + alpha))
    return w


def multi_objective_gradient(unet, params, x, scale, alpha, clock=None):
    tick = time.perf_counter
    t0 = tick(); prediction = predict(unet, x); losses = objectives(prediction, x, scale)
    t1 = tick(); columns = []
    for i, loss in enumerate(losses):
        grads = torch.autograd.grad(loss, params, retain_graph=i + 1 < len(losses))
        columns.append(torch.cat([q.reshape(-1) for q in grads]))
    t2 = tick(); jac = torch.stack(columns, 1); gram = (jac.double().T @ jac.double()).numpy() if clock is None else (jac.T @ jac).double().cpu().numpy()
    weights = alpha_fair_weights(gram, alpha)
    combined = (jac * torch.tensor(weights, dtype=jac.dtype, device=jac.device)).sum(1) * len(losses)
    t3 = tick()
    if clock is not None:
        clock.append((t1 - t0, t2 - t1, t3 - t2))
    return prediction, losses, gram, weights, combined


def set_grads(params, flat):
    o = 0
    for q in params:
        q.grad = flat[o:o + q.numel()].view_as(q).clone(); o += q.numel()


def optimizer(params, s):
    return torch.optim.AdamW(params, lr=s["learning_rate"], betas=(s["beta1"], s["beta2"]), eps=s["eps"], weight_decay=s["weight_decay"])


def lora_key(name):
    return "lora." + name.replace(".default", "")


def make(a):
    torch.manual_seed(a.seed)
    p = PRESETS[a.preset]
    unet = build_unet(p)
    g = torch.Generator().manual_seed(a.seed + 1)
    with torch.no_grad():  # diffusers zeroes nothing at random init, but norms start at 1/0: perturb everything
        for q in unet.parameters():
            q.add_(torch.randn(q.shape, generator=g) * 0.02)
    os.makedirs(a.out, exist_ok=True)
    unet.save_pretrained(os.path.join(a.out, "model", "unet"))
    lora_alpha = float(a.rank)
    named = add_lora(unet, a.rank, lora_alpha, g)
    params = list(named.values())
    x = make_inputs(p, a.batch, a.latent, a.seed + 2, set(a.absent_face), set(a.absent_hand))
    tensors = {k: v.contiguous() for k, v in x.items()}
    tensors |= {lora_key(n): q.detach().clone() for n, q in named.items()}
    meta = {k: repr(v) for k, v in (STEP | dict(lora_alpha=lora_alpha, rank=a.rank)).items()}
    save_file(tensors, os.path.join(a.out, "inputs.safetensors"), metadata=meta)
    prediction, losses, gram, weights, combined = multi_objective_gradient(unet, params, x, STEP["local_scale"], STEP["alpha"])
    set_grads(params, combined)
    norm = torch.nn.utils.clip_grad_norm_(params, STEP["max_grad_norm"])
    optimizer(params, STEP).step()
    out = dict(prediction=prediction.detach().contiguous(), losses=torch.stack([v.detach() for v in losses]),
               gram=torch.tensor(gram, dtype=torch.float64), weights=torch.tensor(weights, dtype=torch.float64), grad_norm=norm.reshape(1))
    out |= {lora_key(n): q.detach().clone() for n, q in named.items()}
    save_file(out, os.path.join(a.out, "expected.safetensors"))
    print(json.dumps(dict(losses=[float(v) for v in losses], weights=weights.tolist(), grad_norm=float(norm))))


def compare(a):
    worst = {}
    with safe_open(a.expected, "pt") as e, safe_open(a.actual, "pt") as o:
        for k in e.keys():
            if k not in o.keys():
                print("missing:", k); raise SystemExit(1)
            x, y = e.get_tensor(k).double(), o.get_tensor(k).double()
            if x.shape != y.shape:
                print("shape of", k, tuple(y.shape), "expected", tuple(x.shape)); raise SystemExit(1)
            kind = k.split(".")[0]
            worst[kind] = max(worst.get(kind, 0.0), float((x - y).norm() / x.norm().clamp_min(1e-30)))
    print(json.dumps({k: float(f"{v:.3g}") for k, v in worst.items()}))
    raise SystemExit(0 if max(worst.values()) <= a.tolerance else 1)


def bench(a):
    torch.manual_seed(0); torch.set_num_threads(a.threads)
    p = PRESETS[a.preset]; unet = build_unet(p)
    if a.channels_last:
        unet = unet.to(memory_format=torch.channels_last)
    card = a.device != "cpu"
    if card and a.bf16:  # frozen weights as training scripts hold them; the LoRA stays f32
        unet = unet.to(torch.bfloat16)
    params = list(add_lora(unet, a.rank, float(a.rank), torch.Generator().manual_seed(0)).values())
    x = make_inputs(p, a.batch, a.latent, 0, set(a.absent_face), set(a.absent_hand))
    unet = unet.to(a.device); x = {k: v.to(a.device) for k, v in x.items()}; opt = optimizer(params, STEP)
    if a.checkpointing:
        unet.train(); unet.enable_gradient_checkpointing()
    clock, whole = [], []
    for _ in range(a.repeat + 2):
        if card:
            torch.cuda.synchronize()
        t0 = time.perf_counter()
        with torch.autocast(a.device.split(":")[0], dtype=torch.bfloat16, enabled=a.bf16):
            if a.plain:
                torch.autograd.backward(objectives(predict(unet, x), x, STEP["local_scale"])[0])
            else:
                *_, combined = multi_objective_gradient(unet, params, x, STEP["local_scale"], STEP["alpha"], clock)
        if not a.plain:
            set_grads(params, combined)
        torch.nn.utils.clip_grad_norm_(params, STEP["max_grad_norm"]); opt.step(); opt.zero_grad()
        if card:
            torch.cuda.synchronize()
        whole.append(time.perf_counter() - t0)
    med = lambda v: 1e3 * float(np.median(v))
    r = dict(step_ms=med(whole[2:]), peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if card:
        r["device_memory_mb"] = torch.cuda.max_memory_reserved() / 2 ** 20
    if clock and not card:  # a card's work is not over where these clocks are read
        f, b, s = zip(*clock[2:]); r |= dict(forward_ms=med(f), backward_ms=med(b), solve_ms=med(s))
    print(json.dumps(r))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    ints = lambda s: [int(v) for v in s.split(",") if v]
    for name in ("make", "bench"):
        q = sub.add_parser(name)
        q.add_argument("--preset", choices=PRESETS, default="tiny"); q.add_argument("--batch", type=int, default=3)
        q.add_argument("--latent", type=int, default=16); q.add_argument("--rank", type=int, default=4)
        q.add_argument("--absent-face", type=ints, default=[]); q.add_argument("--absent-hand", type=ints, default=[])
        if name == "make":
            q.add_argument("--seed", type=int, default=0); q.add_argument("--out", required=True)
        else:
            q.add_argument("--repeat", type=int, default=7); q.add_argument("--threads", type=int, default=os.cpu_count())
            q.add_argument("--bf16", action="store_true"); q.add_argument("--channels-last", action="store_true")
            q.add_argument("--device", default="cpu", help="cpu, cuda"); q.add_argument("--checkpointing", action="store_true")
            q.add_argument("--plain", action="store_true", help="one objective, one backward pass: what ordinary fine-tuning costs")
    q = sub.add_parser("compare"); q.add_argument("expected"); q.add_argument("actual"); q.add_argument("--tolerance", type=float, default=1e-3)
    a = ap.parse_args(); {"make": make, "bench": bench, "compare": compare}[a.command](a)


if __name__ == "__main__":
    main()
