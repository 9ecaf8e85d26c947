//! ControlNets and T2I-Adapters against diffusers: residuals, features, predictions, gradients of three
//! objectives, Gram matrices. The golden files are made by reference/control_golden.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::adapter::Adapter;
use fairhuman_diffusion::controlnet::{ControlNet, ControlNetInput, Start};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::unet::{Residuals, UNet, UNetInput};
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
use fairhuman_engine::{Backend, Cpu, ParamGrads, Params, Reference, Tape, Var};

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};
use crate::unet::{assert_agrees, by_name, cotangent, input};

const CASES: [(&str, usize); 3] = [("sd15", 4), ("sd2", 8), ("sdxl", 8)];

fn backend() -> Cpu {
    Cpu::new(2).unwrap()
}

/// The folder of a case's network.
fn part(case: &str, name: &str) -> PathBuf {
    folder("control", case).join(name)
}

fn control<B: Backend>(backend: &B, file: &WeightFiles) -> B::Tensor {
    tensor(backend, &channels_last(&get(file, "control")))
}

/// Compares `found` with the golden tensors `<kind>.<i>` and the middle's.
pub fn assert_residuals(what: &str, file: &WeightFiles, kind: &str, found: &Residuals<Cpu>) {
    let backend = backend();
    assert!(!file.contains(&format!("{kind}.{}", found.skips.len())), "{what}: too few residuals");
    let mid = if kind == "skip" { "mid".to_owned() } else { format!("{kind}.mid") };
    let names = (0..found.skips.len()).map(|i| format!("{kind}.{i}")).chain([mid]);
    for (name, var) in names.zip(found.skips.iter().chain(&found.mid)) {
        let expected = channels_last(&get(file, &name));
        match (kind, var.shape()) {
            // One value for all positions.
            ("pool", &[n, h, w, c]) => {
                let values = backend.read(var.value());
                for i in 0..n * h * w {
                    let from = i / (h * w) * c;
                    let expected = &expected.values[from..from + c];
                    assert_close(&format!("{what} {name}"), &values[i * c..(i + 1) * c], expected, 1e-4);
                }
            }
            (_, shape) => {
                assert_eq!(shape, expected.shape);
                let found = backend.read(var.value());
                assert_close(&format!("{what} {name}"), &found, &expected.values, 1e-4);
            }
        }
    }
}

#[test]
fn residuals_and_features_equal_diffusers() {
    for (case, reduction) in CASES {
        let (backend, params, file) = (backend(), Params::default(), open(&folder("control", case)));
        let unet = part(case, "unet");
        let net = ControlNet::load(&backend, &part(case, "controlnet"), &unet, Trainable::None).unwrap();
        let adapter = Adapter::load(&backend, &part(case, "adapter"), reduction, Trainable::None).unwrap();
        assert_eq!(net.config().reduction(), reduction);
        let mut tape = Tape::inference(&backend, &params);
        let hint = net.embed_hint(&mut tape, &control(&backend, &file)).unwrap();
        let input = input(&backend, &file);
        let residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
        assert_residuals(case, &file, "skip", &residuals);
        assert_residuals(case, &file, "guess", &residuals.scaled(&mut tape, 0.5, true));

        let features = adapter.forward(&mut tape, &control(&backend, &file)).unwrap();
        for (i, feature) in features.iter().enumerate() {
            let expected = channels_last(&get(&file, &format!("feature.{i}")));
            assert_eq!(feature.shape(), expected.shape);
            let found = backend.read(feature.value());
            assert_close(&format!("{case} feature {i}"), &found, &expected.values, 1e-4);
        }
        assert!(!file.contains(&format!("feature.{}", features.len())));
    }
}

/// A copy of a case's ControlNet with a changed configuration.
fn changed(case: &str, key: &str, value: impl Into<serde_json::Value>) -> tempfile::TempDir {
    let (from, to) = (part(case, "controlnet"), tempfile::tempdir().unwrap());
    let weights = "diffusion_pytorch_model.safetensors";
    std::fs::copy(from.join(weights), to.path().join(weights)).unwrap();
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config[key] = value.into();
    std::fs::write(to.path().join("config.json"), config.to_string()).unwrap();
    to
}

#[test]
fn a_network_that_pools_its_residuals_equals_diffusers_and_is_not_trained() {
    for (case, _) in CASES {
        let (backend, params, file) = (backend(), Params::default(), open(&folder("control", case)));
        let pools = changed(case, "global_pool_conditions", true);
        let net = ControlNet::load(&backend, pools.path(), &part(case, "unet"), Trainable::None).unwrap();
        let mut tape = Tape::inference(&backend, &params);
        let hint = net.embed_hint(&mut tape, &control(&backend, &file)).unwrap();
        let input = input(&backend, &file);
        let residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
        assert_residuals(case, &file, "pool", &residuals);
        let all = Trainable::All(&mut Params::default());
        let refused = ControlNet::load(&backend, pools.path(), &part(case, "unet"), all);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("global_pool_conditions"), "{refused}");
    }
}

#[test]
fn predictions_and_gradients_of_every_parameter_equal_diffusers() {
    for (case, reduction) in CASES {
        let (backend, file) = (backend(), open(&folder("control", case)));
        let mut params = Params::default();
        let folder = part(case, "unet");
        let unet = UNet::load(&backend, &folder, Trainable::None).unwrap();
        let all = Trainable::All(&mut params);
        let net = ControlNet::load(&backend, &part(case, "controlnet"), &folder, all).unwrap();
        let all = Trainable::All(&mut params);
        let adapter = Adapter::load(&backend, &part(case, "adapter"), reduction, all).unwrap();
        let mut before = None;
        for checkpointing in [false, true] {
            let mut tape = Tape::new(&backend, &params, checkpointing);
            let pixels = control(&backend, &file);
            let mut input: UNetInput<Cpu> = input(&backend, &file);
            let hint = net.embed_hint(&mut tape, &pixels).unwrap();
            let residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
            let residuals = residuals.scaled(&mut tape, 0.8, false);
            let features = adapter.forward(&mut tape, &pixels).unwrap();
            let features = Residuals { features, ..Residuals::default() }.scaled(&mut tape, 0.7, false);
            input.residuals = residuals.plus(&mut tape, features).unwrap();
            let prediction = unet.forward(&mut tape, &input).unwrap();
            let expected = channels_last(&get(&file, "prediction"));
            let values = backend.read(prediction.value());
            assert_close(case, &values, &expected.values, 1e-4);

            let (cotangent, lanes) = cotangent(&file, &values);
            let mut shape = expected.shape.clone();
            shape[0] = lanes.len();
            let mut grads = ParamGrads::new(&params, &lanes);
            tape.backward(&prediction, backend.tensor(&shape, &cotangent), &lanes, &[], &mut grads);
            let found = by_name(&backend, &params, &grads);
            assert_agrees(&file, &found, &grads.gram(&backend), "");
            let before = before.get_or_insert(found.clone());
            for (name, grad) in &found {
                assert_close(name, grad, &before[name], 1e-5);
            }
        }
    }
}

/// The prediction of a case's U-Net with what `net` adds, if anything.
fn predict<B: Backend>(
    backend: &B,
    unet: &UNet<B>,
    file: &WeightFiles,
    net: Option<&ControlNet<B>>,
) -> Vec<f32> {
    let params = Params::default();
    let mut tape = Tape::inference(backend, &params);
    let mut input = input(backend, file);
    if let Some(net) = net {
        let hint = net.embed_hint(&mut tape, &control(backend, file)).unwrap();
        input.residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
    }
    backend.read(unet.forward(&mut tape, &input).unwrap().value())
}

fn assert_starts_as_the_base<B: Backend>(backend: &B) {
    for (case, hint) in [("sd15", &[4, 6, 8][..]), ("sd2", &[3, 4, 4, 6]), ("sdxl", &[16, 32, 96, 256])] {
        let (folder, file) = (part(case, "unet"), open(&folder("control", case)));
        let unet = UNet::load(backend, &folder, Trainable::None).unwrap();
        let start =
            |start| ControlNet::from_unet(backend, &folder, hint, (start, 1), Trainable::None).unwrap();
        let plain = predict(backend, &unet, &file, None);
        assert_eq!(predict(backend, &unet, &file, Some(&start(Start::Zero))), plain, "{case}");
        assert_ne!(predict(backend, &unet, &file, Some(&start(Start::Random))), plain, "{case}");
    }
}

#[test]
fn a_copy_of_a_unet_changes_no_bit_of_its_prediction_until_it_is_trained() {
    assert_starts_as_the_base(&backend());
    assert_starts_as_the_base(&Reference);
}

#[test]
fn a_copy_of_a_unet_for_inpainting_takes_its_weights_for_the_latents() {
    let (backend, folder) = (backend(), tempfile::tempdir().unwrap());
    let from = part("sdxl", "unet");
    let files = WeightFiles::open(&from).unwrap();
    let (latents, others) = (4, 5);
    let tensors: Vec<_> = files.names().map(|name| (name, files.get_any_shape(name).unwrap())).collect();
    let conv = files.get_any_shape("conv_in.weight").unwrap();
    let (outputs, each) = (conv.shape()[0], latents * 9);
    let mut wide = Vec::new();
    for filter in conv.to_f32().chunks(each) {
        wide.extend_from_slice(filter);
        wide.extend((0..others * 9).map(|i| i as f32));
    }
    let shape = [outputs, latents + others, 3, 3];
    let content = tensors.iter().map(|(name, data)| match *name {
        "conv_in.weight" => ((*name).to_owned(), TensorBytes::f32(&shape, &wide)),
        _ => ((*name).to_owned(), TensorBytes::stored(data)),
    });
    let weights = folder.path().join("diffusion_pytorch_model.safetensors");
    write_safetensors(&weights, &content.collect(), &BTreeMap::new()).unwrap();
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["in_channels"] = (latents + others).into();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

    let values = |unet: &Path| {
        let mut params = Params::default();
        let all = Trainable::All(&mut params);
        let net = ControlNet::from_unet(&backend, unet, &[4, 4, 6, 6], (Start::Zero, 1), all).unwrap();
        assert_eq!(net.config().encoder.in_channels, latents);
        params.iter().map(|param| (param.name.clone(), backend.read(&param.value))).collect::<Vec<_>>()
    };
    assert!(values(folder.path()) == values(&from));
}

#[test]
fn in_the_first_step_only_the_last_convolutions_have_a_gradient() {
    let (backend, folder) = (backend(), part("sdxl", "unet"));
    let file = open(&crate::golden::folder("control", "sdxl"));
    let mut params = Params::default();
    let unet = UNet::load(&backend, &folder, Trainable::None).unwrap();
    let all = Trainable::All(&mut params);
    let net = ControlNet::from_unet(&backend, &folder, &[4, 4, 6, 6], (Start::Zero, 1), all).unwrap();
    let mut tape = Tape::new(&backend, &params, true);
    let mut input = input(&backend, &file);
    let hint = net.embed_hint(&mut tape, &control(&backend, &file)).unwrap();
    input.residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
    let prediction = unet.forward(&mut tape, &input).unwrap();
    let (cotangent, lanes) = cotangent(&file, &backend.read(prediction.value()));
    let mut shape = prediction.shape().to_vec();
    shape[0] = lanes.len();
    let mut grads = ParamGrads::new(&params, &lanes);
    tape.backward(&prediction, backend.tensor(&shape, &cotangent), &lanes, &[], &mut grads);
    for (name, grad) in by_name(&backend, &params, &grads) {
        let last = name.starts_with("controlnet.controlnet_down_blocks")
            || name.starts_with("controlnet.controlnet_mid_block");
        assert_eq!(grad.iter().any(|&g| g != 0.0), last, "{name}");
    }
}

#[test]
fn inputs_of_wrong_shape_are_refused_by_name() {
    let (backend, params) = (backend(), Params::default());
    let (folder, file) = (part("sdxl", "unet"), open(&folder("control", "sdxl")));
    let net = ControlNet::load(&backend, &part("sdxl", "controlnet"), &folder, Trainable::None).unwrap();
    let adapter = Adapter::load(&backend, &part("sdxl", "adapter"), 8, Trainable::None).unwrap();
    let mut tape = Tape::inference(&backend, &params);
    let hint = net.embed_hint(&mut tape, &backend.zeros(&[3, 80, 44, 3])).err().unwrap().to_string();
    assert!(hint.contains("control image has shape [3, 80, 44, 3]"), "{hint}");
    assert!(hint.contains("multiples of 8"), "{hint}");
    let other = Var::constant(backend.zeros(&[3, 4, 4, 8]));
    let input = input(&backend, &file);
    let other = net.forward(&mut tape, &ControlNetInput::of(&input, &other)).err().unwrap().to_string();
    assert!(other.contains("[3, 10, 6, 8]: a control image of 48x80 pixels each"), "{other}");
    let odd = adapter.forward(&mut tape, &backend.zeros(&[1, 24, 32, 3])).err().unwrap().to_string();
    assert!(odd.contains("H and W multiples of 16"), "{odd}");
}
