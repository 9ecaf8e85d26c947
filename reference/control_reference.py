"""One three-objective training step of a ControlNet or T2I-Adapter through a frozen U-Net, by PyTorch and diffusers.

    python control_reference.py make  --kind controlnet --family sdxl --seed 0 --out DIR
    python control_reference.py bench --kind controlnet --preset mini --batch 4 --latent 32
    python control_reference.py golden ../crates/fairhuman/tests/golden/control   # rewrites the cases of the tests
    python step_reference.py compare DIR/expected.safetensors OUT.safetensors

`fairhuman replay --model DIR/model --control DIR/control --inputs DIR/inputs.safetensors --outputs OUT.safetensors`
runs the same step. Kinds: controlnet; t2i-xl (family sdxl), t2i-full and t2i-light (sd15).

Files of `make` (safetensors; images are [batch, channels, height, width]):
  DIR/model/unet/            the frozen U-Net, diffusers' layout
  DIR/control/               the trained network, diffusers' layout (zero convolutions filled, or every output is zero)
  DIR/inputs.safetensors     as in step_reference.py without lora.*, and control [B,3,8h,8w] f32 in [0,1] ·
                             sample_weights [B] f64 (multiply squared errors); sd15 has no pooled_prompt_embeds and
                             no time_ids; header metadata as there, without rank and lora_alpha, with kind and family
  DIR/expected.safetensors   prediction · losses [3] · gram [3,3] f64 · weights [3] f64 · grad_norm [1] ·
                             control.<tensor> for every trained tensor, updated by one AdamW step
All tensors of DIR/control are trained, nothing else. Objectives as in step_reference.py, local_scale 1.
"""
import argparse, json, os, pathlib, resource, time
import numpy as np
import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from step_reference import PRESETS, STEP, alpha_fair_weights, build_unet, make_inputs, optimizer, set_grads

SMALL = dict(channels=(32, 64, 64), layers=2, depth=(1, 1, 2), heads=(2, 4, 4), cross=32, pooled=32, time_dim=8, groups=8)
GOLDEN = dict(channels=(8, 8, 16), layers=1, depth=(1, 1, 1), heads=(1, 1, 2), cross=8, pooled=6, time_dim=4, groups=4)
SIZES = {"golden": GOLDEN, "small": SMALL, "mini": PRESETS["mini"], "mini4x": PRESETS["mini4x"]}
STEP = STEP | dict(local_scale=1.0)
KINDS = [("controlnet", "sdxl"), ("controlnet", "sd15"), ("t2i-xl", "sdxl"), ("t2i-full", "sd15"), ("t2i-light", "sd15")]


def sd15_unet(p):
    """A U-Net of SD 1.5's shape: attention on all stages but the last, which is one more."""
    kinds, channels, heads = ("CrossAttn", "CrossAttn", "CrossAttn", ""), p["channels"], p["heads"]
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=channels + channels[-1:], layers_per_block=p["layers"],
        down_block_types=tuple(k + "DownBlock2D" for k in kinds), up_block_types=tuple(k + "UpBlock2D" for k in reversed(kinds)),
        attention_head_dim=heads + heads[-1:], cross_attention_dim=p["cross"], norm_num_groups=p["groups"])


def control_network(kind, unet, p):
    c = unet.config.block_out_channels
    if kind == "controlnet":
        hint = (16, 32, 96, 256) if p["channels"][0] >= 64 else (4, 4, 8, 8) if p is GOLDEN else (8, 8, 16, 16)
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=hint)
    if kind == "t2i-xl":
        return T2IAdapter(in_channels=3, channels=[c[0], c[1], c[2], c[2]], num_res_blocks=2, downscale_factor=16, adapter_type="full_adapter_xl")
    if kind == "t2i-full":
        return T2IAdapter(in_channels=3, channels=list(c), num_res_blocks=2, downscale_factor=8, adapter_type="full_adapter")
    return T2IAdapter(in_channels=3, channels=list(c[:3]), num_res_blocks=4, downscale_factor=8, adapter_type="light_adapter")


def networks(kind, family, p, seed, half):
    """The frozen U-Net and the network that is trained, random; `half`: rounded to 16 bits, so that small files are exact."""
    torch.manual_seed(seed)
    unet = build_unet(p) if family == "sdxl" else sd15_unet(p)
    g = torch.Generator().manual_seed(seed + 1)
    net = None
    with torch.no_grad():
        for q in unet.parameters():
            q.add_(torch.randn(q.shape, generator=g) * 0.02)
        net = control_network(kind, unet, p)
        for n, q in net.named_parameters():
            if n.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
                q.copy_(torch.randn(q.shape, generator=g) * 0.2)
            else:
                q.add_(torch.randn(q.shape, generator=g) * 0.02)
        if half:
            for q in [*unet.parameters(), *net.parameters()]:
                q.copy_(q.bfloat16().float())
    unet.requires_grad_(False)
    return unet, net, g


def inputs(family, p, batch, latent, seed, absent, g):
    x = make_inputs(p, batch, latent, seed + 2, *absent)
    if p is GOLDEN:  # a short text: less to store
        x["prompt_embeds"] = x["prompt_embeds"][:, :7].contiguous()
    if family == "sd15":
        del x["pooled_prompt_embeds"], x["time_ids"]
    x["control"] = torch.rand(batch, 3, 8 * latent, 8 * latent, generator=g)
    x["sample_weights"] = 0.5 + 4 * torch.rand(batch, generator=g, dtype=torch.float64)
    return x


def forward(unet, net, x, kind):
    added = {k: x[n] for k, n in (("text_embeds", "pooled_prompt_embeds"), ("time_ids", "time_ids")) if n in x}
    call = dict(added_cond_kwargs=added or None, return_dict=False)
    base = (x["noisy_latents"], x["timesteps"], x["prompt_embeds"])
    if kind == "controlnet":
        down, middle = net(*base, controlnet_cond=x["control"], **call)
        return unet(*base, down_block_additional_residuals=down, mid_block_additional_residual=middle, **call)[0]
    return unet(*base, down_intrablock_additional_residuals=[f.clone() for f in net(x["control"])], **call)[0]


def losses_of(prediction, x):
    squares = (prediction.float() - x["target"]) ** 2 * x["sample_weights"].float().view(-1, 1, 1, 1)
    return [squares.mean(), (x["mask_face"] * squares).mean(), (x["mask_hand"] * squares).mean()]


def fair_gradient(unet, net, params, x, kind, exact=True):
    """Prediction, losses, Gram matrix, weights, combined gradient; seconds of forward, backward and solve."""
    tick = time.perf_counter
    t0 = tick(); prediction = forward(unet, net, x, kind); losses = losses_of(prediction, x)
    t1 = tick(); columns = []
    for i, loss in enumerate(losses):
        grads = torch.autograd.grad(loss, params, retain_graph=i + 1 < len(losses), allow_unused=True)
        columns.append(torch.cat([(torch.zeros_like(q) if v is None else v).reshape(-1) for q, v in zip(params, grads)]))
    t2 = tick(); jac = torch.stack(columns, 1)
    gram = (jac.double().T @ jac.double()).numpy() if exact else (jac.T @ jac).double().numpy()
    weights = alpha_fair_weights(gram, STEP["alpha"])
    combined = (jac * torch.tensor(weights, dtype=jac.dtype)).sum(1) * len(losses)
    return prediction, losses, gram, weights, combined, (t1 - t0, t2 - t1, tick() - t2)


def make(a):
    p = SIZES[a.preset]
    unet, net, g = networks(a.kind, a.family, p, a.seed, a.preset == "golden")
    for module, folder in ((unet, "model/unet"), (net, "control")):
        if a.preset == "golden":
            module.to(torch.bfloat16)
        module.save_pretrained(os.path.join(a.out, folder))
        module.float()
    x = inputs(a.family, p, a.batch, a.latent, a.seed, (set(a.absent_face), set(a.absent_hand)), g)
    meta = {k: repr(v) for k, v in STEP.items()} | dict(kind=a.kind, family=a.family)
    save_file({k: v.contiguous() for k, v in x.items()}, os.path.join(a.out, "inputs.safetensors"), metadata=meta)
    named = dict(net.named_parameters()); params = list(named.values())
    prediction, losses, gram, weights, combined, _ = fair_gradient(unet, net, params, x, a.kind)
    set_grads(params, combined)
    norm = torch.nn.utils.clip_grad_norm_(params, STEP["max_grad_norm"])
    optimizer(params, STEP).step()
    out = dict(prediction=prediction.detach().contiguous(), losses=torch.stack([v.detach() for v in losses]),
               gram=torch.tensor(gram, dtype=torch.float64), weights=torch.tensor(weights, dtype=torch.float64), grad_norm=norm.reshape(1))
    out |= {"control." + n: q.detach().clone() for n, q in named.items()}
    save_file(out, os.path.join(a.out, "expected.safetensors"))
    print(json.dumps(dict(losses=[float(v.detach()) for v in losses], weights=weights.tolist(), grad_norm=float(norm), trained=sum(q.numel() for q in params))))


def golden(a):
    """Five kinds: face absent in one sample, hand absent everywhere in the second and the fourth."""
    for i, (kind, family) in enumerate(KINDS):
        absent_hand = [0, 1] if i % 2 else []
        make(argparse.Namespace(preset="golden", kind=kind, family=family, seed=10 + i, batch=2, latent=8, absent_face=[1],
                                absent_hand=absent_hand, out=str(pathlib.Path(a.out) / f"{kind}-{family}")))


def bench(a):
    torch.set_num_threads(a.threads)
    p = SIZES[a.preset]
    unet, net, g = networks(a.kind, a.family, p, 0, False)
    if a.channels_last:
        unet, net = (m.to(memory_format=torch.channels_last) for m in (unet, net))
    x = inputs(a.family, p, a.batch, a.latent, 0, (set(), set()), g)
    params = list(net.parameters()); opt = optimizer(params, STEP)
    clock, whole = [], []
    for _ in range(a.repeat + 1):
        t0 = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
            *_, combined, seconds = fair_gradient(unet, net, params, x, a.kind, exact=False)
        set_grads(params, combined)
        torch.nn.utils.clip_grad_norm_(params, STEP["max_grad_norm"]); opt.step(); opt.zero_grad()
        clock.append(seconds); whole.append(time.perf_counter() - t0)
    med = lambda v: 1e3 * float(np.median(v))
    f, b, s = zip(*clock[1:])
    print(json.dumps(dict(step_ms=med(whole[1:]), forward_ms=med(f), backward_ms=med(b), solve_ms=med(s),
                          peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    ints = lambda s: [int(v) for v in s.split(",") if v]
    for name in ("make", "bench"):
        q = sub.add_parser(name)
        q.add_argument("--kind", choices=sorted({k for k, _ in KINDS}), default="controlnet")
        q.add_argument("--family", choices=["sdxl", "sd15"], default="sdxl")
        q.add_argument("--preset", choices=SIZES, default="small" if name == "make" else "mini")
        q.add_argument("--batch", type=int, default=2); q.add_argument("--latent", type=int, default=16)
        if name == "make":
            q.add_argument("--absent-face", type=ints, default=[]); q.add_argument("--absent-hand", type=ints, default=[])
            q.add_argument("--seed", type=int, default=0); q.add_argument("--out", required=True)
        else:
            q.add_argument("--repeat", type=int, default=5); q.add_argument("--threads", type=int, default=os.cpu_count())
            q.add_argument("--bf16", action="store_true"); q.add_argument("--channels-last", action="store_true")
    q = sub.add_parser("golden"); q.add_argument("out")
    a = ap.parse_args(); {"make": make, "bench": bench, "golden": golden}[a.command](a)


if __name__ == "__main__":
    main()
