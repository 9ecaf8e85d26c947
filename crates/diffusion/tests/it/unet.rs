//! U-Nets against diffusers and PEFT: predictions, gradients of three objectives, Gram matrices.
//! The golden files are made by reference/unet_golden.py.

use std::collections::BTreeMap;

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};
use fairhuman_diffusion::lora_file::{LoraFile, LoraModule, LoraTensor};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::{Added, Residuals, TextContext, UNet, UNetInput};
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, DType, Lanes, ParamGrads, Params, Tape, Var};

fn backend() -> Cpu {
    Cpu::new(2).unwrap()
}

pub fn input<B: Backend>(backend: &B, file: &WeightFiles) -> UNetInput<B> {
    let added = file.contains("pooled").then(|| Added {
        pooled: Var::constant(tensor(backend, &get(file, "pooled"))),
        time_ids: get(file, "time_ids").values.as_chunks::<6>().0.to_vec(),
    });
    UNetInput {
        latents: tensor(backend, &channels_last(&get(file, "latents"))),
        timesteps: get(file, "timesteps").values,
        text: Var::constant(tensor(backend, &get(file, "text"))).into(),
        added,
        residuals: Residuals::default(),
    }
}

pub fn lora_of(file: &WeightFiles, alpha: f32) -> LoraFile {
    let mut lora = LoraFile::default();
    for name in file.names().filter(|n| !n.starts_with("grad.")) {
        let Some(module) = name.strip_suffix(".lora_A.weight") else { continue };
        let factor = |name: String| {
            let golden = get(file, &name);
            LoraTensor { dtype: DType::F32, shape: golden.shape, data: golden.values }
        };
        let (down, up) = (factor(name.into()), factor(format!("{module}.lora_B.weight")));
        lora.modules.insert(format!("unet.{module}"), LoraModule { down, up, alpha });
    }
    lora
}

/// Cotangents of the objectives global, face and hand, lane by lane, and the lanes.
pub fn cotangent(file: &WeightFiles, prediction: &[f32]) -> (Vec<f32>, Lanes) {
    let target = channels_last(&get(file, "target"));
    let &[n, h, w, c] = target.shape.as_slice() else { panic!() };
    let masks = [None, Some(get(file, "mask_face").values), Some(get(file, "mask_hand").values)];
    let mut present = Vec::new();
    let mut values = Vec::new();
    for mask in &masks {
        let weight = |sample: usize, position: usize| {
            mask.as_ref().map_or(1.0, |m| 25.0 * m[sample * h * w + position])
        };
        let seen: Vec<usize> = (0..n).filter(|&s| (0..h * w).any(|p| weight(s, p) > 0.0)).collect();
        for &sample in &seen {
            for position in 0..h * w {
                for channel in 0..c {
                    let i = (sample * h * w + position) * c + channel;
                    let error = prediction[i] - target.values[i];
                    values.push(2.0 * weight(sample, position) * error / (n * h * w * c) as f32);
                }
            }
        }
        present.push(seen);
    }
    (values, Lanes::new(n, &present))
}

/// Gradients `[3, ...]` in the files' layout by parameter, and the Gram matrix.
fn gradients(
    backend: &Cpu,
    unet: &UNet<Cpu>,
    params: &Params<Cpu>,
    file: &WeightFiles,
    checkpointing: bool,
) -> (BTreeMap<String, Vec<f32>>, Vec<f64>) {
    let mut tape = Tape::new(backend, params, checkpointing);
    let prediction = unet.forward(&mut tape, &input(backend, file)).unwrap();
    let expected = channels_last(&get(file, "prediction"));
    assert_eq!(prediction.shape(), expected.shape);
    let values = backend.read(prediction.value());
    assert_close("prediction", &values, &expected.values, 1e-4);

    let (cotangent, lanes) = cotangent(file, &values);
    let mut shape = expected.shape.clone();
    shape[0] = lanes.len();
    let mut grads = ParamGrads::new(params, &lanes);
    tape.backward(&prediction, backend.tensor(&shape, &cotangent), &lanes, &[], &mut grads);
    (by_name(backend, params, &grads), grads.gram(backend))
}

/// Gradients in the files' layout by parameter.
pub fn by_name(backend: &Cpu, params: &Params<Cpu>, grads: &ParamGrads<Cpu>) -> BTreeMap<String, Vec<f32>> {
    let mut by_name = BTreeMap::new();
    for (id, param) in params.ids().zip(params.iter()) {
        let grad = grads.get(id).unwrap_or_else(|| panic!("no gradient for {}", param.name));
        let shape = Cpu::shape(grad);
        let values = backend.read(grad);
        let values = match *shape {
            [k, o, kh, kw, i] => channels_last_to_first(&values, k * o, kh * kw, i),
            _ => values,
        };
        by_name.insert(param.name.clone(), values);
    }
    by_name
}

fn channels_last_to_first(values: &[f32], filters: usize, taps: usize, inputs: usize) -> Vec<f32> {
    let index = |f: usize, i: usize, t: usize| values[(f * taps + t) * inputs + i];
    let filter = |f| (0..inputs).flat_map(move |i| (0..taps).map(move |t| (f, i, t)));
    (0..filters).flat_map(filter).map(|(f, i, t)| index(f, i, t)).collect()
}

pub fn assert_agrees(file: &WeightFiles, grads: &BTreeMap<String, Vec<f32>>, gram: &[f64], prefix: &str) {
    let expected: Vec<&str> = file.names().filter_map(|n| n.strip_prefix("grad.")).collect();
    assert_eq!(grads.len(), expected.len());
    for name in expected {
        let golden = get(file, &format!("grad.{name}"));
        let scale = golden.values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let found = &grads[&format!("{prefix}{name}")];
        if scale > 1e-7 {
            assert_close(name, found, &golden.values, 1e-3);
        } else {
            // Biases before a normalisation: the gradient is zero but for rounding.
            let noise = |v: &f32| v.is_finite() && v.abs() < 1e-6;
            assert!(found.iter().all(noise), "{name}: expected rounding noise, found {found:?}");
        }
    }
    let gram: Vec<f32> = gram.iter().map(|&v| v as f32).collect();
    assert_close("Gram matrix", &gram, &get(file, "gram").values, 1e-3);
}

fn check_lora_case(case: &str) {
    let (backend, folder) = (backend(), folder("unet", case));
    let file = open(&folder);
    let settings: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let lora = lora_of(&file, settings["alpha"].as_f64().unwrap() as f32);
    let mut params = Params::default();
    let mut unet = UNet::load(&backend, &folder.join("unet"), Trainable::None).unwrap();
    unet.attach_lora(&backend, &mut params, &[(&lora, 1.0)]).unwrap();
    let (grads, gram) = gradients(&backend, &unet, &params, &file, false);
    assert_agrees(&file, &grads, &gram, "lora.");
    let (again, _) = gradients(&backend, &unet, &params, &file, true);
    for (name, grad) in &grads {
        assert_close(name, &again[name], grad, 1e-5);
    }
}

#[test]
fn an_sd15_network_with_lora_on_layers_and_convolutions_equals_diffusers() {
    check_lora_case("sd15");
}

#[test]
fn an_sd2_network_equals_diffusers_at_sizes_that_do_not_halve_evenly() {
    check_lora_case("sd2");
}

#[test]
fn an_sdxl_network_equals_diffusers() {
    check_lora_case("sdxl");
}

#[test]
fn a_text_that_was_read_before_changes_nothing() {
    for case in ["sdxl", "rare"] {
        let (backend, folder) = (backend(), folder("unet", case));
        let file = open(&folder);
        let (mut params, lora) = (Params::default(), lora_of(&file, 4.0));
        let mut unet = UNet::load(&backend, &folder.join("unet"), Trainable::None).unwrap();
        unet.attach_lora(&backend, &mut params, &[(&lora, 1.0)]).unwrap();
        let embeddings = tensor(&backend, &get(&file, "text"));
        let predict = |text: TextContext<Cpu>| {
            let input = UNetInput { text, ..input(&backend, &file) };
            let prediction = unet.forward(&mut Tape::new(&backend, &params, false), &input)?;
            Ok::<_, ModelError>(backend.read(prediction.value()))
        };
        let keys = unet.cache_text(&backend, &params, &embeddings).unwrap();
        let expected = predict(Var::constant(embeddings).into()).unwrap();
        assert_eq!(predict(TextContext::Cached(keys)).unwrap(), expected);

        let other = unet.cache_text(&backend, &params, &backend.zeros(&[5, 3, unet.config().text_width]));
        let refused = predict(TextContext::Cached(other.unwrap())).unwrap_err().to_string();
        assert!(refused.contains("text that was read") && refused.contains('5'), "{refused}");
        let narrow = unet.cache_text(&backend, &params, &backend.zeros(&[1, 3, 7])).err().unwrap();
        assert!(narrow.to_string().contains("text has shape [1, 3, 7]"), "{narrow}");
    }
}

#[test]
fn gradients_of_every_parameter_equal_diffusers_where_rare_settings_are_used() {
    let (backend, folder) = (backend(), folder("unet", "rare"));
    let file = open(&folder);
    let mut params = Params::default();
    let unet = UNet::load(&backend, &folder.join("unet"), Trainable::All(&mut params)).unwrap();
    let (grads, gram) = gradients(&backend, &unet, &params, &file, false);
    assert_agrees(&file, &grads, &gram, "unet.");
}

/// The sdxl case's model in a new folder, with its config changed.
fn changed_config(
    change: impl Fn(&mut serde_json::Value),
) -> (tempfile::TempDir, Result<UNet<Cpu>, ModelError>) {
    let (from, to) = (folder("unet", "sdxl").join("unet"), tempfile::tempdir().unwrap());
    let weights = "diffusion_pytorch_model.safetensors";
    std::fs::copy(from.join(weights), to.path().join(weights)).unwrap();
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    change(&mut config);
    std::fs::write(to.path().join("config.json"), config.to_string()).unwrap();
    let unet = UNet::load(&backend(), to.path(), Trainable::None);
    (to, unet)
}

#[test]
fn settings_that_change_the_mathematics_and_are_not_supported_are_refused_by_name() {
    for (key, value) in [
        ("resnet_time_scale_shift", serde_json::json!("scale_shift")),
        ("class_embed_type", serde_json::json!("timestep")),
        ("center_input_sample", serde_json::json!(true)),
        ("dual_cross_attention", serde_json::json!(true)),
        ("time_cond_proj_dim", serde_json::json!(64)),
        ("act_fn", serde_json::json!("gelu")),
        ("encoder_hid_dim_type", serde_json::json!("image_proj")),
        ("norm_num_groups", serde_json::json!(null)),
        ("some_new_key", serde_json::json!(3)),
    ] {
        let (_kept, result) = changed_config(|c| c[key] = value.clone());
        let message = result.err().unwrap_or_else(|| panic!("{key} was accepted")).to_string();
        assert!(message.contains(key) && message.contains("config.json"), "{message}");
    }
}

#[test]
fn weights_that_do_not_fit_the_config_are_refused_by_tensor() {
    let message = |key: &str, value| {
        let (_kept, result) = changed_config(|c| c[key] = serde_json::Value::clone(&value));
        result.err().unwrap_or_else(|| panic!("{key} was accepted")).to_string()
    };
    assert!(message("cross_attention_dim", 32.into()).contains("to_k.weight"));
    assert!(message("transformer_layers_per_block", 4.into()).contains("transformer_blocks.2"));
    assert!(message("transformer_layers_per_block", 1.into()).contains("no place"));
}

#[test]
fn inputs_of_wrong_shape_are_refused_by_name() {
    let (backend, folder) = (backend(), folder("unet", "sdxl"));
    let file = open(&folder);
    let unet = UNet::load(&backend, &folder.join("unet"), Trainable::None).unwrap();
    let params = Params::default();
    let refused = |change: &dyn Fn(&mut UNetInput<Cpu>)| {
        let mut input = input(&backend, &file);
        change(&mut input);
        unet.forward(&mut Tape::new(&backend, &params, false), &input).err().unwrap().to_string()
    };
    assert!(
        refused(&|i| i.latents = backend.zeros(&[3, 8, 8, 5])).contains("latents has shape [3, 8, 8, 5]")
    );
    assert!(
        refused(&|i| i.text = Var::constant(backend.zeros(&[3, 5, 12])).into()).contains("text has shape")
    );
    assert!(refused(&|i| i.timesteps = vec![1.0]).contains("timesteps"));
    assert!(refused(&|i| i.added = None).contains("added conditions"));
}
