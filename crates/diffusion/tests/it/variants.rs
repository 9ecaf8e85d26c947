//! Models with a part of their own choice: another autoencoder, an earlier layer of the text encoder; and
//! checkpoints of eight-bit weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::clip::ClipText;
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::single_file::{About, Changes, Missing, write_file, write_folder, write_variant};
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::{Part, TensorBytes, Viewed, WeightFiles, write_safetensors};
use fairhuman_engine::{Backend, Cpu, Params, Tape};
use serde_json::{Map, Value, json};

use crate::golden::{assert_close, distance};
use crate::pictures::copy;

/// A small model of SD 1.x, with a folder for its tokenizer.
fn model(to: &Path) -> PathBuf {
    let folder = to.join("folder");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sampler/sd"), &folder);
    std::fs::create_dir_all(folder.join("tokenizer")).unwrap();
    let config = folder.join("text_encoder/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"gelu\"", "\"quick_gelu\"")).unwrap();
    folder
}

fn text(folder: &Path) -> Vec<f32> {
    let backend = Cpu::new(1).unwrap();
    let encoder = ClipText::load(&backend, folder, "text_encoder", Trainable::None).unwrap();
    let params = Params::default();
    let output = encoder.forward(&mut Tape::inference(&backend, &params), &[vec![1, 2, 3]]).unwrap();
    backend.read(output.last.value())
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_skipped_layer_is_one_that_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    let (folder, out) = (model(place.path()), place.path().join("out"));
    let plain = text(&folder.join("text_encoder"));
    let changes = |clip_skip| Changes { clip_skip: Some(clip_skip), vae: None };
    write_variant(&folder, &changes(1), &out).unwrap();
    assert_eq!(text(&out.join("text_encoder")), plain);
    write_variant(&folder, &changes(2), &out).unwrap();
    let skipped = text(&out.join("text_encoder"));
    assert!(distance(&skipped, &plain) > 1e-3);

    // The same encoder without its last layer.
    let path = folder.join("text_encoder/config.json");
    let mut config = json_of(&path);
    let layers = config["num_hidden_layers"].as_u64().unwrap();
    config["num_hidden_layers"] = json!(layers - 1);
    let short = place.path().join("short");
    std::fs::create_dir(&short).unwrap();
    std::fs::write(short.join("config.json"), config.to_string()).unwrap();
    let files = WeightFiles::open(&folder.join("text_encoder")).unwrap();
    let last = format!("text_model.encoder.layers.{}.", layers - 1);
    let kept: Vec<(String, _)> = files
        .names()
        .filter(|name| !name.contains(&last) && !name.ends_with("position_ids"))
        .map(|name| (name.to_owned(), files.get_any_shape(name).unwrap()))
        .collect();
    let tensors: BTreeMap<String, TensorBytes<'_>> =
        kept.iter().map(|(name, data)| (name.clone(), TensorBytes::stored(data))).collect();
    write_safetensors(&short.join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    assert_eq!(text(&short), skipped);

    let error = write_variant(&folder, &changes(layers as usize + 1), &out).unwrap_err().to_string();
    assert!(error.contains("clip_skip") && error.contains("layers"), "{error}");
}

/// Bytes of values in eight bits: the nearest of all 256, which is slow and plain.
fn eight_bits(values: &[f32], scale: f32) -> Vec<u8> {
    let value = |byte: u8| {
        let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7));
        let size =
            if exponent == 0 { mantissa / 512.0 } else { (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7) };
        if byte & 0x80 == 0 { size } else { -size }
    };
    let finite: Vec<(u8, f32)> =
        (0..=255u8).filter(|byte| byte & 0x7f != 0x7f).map(|byte| (byte, scale * value(byte))).collect();
    let nearest =
        |v: &f32| finite.iter().min_by(|a, b| (a.1 - v).abs().total_cmp(&(b.1 - v).abs())).unwrap().0;
    values.iter().map(nearest).collect()
}

/// A safetensors file of tensors in any type.
fn write_raw(path: &Path, tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) {
    let (mut header, mut body) = (Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [body.len(), body.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        body.extend_from_slice(bytes);
    }
    let header = Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &body].concat();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn eight_bit_checkpoints_are_read_with_and_without_scales() {
    let place = tempfile::tempdir().unwrap();
    let folder = model(place.path());
    let whole = place.path().join("whole.safetensors");
    let about = About { title: "small".into(), date: "2026-01-01".into(), resolution: (64, 64) };
    write_file(&folder, &whole, &about).unwrap();
    let files = WeightFiles::open_file(&whole).unwrap();
    let own = WeightFiles::open(&folder.join("unet")).unwrap();
    for scale in [1.0, 0.01f32] {
        let mut tensors = Vec::new();
        for name in files.names() {
            let data = files.get_any_shape(name).unwrap();
            let is_matrix = name.starts_with("model.diffusion_model.") && data.shape().len() > 1;
            if is_matrix && name.ends_with(".weight") {
                let bytes = eight_bits(&data.to_f32(), scale);
                tensors.push((name.to_owned(), "F8_E4M3", data.shape().to_vec(), bytes));
                if scale != 1.0 {
                    let scaled = name.replace(".weight", ".scale_weight");
                    tensors.push((scaled, "F32", vec![], scale.to_le_bytes().to_vec()));
                }
            } else {
                let bytes = data.to_f32().iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((name.to_owned(), "F32", data.shape().to_vec(), bytes));
            }
        }
        if scale != 1.0 {
            tensors.push(("model.diffusion_model.scaled_fp8".into(), "F8_E4M3", vec![0], vec![]));
        }
        let (small, out) = (place.path().join("small.safetensors"), place.path().join("out"));
        write_raw(&small, &tensors);
        let merges = [("a".to_owned(), "b</w>".to_owned())];
        let missing = Missing { base: Some(&folder), vae: None, predicts: None, merges: &merges };
        write_folder(&small, &missing, &out).unwrap();
        let unet = WeightFiles::open(&out.join("unet")).unwrap();
        for name in own.names() {
            let (expected, found) = (own.get_any_shape(name).unwrap(), unet.get_any_shape(name).unwrap());
            // Three bits of mantissa; smaller numbers than 2^-9 are lost.
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= a.abs() / 15.0 + scale / 512.0;
            assert!(expected.to_f32().iter().zip(&found.to_f32()).all(close), "{name}");
        }
    }
}

#[test]
fn scales_of_eight_bit_values_have_any_type_of_float_and_are_one_number() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("small.safetensors");
    let read = |dtype: &str, shape: Vec<usize>, bytes: Vec<u8>| {
        let weight = ("w.weight".to_owned(), "F8_E4M3", vec![2], vec![0x38, 0x40]);
        write_raw(&path, &[weight, ("w.scale_weight".into(), dtype, shape, bytes)]);
        let (name, scale) = ("w.weight".to_owned(), Some("w.scale_weight".to_owned()));
        let viewed = Viewed { name: name.clone(), shape: vec![2], part: Part::Whole, scale };
        let files = WeightFiles::open_file(&path).unwrap().viewed(&BTreeMap::from([(name, viewed)]))?;
        files.get_any_shape("w.weight").map(|data| data.to_f32())
    };
    for (dtype, bytes) in
        [("F32", 0.5f32.to_le_bytes().to_vec()), ("F16", vec![0x00, 0x38]), ("BF16", vec![0x00, 0x3f])]
    {
        for shape in [vec![], vec![1]] {
            assert_eq!(read(dtype, shape, bytes.clone()).unwrap(), [0.5, 1.0], "{dtype}");
        }
    }
    for (dtype, bytes) in [("F32", vec![0; 8]), ("I16", vec![0; 4])] {
        let error = read(dtype, vec![2], bytes).unwrap_err().to_string();
        assert!(error.contains("w.scale_weight") && error.contains("[2]"), "{error}");
    }
}

#[test]
fn an_autoencoder_is_taken_from_a_folder_or_a_model() {
    let place = tempfile::tempdir().unwrap();
    let (folder, out) = (model(place.path()), place.path().join("out"));
    let other = place.path().join("other");
    copy(&folder, &other);
    let file = other.join("vae/diffusion_pytorch_model.safetensors");
    let files = WeightFiles::open_file(&file).unwrap();
    let doubled: Vec<(String, Vec<usize>, Vec<f32>)> = files
        .names()
        .map(|name| {
            let data = files.get_any_shape(name).unwrap();
            (name.to_owned(), data.shape().to_vec(), data.to_f32().iter().map(|v| 2.0 * v).collect())
        })
        .collect();
    let tensors = doubled.iter().map(|(name, shape, values)| (name.clone(), TensorBytes::f32(shape, values)));
    write_safetensors(&place.path().join("doubled"), &tensors.collect(), &BTreeMap::new()).unwrap();
    drop(files);
    std::fs::rename(place.path().join("doubled"), &file).unwrap();
    let backend = Cpu::new(1).unwrap();
    let bias = |folder: &Path| {
        AutoencoderKl::load(&backend, &folder.join("vae"), Trainable::None).unwrap();
        WeightFiles::open(&folder.join("vae"))
            .unwrap()
            .get_any_shape("decoder.conv_in.bias")
            .unwrap()
            .to_f32()
    };
    let wanted: Vec<f32> = bias(&folder).iter().map(|v| 2.0 * v).collect();
    for vae in [other.clone(), other.join("vae")] {
        write_variant(&folder, &Changes { vae: Some(&vae), clip_skip: None }, &out).unwrap();
        assert_close("bias", &bias(&out), &wanted, 1e-6);
    }
    // The U-Net and the text are the model's own.
    assert_eq!(text(&out.join("text_encoder")), text(&folder.join("text_encoder")));
    let lora = place.path().join("lora.safetensors");
    write_raw(&lora, &[("lora_unet_x.alpha".into(), "F32", vec![], vec![0; 4])]);
    let error = write_variant(&folder, &Changes { vae: Some(&lora), clip_skip: None }, &out).unwrap_err();
    assert!(error.to_string().contains("is no autoencoder"), "{error}");
}
