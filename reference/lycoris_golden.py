"""Adapters of other kinds than LoRA, and the weights that they make, by LyCORIS' and PEFT's own modules.

    pip install --no-deps lycoris-lora einops toml
    python reference/lycoris_golden.py        # writes crates/diffusion/tests/data/lora/kinds.safetensors

lycoris-lora 4.1.3, peft, torch 2.11. Each case is one linear layer or convolution: `CASE/base`, the adapter's tensors as they
are called after the module's name in files (`CASE/lokr_w1`, ...), and `CASE/expected`, the weight W' that gives what the module
computes: found from its outputs for unit inputs, so that nothing here repeats the formulas that are tested.
"""

import pathlib

import torch
import torch.nn as nn
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[1] / "crates/diffusion/tests/data/lora/kinds.safetensors"
torch.manual_seed(0)
torch.set_num_threads(1)
tensors = {}


def linear():
    return nn.Linear(6, 8)


def conv():
    return nn.Conv2d(6, 8, 3, padding=1)


def weight_of(function, layer):
    """W' of a linear function of the layer's inputs, from its outputs."""
    with torch.no_grad():
        if isinstance(layer, nn.Linear):
            inputs = torch.eye(layer.in_features)
            return (function(inputs) - function(torch.zeros_like(inputs))).T
        channels = layer.in_channels
        inputs = torch.zeros(channels, channels, 3, 3)
        inputs[range(channels), range(channels), 1, 1] = 1
        out = function(inputs) - function(torch.zeros_like(inputs))
        # A unit in the middle leaves the filter turned round.
        return out.flip(2, 3).transpose(0, 1)


def case(name, kind, layer, rank=2, alpha=3, **options):
    base = layer.weight.detach().clone()
    module = kind("m", layer, 1.0, lora_dim=rank, alpha=alpha, **options)
    for parameter in module.parameters():
        if parameter is not layer.weight and parameter is not layer.bias:
            parameter.data = torch.randn_like(parameter) * 0.4
    if getattr(module, "wd", False):
        module.dora_scale.data = module.dora_scale.abs() + 0.5
    state = {key: value.clone() for key, value in module.state_dict().items() if not key.startswith("org")}
    module.eval()
    module.apply_to()
    tensors[f"{name}/base"] = base
    tensors[f"{name}/expected"] = weight_of(layer, layer)
    tensors.update({f"{name}/{key}": value for key, value in state.items()})


case("locon-tucker", LoConModule, conv(), use_tucker=True)
case("loha-linear", LohaModule, linear())
case("loha-conv", LohaModule, conv())
case("loha-tucker", LohaModule, conv(), use_tucker=True)
case("lokr-low", LokrModule, linear(), rank=1, factor=2)
case("lokr-whole", LokrModule, linear(), rank=10000, factor=2)
case("lokr-both", LokrModule, nn.Linear(16, 32), rank=1, decompose_both=True, factor=4)
case("lokr-conv", LokrModule, conv(), rank=1, factor=2)
case("lokr-tucker", LokrModule, conv(), rank=1, factor=2, use_tucker=True)
for name, layer in (("linear", linear), ("conv", conv)):
    for axis, on_out in (("out", True), ("in", False)):
        case(f"dora-{name}-{axis}", LoConModule, layer(), weight_decompose=True, wd_on_out=on_out)
case("dora-loha", LohaModule, linear(), weight_decompose=True, wd_on_out=True)
case("dora-lokr", LokrModule, conv(), rank=1, factor=2, weight_decompose=True, wd_on_out=False)


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.l, self.c = linear(), conv()

    def forward(self, x):
        return self.c(x) + self.l(x.mean((2, 3)))[..., None, None]


peft = get_peft_model(Both(), LoraConfig(r=2, lora_alpha=3, target_modules=["l", "c"], use_dora=True)).eval()
for name, module in (("linear", peft.base_model.model.l), ("conv", peft.base_model.model.c)):
    prefix = f"peft-dora-{name}"
    module.lora_B["default"].weight.data.normal_()
    module.lora_magnitude_vector["default"].weight.data.mul_(1.3)
    tensors[f"{prefix}/base"] = module.base_layer.weight.detach().clone()
    tensors[f"{prefix}/expected"] = weight_of(module, module.base_layer)
    tensors[f"{prefix}/lora_A.weight"] = module.lora_A["default"].weight.detach().clone()
    tensors[f"{prefix}/lora_B.weight"] = module.lora_B["default"].weight.detach().clone()
    tensors[f"{prefix}/lora_magnitude_vector"] = module.lora_magnitude_vector["default"].weight.detach().clone()
    tensors[f"{prefix}/alpha"] = torch.tensor(3.0)

OUT.parent.mkdir(parents=True, exist_ok=True)
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUT)
for name in sorted({key.split("/")[0] for key in tensors}):
    print(name, {key.split("/")[1]: tuple(value.shape) for key, value in tensors.items() if key.startswith(f"{name}/")})
