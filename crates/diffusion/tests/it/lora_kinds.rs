//! Adapters of other kinds than LoRA: the weights that LyCORIS and PEFT make of them, and a network with
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::lora_file::{LoraFile, UnetLayout, read_lora};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::unet::UNet;
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape};

use crate::golden::{assert_close, distance, folder, open};
use crate::unet::input;

const MODULE: &str = "unet.mid_block.attentions.0.proj_in";

fn golden() -> WeightFiles {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lora/kinds.safetensors");
    WeightFiles::open_file(&file).unwrap()
}

fn layout() -> UnetLayout {
    let config = folder("unet", "sd15").join("unet/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    UnetLayout::from_config(&config, &serde_json::from_str(&text).unwrap()).unwrap()
}

/// Shape and values of tensors by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn write(path: &Path, tensors: &Tensors) {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let of = |(name, shape, bytes): &(&String, &Vec<usize>, Vec<u8>)| {
        ((*name).clone(), TensorBytes { dtype: DType::F32, shape: kept(shape), bytes: kept(bytes) })
    };
    write_safetensors(path, &bytes.iter().map(of).collect(), &BTreeMap::new()).unwrap();
}

/// A test's data may live to its end.
fn kept<T: Clone>(values: &[T]) -> &'static [T] {
    Box::leak(values.to_vec().into_boxed_slice())
}

/// A case's tensors under a module's name.
fn case(file: &WeightFiles, name: &str, prefix: &str) -> Tensors {
    let own = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('/')?.to_owned());
    let keys: Vec<String> =
        file.names().filter_map(own).filter(|key| key != "base" && key != "expected").collect();
    let tensor = |key: String| {
        let data = file.get_any_shape(&format!("{name}/{key}")).unwrap();
        (format!("{prefix}.{key}"), (data.shape().to_vec(), data.to_f32()))
    };
    keys.into_iter().map(tensor).collect()
}

fn read(path: PathBuf, tensors: &Tensors) -> LoraFile {
    write(&path, tensors);
    read_lora(&path, &[MODULE.to_owned()], &layout()).unwrap()
}

#[test]
fn weights_are_those_of_lycoris_and_peft() {
    let (file, place) = (golden(), tempfile::tempdir().unwrap());
    let mut cases: Vec<String> =
        file.names().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect();
    cases.dedup();
    assert_eq!(cases.len(), 17);
    for name in cases {
        let prefix =
            if name.starts_with("peft") { MODULE } else { "lora_unet_mid_block_attentions_0_proj_in" };
        let lora = read(place.path().join("lora.safetensors"), &case(&file, &name, prefix));
        assert!(lora.modules.is_empty(), "{name}");
        let base = file.get_any_shape(&format!("{name}/base")).unwrap();
        let expected = file.get_any_shape(&format!("{name}/expected")).unwrap().to_f32();
        let changed = |weight: f32| {
            let mut values = base.to_f32();
            lora.others[MODULE].apply(&mut values, base.shape(), weight).unwrap();
            values
        };
        assert!(distance(&base.to_f32(), &expected) > 1e-2, "{name}: it changes something");
        assert_close(&name, &changed(1.0), &expected, 2e-6);
        // Any other weight is that much of the change.
        let half: Vec<f32> = base.to_f32().iter().zip(&expected).map(|(a, b)| 0.5 * (a + b)).collect();
        assert_close(&name, &changed(0.5), &half, 2e-6);
    }
}

#[test]
fn scales_of_pefts_configuration_count_for_all_of_its_adapters() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("adapter_model.safetensors");
    let tensor = |shape: &[usize], value: f32| (shape.to_vec(), vec![value; shape.iter().product()]);
    let change = |keys: &[(&str, &[usize])], config: &str| {
        let own = |key: &str| format!("base_model.model.mid_block.attentions.0.proj_in.{key}");
        write(&path, &keys.iter().map(|(key, shape)| (own(key), tensor(shape, 1.0))).collect());
        std::fs::write(place.path().join("adapter_config.json"), config).unwrap();
        let lora = read_lora(&path, &[MODULE.to_owned()], &layout()).unwrap();
        let mut values = vec![0.0; 16];
        lora.others[MODULE].apply(&mut values, &[4, 4], 1.0).unwrap();
        values[0]
    };
    let loha: [(&str, &[usize]); 4] =
        [("hada_w1_a", &[4, 1]), ("hada_w1_b", &[1, 4]), ("hada_w2_a", &[4, 1]), ("hada_w2_b", &[1, 4])];
    assert_eq!(change(&loha, r#"{"peft_type": "LOHA", "r": 1, "alpha": 0.5}"#), 0.5);
    // Neither factor of this LoKr is cut down to a rank: the configuration alone has it.
    let lokr: [(&str, &[usize]); 2] = [("lokr_w1", &[2, 2]), ("lokr_w2", &[2, 2])];
    assert_eq!(change(&lokr, r#"{"peft_type": "LOKR", "r": 8, "alpha": 2}"#), 0.25);
    let pattern = r#"{"peft_type": "LOKR", "r": 8, "alpha": 2, "alpha_pattern": {"proj_in": 4}}"#;
    assert_eq!(change(&lokr, pattern), 0.5);
    assert_eq!(change(&lokr, "{}"), 1.0);
    // A DoRA says so in its configuration; its rows have the length that is asked for, here 1.
    let dora: [(&str, &[usize]); 2] = [("lora_A.weight", &[1, 4]), ("lora_B.weight", &[4, 1])];
    let norms: (&str, &[usize]) = ("lora_magnitude_vector", &[4]);
    let config = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 2, "use_dora": true}"#;
    assert_close("dora", &[change(&[&dora[..], &[norms]].concat(), config)], &[0.5], 1e-6);
    let plain = Tensors::from([
        (format!("base_model.model.{}.lora_A.weight", &MODULE[5..]), tensor(&[1, 4], 1.0)),
        (format!("base_model.model.{}.lora_B.weight", &MODULE[5..]), tensor(&[4, 1], 1.0)),
    ]);
    write(&path, &plain);
    let error = read_lora(&path, &[MODULE.to_owned()], &layout()).unwrap_err().to_string();
    assert!(error.contains("lora_magnitude_vector"), "{error}");
}

#[test]
fn the_axis_of_a_dora_is_told_by_its_shape_also_of_a_square_weight() {
    let place = tempfile::tempdir().unwrap();
    for (shape, expected) in [
        (vec![2, 1], [0.6, 0.8, 0.0, 2.0]),
        (vec![1, 2], [1.0, 4.0 / 20_f32.sqrt() * 2.0, 0.0, 2.0 / 20_f32.sqrt() * 2.0]),
    ] {
        let zeros = |n: usize| vec![0.0; n];
        let tensors = Tensors::from([
            (format!("{MODULE}.lora_A.weight"), (vec![1, 2], zeros(2))),
            (format!("{MODULE}.lora_B.weight"), (vec![2, 1], zeros(2))),
            (format!("{MODULE}.dora_scale"), (shape, vec![1.0, 2.0])),
        ]);
        let lora = read(place.path().join("lora.safetensors"), &tensors);
        let mut values = vec![3.0, 4.0, 0.0, 2.0];
        lora.others[MODULE].apply(&mut values, &[2, 2], 1.0).unwrap();
        assert_close("dora", &values, &expected, 1e-6);
    }
}

#[test]
fn what_makes_no_whole_adapter_is_refused_by_module() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("lora.safetensors");
    let flat = |shape: &[usize]| (shape.to_vec(), vec![0.5; shape.iter().product()]);
    for keys in [
        vec![("hada_w1_a", &[8, 2][..]), ("hada_w1_b", &[2, 6])],
        vec![("lokr_w1", &[2, 2])],
        vec![("dora_scale", &[8, 1])],
        vec![("lora_A.weight", &[2, 6]), ("lora_B.weight", &[8, 2]), ("diff", &[8, 6])],
        vec![("diff", &[8, 6]), ("dora_scale", &[8, 1])],
    ] {
        let tensors = keys.iter().map(|(key, shape)| (format!("{MODULE}.{key}"), flat(shape))).collect();
        write(&path, &tensors);
        let error = read_lora(&path, &[MODULE.to_owned()], &layout()).unwrap_err().to_string();
        assert!(error.contains(MODULE), "{keys:?}: {error}");
    }
    let whole = [("lokr_w1", &[2, 2][..]), ("lokr_w2", &[4, 3])];
    let lora =
        read(path, &whole.iter().map(|(key, shape)| (format!("{MODULE}.{key}"), flat(shape))).collect());
    let mut other = vec![0.0; 49];
    assert!(lora.others[MODULE].apply(&mut other, &[7, 7], 1.0).unwrap_err().contains("[7, 7]"));
}

#[test]
fn a_network_with_changed_weights_predicts_what_one_with_those_weights_does() {
    let backend = Cpu::new(2).unwrap();
    let (base, place) = (folder("unet", "sd15").join("unet"), tempfile::tempdir().unwrap());
    let predict = |folder: &Path, files: &[(&LoraFile, f32)]| {
        let mut params = Params::default();
        let mut unet = UNet::<Cpu>::load(&backend, folder, Trainable::None).unwrap();
        unet.attach_lora(&backend, &mut params, files).unwrap();
        let input = input(&backend, &open(&crate::golden::folder("unet", "sd15")));
        backend.read(unet.forward(&mut Tape::new(&backend, &params, false), &input).unwrap().value())
    };
    // A linear layer, a convolution with its bias, and a norm.
    let files = WeightFiles::open(&base).unwrap();
    let unet = UNet::<Cpu>::load(&backend, &base, Trainable::None).unwrap();
    let modules = ["mid_block.resnets.0.conv1", "mid_block.resnets.0.norm1", "time_embedding.linear_2"];
    let (mut tensors, mut sums) = (Tensors::new(), Tensors::new());
    for name in files.names() {
        let data = files.get_any_shape(name).unwrap();
        let mut values = data.to_f32();
        let (module, end) = name.rsplit_once('.').unwrap();
        if modules.contains(&module) {
            let diff: Vec<f32> = (0..values.len()).map(|i| 0.2 * ((i as f32) * 0.7).sin()).collect();
            values.iter_mut().zip(&diff).for_each(|(value, diff)| *value += diff);
            let key = match (module.ends_with("norm1"), end) {
                (true, "weight") => "w_norm",
                (true, _) => "b_norm",
                (false, "weight") => "diff",
                (false, _) => "diff_b",
            };
            let flat = module.replace('.', "_");
            tensors.insert(format!("lora_unet_{flat}.{key}"), (data.shape().to_vec(), diff));
        }
        sums.insert(name.to_owned(), (data.shape().to_vec(), values));
    }
    assert_eq!(tensors.len(), 6);
    let path = place.path().join("lora.safetensors");
    write(&path, &tensors);
    let lora = read_lora(&path, &unet.lora_modules(), &unet.config().lora_layout()).unwrap();
    let other = place.path().join("unet");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(base.join("config.json"), other.join("config.json")).unwrap();
    write(&other.join("diffusion_pytorch_model.safetensors"), &sums);
    let expected = predict(&other, &[]);
    assert!(distance(&predict(&base, &[]), &expected) > 1e-3);
    // The file has 16 bits, to which changed weights are rounded; the sums of the other folder have 32.
    assert_close("prediction", &predict(&base, &[(&lora, 1.0)]), &expected, 2e-4);
}

#[test]
fn one_trainers_names_are_read() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("lora.safetensors");
    let text = "text_model.encoder.layers.0.mlp.fc1";
    let modules: Vec<String> = ["unet.mid_block.attentions.0.proj_in".to_owned()]
        .into_iter()
        .chain(["text_encoder", "text_encoder_2"].map(|component| format!("{component}.{text}")))
        .collect();
    let mut tensors = Tensors::new();
    for stem in [
        "middle_block.1.proj_in".to_owned(),
        format!("text_encoders.clip_l.transformer.{text}"),
        format!("text_encoders.clip_g.transformer.{text}"),
    ] {
        tensors.insert(format!("{stem}.lora_A.weight"), (vec![2, 6], vec![0.5; 12]));
        tensors.insert(format!("{stem}.lora_B.weight"), (vec![8, 2], vec![0.5; 16]));
        tensors.insert(format!("{stem}.alpha"), (vec![], vec![1.0]));
    }
    write(&path, &tensors);
    let lora = read_lora(&path, &modules, &layout()).unwrap();
    let mut found: Vec<&String> = lora.modules.keys().collect();
    found.sort();
    let mut wanted: Vec<&String> = modules.iter().collect();
    wanted.sort();
    assert_eq!(found, wanted);
}
