//! Plans of layers: initial values, and networks that take a part of another one's files.

use fairhuman_diffusion::net::{Fresh, Layers, ModelError, Plan, Trainable};
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, ConvParams, Cpu, Params};

use crate::golden::folder;

const FRESH: Fresh<'_> = Fresh { prefixes: &["zero", "hint"], seed: 3 };

/// The first convolution of the "sd15" U-Net with `channels` outputs, and new layers beside it.
fn plan(channels: usize) -> Plan {
    let mut plan = Plan::default();
    plan.conv("conv_in", 4, channels, ConvParams::square(3, 1, 1));
    plan.conv("hint.0", 3, 16, ConvParams::square(3, 1, 1));
    plan.zero_conv("zero.0", 16, 16, ConvParams::square(3, 1, 1));
    plan.zero_pointwise("zero.1", 16, 16);
    plan
}

fn load(channels: usize, fresh: Fresh<'_>) -> Result<Params<Cpu>, ModelError> {
    let (backend, mut params) = (Cpu::new(1).unwrap(), Params::default());
    let files = WeightFiles::open(&folder("unet", "sd15").join("unet")).unwrap();
    let trainable = Trainable::All(&mut params);
    Layers::load_part(&backend, &files, plan(channels), "controlnet", trainable, fresh)?;
    Ok(params)
}

fn values(params: &Params<Cpu>, name: &str) -> Vec<f32> {
    let (id, _) = params.ids().zip(params.iter()).find(|(_, p)| p.name == name).expect(name);
    Cpu::new(1).unwrap().read(params.get(id))
}

#[test]
fn zero_layers_start_at_zero_and_others_within_the_bound_of_their_fan_in() {
    let tensors = plan(16).tensors();
    let of = |name: &str| tensors.iter().find(|t| t.name == name).unwrap().init;
    use fairhuman_diffusion::net::Init::{Constant, Uniform};
    for name in ["zero.0.weight", "zero.0.bias", "zero.1.weight", "zero.1.bias"] {
        assert_eq!(of(name), Constant(0.0), "{name}");
    }
    assert_eq!(of("hint.0.weight"), Uniform(1.0 / 27f32.sqrt()));
    assert_eq!(of("hint.0.bias"), Uniform(1.0 / 27f32.sqrt()));
}

#[test]
fn a_part_of_a_folder_is_read_and_the_rest_is_drawn() {
    let params = load(16, FRESH).unwrap();
    let files = WeightFiles::open(&folder("unet", "sd15").join("unet")).unwrap();
    let stored = files.get("conv_in.bias", &[16]).unwrap().to_f32();
    assert_eq!(values(&params, "controlnet.conv_in.bias"), stored);
    assert!(values(&params, "controlnet.zero.1.weight").iter().all(|&v| v == 0.0));
    let hint = values(&params, "controlnet.hint.0.weight");
    assert!(hint.iter().all(|v| v.abs() < 1.0 / 27f32.sqrt()) && hint.iter().any(|&v| v != 0.0));
    let other_seed = load(16, Fresh { seed: 4, ..FRESH }).unwrap();
    assert_ne!(values(&other_seed, "controlnet.hint.0.weight"), hint);
}

#[test]
fn tensors_that_are_neither_fresh_nor_there_are_refused_by_name() {
    let message = load(16, Fresh { prefixes: &["zero"], ..FRESH }).err().unwrap().to_string();
    assert!(message.contains("\"hint.0.weight\" is missing"), "{message}");
    let message = load(8, FRESH).err().unwrap().to_string();
    let expected = "\"conv_in.weight\" has shape [16, 4, 3, 3], the configuration needs [8, 4, 3, 3]";
    assert!(message.contains(expected), "{message}");
}
