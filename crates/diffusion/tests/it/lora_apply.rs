//! LoRAs on a network: fresh ones, files attached and merged, and files written again.

use std::path::Path;

use fairhuman_diffusion::lora::{LoraInit, LoraSpec};
use fairhuman_diffusion::lora_file::{Convention, LoraFile, read_lora, write_lora};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape};

use crate::golden::{assert_close, distance, folder, get, open};
use crate::unet::{input, lora_of};

const CASE: &str = "sd15";

fn spec(targets: &[&str]) -> LoraSpec {
    LoraSpec {
        rank: 4,
        alpha: 2.0,
        targets: targets.iter().map(|t| (*t).into()).collect(),
        init: LoraInit::Gaussian,
        seed: 5,
    }
}

fn load(backend: &Cpu, folder: &Path) -> UNet<Cpu> {
    UNet::load(backend, folder, Trainable::None).unwrap()
}

fn predict(backend: &Cpu, unet: &UNet<Cpu>, params: &Params<Cpu>) -> Vec<f32> {
    let input = input(backend, &open(&folder("unet", CASE)));
    let prediction = unet.forward(&mut Tape::new(backend, params, false), &input).unwrap();
    backend.read(prediction.value())
}

/// The case's LoRA, and the prediction with it at `weight`.
fn attached(backend: &Cpu, files: &[(&LoraFile, f32)]) -> Vec<f32> {
    let mut params = Params::default();
    let mut unet = load(backend, &folder("unet", CASE).join("unet"));
    unet.attach_lora(backend, &mut params, files).unwrap();
    predict(backend, &unet, &params)
}

#[test]
fn a_fresh_lora_changes_nothing_and_depends_on_seed_and_module_alone() {
    let backend = Cpu::new(2).unwrap();
    let base = folder("unet", CASE).join("unet");
    let fresh = |targets: &[&str]| {
        let mut params = Params::default();
        let mut unet = load(&backend, &base);
        let modules = unet.add_lora(&backend, &mut params, &spec(targets)).unwrap();
        (unet, params, modules)
    };
    let (unet, params, modules) = fresh(&["to_q", "to_out.0", "conv1", "ff.net.0.proj"]);
    let plain = predict(&backend, &load(&backend, &base), &Params::default());
    assert_close("prediction", &predict(&backend, &unet, &params), &plain, 1e-6);

    let (_, fewer, only) = fresh(&["conv1"]);
    let twin = modules.iter().find(|m| m.module == only[0].module).unwrap();
    assert_eq!(backend.read(params.get(twin.down)), backend.read(fewer.get(only[0].down)));
    assert_ne!(backend.read(fewer.get(only[0].down)), backend.read(fewer.get(only[1].down)));
    let name = "lora.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_B.weight";
    assert!(params.iter().any(|p| p.name == name));
    let q = modules.iter().find(|m| m.module.ends_with("to_q")).unwrap();
    let a = backend.read(params.get(q.down));
    let deviation = (a.iter().map(|v| v * v).sum::<f32>() / a.len() as f32).sqrt();
    assert!((0.15..0.35).contains(&deviation), "gaussian A of rank 4 has deviation 1/4, not {deviation}");
}

#[test]
fn targets_that_name_nothing_and_second_loras_are_refused() {
    let backend = Cpu::new(1).unwrap();
    let mut params = Params::default();
    let mut unet = load(&backend, &folder("unet", CASE).join("unet"));
    let refused = |unet: &mut UNet<Cpu>, params: &mut _, spec| {
        unet.add_lora(&backend, params, &spec).err().unwrap().to_string()
    };
    assert!(refused(&mut unet, &mut params, spec(&["to_q", "to_x"])).contains("\"to_x\""));
    assert!(refused(&mut unet, &mut params, spec(&["o_q"])).contains("\"o_q\""));
    assert!(refused(&mut unet, &mut params, LoraSpec { rank: 0, ..spec(&["to_q"]) }).contains("rank 0"));
    unet.add_lora(&backend, &mut params, &spec(&["to_q"])).unwrap();
    assert!(refused(&mut unet, &mut params, spec(&["attn1.to_q"])).contains("already has a LoRA"));
}

#[test]
fn a_file_of_another_model_is_refused_by_module() {
    let backend = Cpu::new(1).unwrap();
    let other = open(&folder("unet", "sdxl"));
    let lora = lora_of(&other, 4.0);
    let mut unet = load(&backend, &folder("unet", CASE).join("unet"));
    let message =
        unet.attach_lora(&backend, &mut Params::default(), &[(&lora, 1.0)]).err().unwrap().to_string();
    assert!(message.contains("another base model"), "{message}");
}

#[test]
fn exported_files_give_the_same_prediction_in_every_convention() {
    let backend = Cpu::new(2).unwrap();
    let golden = open(&folder("unet", CASE));
    let lora = lora_of(&golden, 6.0);
    let mut params = Params::default();
    let mut unet = load(&backend, &folder("unet", CASE).join("unet"));
    let modules = unet.attach_lora(&backend, &mut params, &[(&lora, 1.0)]).unwrap();
    let mut exported = unet.export_lora(&backend, &params, &modules, DType::F32).unwrap();
    assert_eq!(exported.modules, lora.modules);

    let expected = predict(&backend, &unet, &params);
    let layout = unet.config().lora_layout();
    for convention in [Convention::Kohya, Convention::Peft, Convention::OldDiffusers] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lora.safetensors");
        exported.metadata.clear();
        write_lora(&path, &exported, convention, &layout).unwrap();
        let read = read_lora(&path, &unet.lora_modules(), &layout).unwrap();
        assert_close(&format!("{convention:?}"), &attached(&backend, &[(&read, 1.0)]), &expected, 1e-5);
    }
}

#[test]
fn weights_add_up() {
    let backend = Cpu::new(2).unwrap();
    let golden = open(&folder("unet", CASE));
    let lora = lora_of(&golden, 6.0);
    let half = attached(&backend, &[(&lora, 0.5)]);
    assert_close("two quarters", &attached(&backend, &[(&lora, 0.25), (&lora, 0.25)]), &half, 1e-5);
    assert!(distance(&half, &attached(&backend, &[(&lora, 1.0)])) > 1e-2);

    let plain = attached(&backend, &[]);
    assert!(distance(&plain, &half) > 1e-2);
    assert_close("golden", &attached(&backend, &[(&lora, 1.0)]), &golden_prediction(&golden), 1e-4);
}

fn golden_prediction(file: &fairhuman_diffusion::weights::WeightFiles) -> Vec<f32> {
    crate::golden::channels_last(&get(file, "prediction")).values
}
