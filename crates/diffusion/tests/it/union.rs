//! ControlNetUnion against diffusers, from a folder and from one file; the golden files are made by
//! reference/union_golden.py.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::controlnet::{ControlNet, ControlNetConfig, ControlNetInput, control_type};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::Residuals;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, Params, Tape};
use serde_json::Value;

use crate::control::assert_residuals;
use crate::golden::{channels_last, distance, folder, get, open, tensor};
use crate::unet::input;

fn network() -> PathBuf {
    folder("control", "union").join("controlnet")
}

/// The U-Net that the network is for.
fn unet() -> PathBuf {
    folder("control", "sdxl").join("unet")
}

fn load(backend: &Cpu, path: &Path) -> ControlNet<Cpu> {
    ControlNet::load(backend, path, &unet(), Trainable::None).unwrap()
}

/// Residuals with the first images of the golden file, as many as there are types, at `weight`.
fn residuals(
    net: &ControlNet<Cpu>,
    file: &WeightFiles,
    types: &[usize],
    (weight, guess): (f32, bool),
) -> Result<Residuals<Cpu>, ModelError> {
    let (backend, params) = (Cpu::new(2).unwrap(), Params::default());
    let mut tape = Tape::inference(&backend, &params);
    let image = |i: usize| tensor(&backend, &channels_last(&get(file, &format!("control.{i}"))));
    let images: Vec<_> = (0..types.len().max(1)).map(image).collect();
    let hint = net.embed_hints(&mut tape, &images, types)?;
    let input = input(&backend, file);
    let input = ControlNetInput { types, ..ControlNetInput::of(&input, &hint) };
    Ok(net.forward(&mut tape, &input)?.scaled(&mut tape, weight, guess))
}

#[test]
fn residuals_of_one_and_of_two_types_equal_diffusers_from_a_folder_and_from_a_file() {
    let (backend, file) = (Cpu::new(2).unwrap(), open(&folder("control", "union")));
    let (canny, tile) = (control_type("mlsd").unwrap(), control_type("6").unwrap());
    for path in [network(), network().join("diffusion_pytorch_model.safetensors")] {
        let net = load(&backend, &path);
        let of = |types: &[usize], scale| residuals(&net, &file, types, scale).unwrap();
        assert_residuals("one type", &file, "one", &of(&[canny], (1.0, false)));
        assert_residuals("two types", &file, "two", &of(&[canny, tile], (1.0, false)));
        let (two, turned) = (of(&[canny, tile], (1.0, false)), of(&[tile, canny], (1.0, false)));
        let middle = |residuals: Residuals<Cpu>| backend.read(residuals.mid.unwrap().value());
        assert!(distance(&middle(turned), &middle(two)) > 0.1, "each image has its type");
        assert_residuals("guess mode", &file, "guess", &of(&[canny, tile], (0.5, true)));
    }
}

#[test]
fn types_that_a_network_has_not_are_refused_with_those_that_it_has() {
    let (backend, file) = (Cpu::new(2).unwrap(), open(&folder("control", "union")));
    let net = load(&backend, &network());
    let told = |types: &[usize]| residuals(&net, &file, types, (1.0, false)).err().unwrap().to_string();
    assert!(
        told(&[]).contains("are needed, one for each image") && told(&[]).contains("tile"),
        "{}",
        told(&[])
    );
    assert!(told(&[8]).contains("number 8, counted from 0"), "{}", told(&[8]));
    let plain = load(&backend, &folder("control", "sdxl").join("controlnet"));
    let plain = residuals(&plain, &file, &[0], (1.0, false)).err().unwrap().to_string();
    assert!(plain.contains("no ControlNetUnion"), "{plain}");
    assert_eq!([control_type("depth"), control_type("7"), control_type("deep")], [Some(1), Some(7), None]);
}

#[test]
fn a_union_is_not_trained() {
    let (backend, mut params) = (Cpu::new(2).unwrap(), Params::default());
    let trained = ControlNet::load(&backend, &network(), &unet(), Trainable::All(&mut params));
    let refused = trained.err().unwrap().to_string();
    assert!(refused.contains("is a ControlNetUnion: such networks are used, but not trained"), "{refused}");
}

#[test]
fn settings_of_a_union_that_contradict_each_other_are_refused_by_key() {
    let path = network().join("config.json");
    let config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value) in [
        ("num_trans_channel", 12.into()),
        ("num_proj_channel", 12.into()),
        ("num_control_type", 0.into()),
        ("addition_time_embed_dim", Value::Null),
        ("num_trans_depth", 1.into()),
    ] {
        let mut config = config.clone();
        config[key] = value;
        let told = ControlNetConfig::from_value(&path, config).err().unwrap().to_string();
        assert!(told.contains(key) && told.contains("config.json"), "{told}");
    }
    // The class of the original code, whose number of heads has no effect.
    let mut original = config.clone();
    original["_class_name"] = "ControlNetModel_Union".into();
    original.as_object_mut().unwrap().remove("num_trans_head");
    let read = |config| ControlNetConfig::from_value(&path, config).unwrap().union.unwrap();
    assert_eq!(read(original), read(config));
}
