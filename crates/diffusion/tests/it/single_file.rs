//! Checkpoint files by the names and shapes of the published ones: every tensor of a model folder is found.
//! (`tests/data/single_file`: lists of both namings, compressed; the values are zeros that no disk holds.)

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::single_file::{About, Missing, Predicts, write_file, write_folder};
use fairhuman_diffusion::weights::{VIEW, View, WeightFiles};
use serde_json::{Map, Value, json};

use crate::pictures::copy;

type Shapes = BTreeMap<String, Vec<usize>>;

fn list(name: &str) -> Shapes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/single_file").join(name);
    let text = miniz_oxide::inflate::decompress_to_vec(&std::fs::read(path).unwrap()).unwrap();
    let line = |line: &str| {
        let (name, shape) = line.split_once(" [").unwrap();
        let sides = shape.trim_end_matches(']').split(", ").filter(|side| !side.is_empty());
        (name.to_owned(), sides.map(|side| side.parse().unwrap()).collect())
    };
    String::from_utf8(text).unwrap().lines().map(line).collect()
}

/// A file of zeros with these tensors, most of which is a hole.
fn write_zeros(path: &Path, tensors: &Shapes, metadata: &Value) {
    let (mut header, mut offset) = (Map::new(), 0);
    header.insert("__metadata__".into(), metadata.clone());
    for (name, shape) in tensors {
        let length = 2 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + length]});
        header.insert(name.clone(), entry);
        offset += length;
    }
    let header = Value::Object(header).to_string();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + offset) as u64).unwrap();
}

struct World(tempfile::TempDir);

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, tensors: &Shapes) -> Result<String, String> {
        self.write_with(tensors, &json!({}), None)
    }

    fn write_with(
        &self,
        tensors: &Shapes,
        metadata: &Value,
        predicts: Option<Predicts>,
    ) -> Result<String, String> {
        write_zeros(&self.path("model.safetensors"), tensors, metadata);
        let merges = [("a".to_owned(), "b</w>".to_owned())];
        let missing = Missing { base: None, vae: None, predicts, merges: &merges };
        write_folder(&self.path("model.safetensors"), &missing, &self.path("out")).map_err(|e| e.to_string())
    }

    fn view(&self, component: &str) -> View {
        serde_json::from_slice(&std::fs::read(self.path("out").join(component).join(VIEW)).unwrap()).unwrap()
    }

    fn config(&self, file: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("out").join(file)).unwrap()).unwrap()
    }
}

fn world() -> World {
    World(tempfile::tempdir().unwrap())
}

#[test]
fn every_tensor_of_published_files_has_its_place() {
    for (family, said) in [("sd15", "SD 1.x"), ("sd21", "SD 2.x"), ("sdxl", "SDXL")] {
        let world = world();
        let note = world.write(&list(&format!("keys-{family}.deflate"))).unwrap();
        assert!(note.contains(said) && note.contains("noise (epsilon)"), "{note}");
        let mut found = Shapes::new();
        for component in ["unet", "vae", "text_encoder", "text_encoder_2"] {
            if !world.path("out").join(component).is_dir() {
                continue;
            }
            let view = world.view(component);
            found.extend(
                view.tensors
                    .iter()
                    .map(|(name, viewed)| (format!("{component}.{name}"), viewed.shape.clone())),
            );
            // It opens, every part within the file.
            let files = WeightFiles::open(&world.path("out").join(component)).unwrap();
            for (name, viewed) in &view.tensors {
                assert_eq!(files.shape(name), Some(&viewed.shape[..]), "{name}");
            }
        }
        let mut expected = list(&format!("keys-{family}-diffusers.deflate"));
        expected.retain(|name, _| !name.ends_with("position_ids"));
        assert_eq!(found.len(), expected.len(), "{family}");
        for (name, shape) in &expected {
            assert_eq!(found.get(name), Some(shape), "{family}: {name}");
        }
    }
}

#[test]
fn settings_that_shapes_do_not_say_are_those_of_the_family() {
    let world = world();
    world.write(&list("keys-sd15.deflate")).unwrap();
    let unet = world.config("unet/config.json");
    assert_eq!(unet["attention_head_dim"], json!([8, 8, 8, 8]));
    assert_eq!(unet["use_linear_projection"], json!(false));
    assert_eq!(world.config("vae/config.json")["scaling_factor"], json!(0.18215));
    world.write(&list("keys-sdxl.deflate")).unwrap();
    let unet = world.config("unet/config.json");
    assert_eq!(unet["attention_head_dim"], json!([5, 10, 20]));
    assert_eq!(unet["transformer_layers_per_block"], json!([1, 2, 10]));
    assert_eq!(unet["sample_size"], json!(128));
    assert_eq!(world.config("vae/config.json")["scaling_factor"], json!(0.13025));
    assert_eq!(world.config("text_encoder/config.json")["hidden_act"], json!("quick_gelu"));
    let second = world.config("text_encoder_2/config.json");
    assert_eq!((&second["hidden_act"], &second["projection_dim"]), (&json!("gelu"), &json!(1280)));
    assert_eq!(second["num_attention_heads"], json!(20));
}

#[test]
fn what_the_model_predicts_is_told_by_the_first_that_says_it() {
    let world = world();
    let sdxl = list("keys-sdxl.deflate");
    let header = json!({"modelspec.prediction_type": "v"});
    assert!(world.write_with(&sdxl, &header, None).unwrap().contains("its header says so"));
    let prediction =
        |world: &World| world.config("scheduler/scheduler_config.json")["prediction_type"].clone();
    assert_eq!(prediction(&world), json!("v_prediction"));
    let note = world.write_with(&sdxl, &header, Some(Predicts::Epsilon)).unwrap();
    assert!(note.contains("you say so") && prediction(&world) == json!("epsilon"), "{note}");
    let mut marked = sdxl;
    marked.insert("v_pred".into(), vec![0]);
    marked.insert("ztsnr".into(), vec![0]);
    // A header that says otherwise is older than the marker.
    let header = json!({"modelspec.prediction_type": "epsilon"});
    assert!(world.write_with(&marked, &header, None).unwrap().contains("the marker v_pred"));
    let schedule = world.config("scheduler/scheduler_config.json");
    assert_eq!(schedule["rescale_betas_zero_snr"], json!(true));
    assert_eq!(schedule["timestep_spacing"], json!("trailing"));
}

#[cfg(unix)]
#[test]
fn a_yaml_file_is_found_beside_a_link_and_beside_the_file() {
    let world = world();
    let folder = world.path("links");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("../model.safetensors", folder.join("link.safetensors")).unwrap();
    write_zeros(&world.path("model.safetensors"), &list("keys-sdxl.deflate"), &json!({}));
    let merges = [("a".to_owned(), "b</w>".to_owned())];
    let missing = Missing { base: None, vae: None, predicts: None, merges: &merges };
    let note = |name: &str| write_folder(&world.path(name), &missing, &world.path("out")).unwrap();
    assert!(note("links/link.safetensors").contains("noise (epsilon)"));
    let yaml = "model:\n  params:\n    parameterization: 'v'  # velocity\n";
    std::fs::write(folder.join("link.yaml"), yaml).unwrap();
    assert!(note("links/link.safetensors").contains("the .yaml file beside it"));
    assert!(note("model.safetensors").contains("noise (epsilon)"));
    std::fs::remove_file(folder.join("link.yaml")).unwrap();
    std::fs::write(world.path("model.yaml"), yaml).unwrap();
    assert!(note("links/link.safetensors").contains("the .yaml file beside it"));
}

#[test]
fn a_u_net_alone_predicts_what_its_base_does() {
    let world = world();
    let (folder, whole) = (world.path("folder"), world.path("whole.safetensors"));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sampler/sd"), &folder);
    std::fs::create_dir_all(folder.join("tokenizer")).unwrap();
    let about = About { title: "small".into(), date: "2026-01-01".into(), resolution: (64, 64) };
    write_file(&folder, &whole, &about).unwrap();
    let files = WeightFiles::open_file(&whole).unwrap();
    let unet = files.names().filter(|name| name.starts_with("model.diffusion_model."));
    let unet: Shapes = unet.map(|name| (name.to_owned(), files.shape(name).unwrap().to_vec())).collect();
    write_zeros(&world.path("model.safetensors"), &unet, &json!({}));
    let merges = [("a".to_owned(), "b</w>".to_owned())];
    let note = |predicts| {
        let missing = Missing { base: Some(&folder), vae: None, predicts, merges: &merges };
        write_folder(&world.path("model.safetensors"), &missing, &world.path("out")).unwrap()
    };
    assert!(note(None).contains("velocity (v): its base does"));
    assert_eq!(world.config("scheduler/scheduler_config.json")["prediction_type"], json!("v_prediction"));
    assert!(note(Some(Predicts::Epsilon)).contains("noise (epsilon)"));
}

#[test]
fn models_of_sd_1_and_2_are_written_and_read_back() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sampler/sd");
    for (activation, architecture, said, text) in [
        ("quick_gelu", "stable-diffusion-v1", "SD 1.x", "cond_stage_model.transformer.text_model."),
        ("gelu", "stable-diffusion-v2-768-v", "SD 2.x", "cond_stage_model.model.transformer.resblocks."),
    ] {
        let world = world();
        let (folder, file) = (world.path("folder"), world.path("written.safetensors"));
        copy(&data, &folder);
        std::fs::create_dir_all(folder.join("tokenizer")).unwrap();
        let config = folder.join("text_encoder/config.json");
        let text_config = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text_config.replace("\"gelu\"", &format!("\"{activation}\""))).unwrap();
        let about = About { title: "small".into(), date: "2026-01-01".into(), resolution: (64, 64) };
        write_file(&folder, &file, &about).unwrap();

        let written = WeightFiles::open_file(&file).unwrap();
        assert!(written.names().any(|name| name.starts_with(text)), "{said}");
        assert_eq!(written.metadata()["modelspec.architecture"], architecture);
        let merges = [("a".to_owned(), "b</w>".to_owned())];
        let missing = Missing { base: Some(&folder), vae: None, predicts: None, merges: &merges };
        let found = write_folder(&file, &missing, &world.path("out")).unwrap();
        assert!(found.contains(said), "{found}");
        for component in ["unet", "vae", "text_encoder"] {
            let own = WeightFiles::open(&folder.join(component)).unwrap();
            let back = WeightFiles::open(&world.path("out").join(component)).unwrap();
            for name in back.names() {
                let (own, back) = (own.get_any_shape(name).unwrap(), back.get_any_shape(name).unwrap());
                assert_eq!((own.shape(), own.bytes()), (back.shape(), back.bytes()), "{said} {name}");
            }
            let left = own.names().filter(|name| !back.contains(name)).collect::<Vec<_>>();
            assert!(left.iter().all(|name| name.ends_with("position_ids")), "{said}: {left:?}");
        }
    }
}

#[test]
fn an_autoencoder_that_the_file_lacks_may_be_a_file_of_its_own() {
    let world = world();
    let (sdxl, other) = (list("keys-sdxl.deflate"), list("keys-sd15.deflate"));
    let mut without = sdxl.clone();
    without.retain(|name, _| !name.starts_with("first_stage_model."));
    write_zeros(&world.path("model.safetensors"), &without, &json!({}));
    let merges = [("a".to_owned(), "b</w>".to_owned())];
    let part = |prefix: &str| -> Shapes {
        let own = other.iter().filter_map(|(name, shape)| {
            Some((format!("{prefix}{}", name.strip_prefix("first_stage_model.")?), shape.clone()))
        });
        own.collect()
    };
    for vae in [part(""), part("first_stage_model."), other.clone()] {
        write_zeros(&world.path("vae.safetensors"), &vae, &json!({}));
        let path = world.path("vae.safetensors");
        let missing = Missing { base: None, vae: Some(&path), predicts: None, merges: &merges };
        write_folder(&world.path("model.safetensors"), &missing, &world.path("out")).unwrap();
        let view = world.view("vae");
        assert!(
            view.source.ends_with("vae.safetensors") && view.tensors.len() == 248,
            "{}",
            view.tensors.len()
        );
        assert_eq!(
            world.config("vae/config.json")["scaling_factor"],
            json!(0.13025),
            "the family is the model's"
        );
    }
}

#[test]
fn what_is_no_such_checkpoint_is_named() {
    let world = world();
    let sdxl = list("keys-sdxl.deflate");
    let without = |part: &str| {
        let mut tensors = sdxl.clone();
        tensors.retain(|name, _| !name.starts_with(part));
        tensors
    };
    let with = |name: &str, shape: &[usize]| {
        let mut tensors = sdxl.clone();
        tensors.insert(name.into(), shape.to_vec());
        tensors
    };
    let one = |name: &str| Shapes::from([(name.to_owned(), vec![4, 4])]);
    for (tensors, part) in [
        (with("model.diffusion_model.input_blocks.0.0.weight", &[320, 9, 3, 3]), "an inpainting model"),
        (with("model.diffusion_model.input_blocks.0.0.weight", &[384, 4, 3, 3]), "refiner"),
        (with("edm_mean", &[4]), "EDM"),
        (one("model.diffusion_model.double_blocks.0.img_attn.qkv.weight"), "a Flux model"),
        (one("joint_blocks.0.context_block.attn.qkv.weight"), "a Stable Diffusion 3 model"),
        (one("lora_unet_down_blocks_0.lora_down.weight"), "a LoRA: name it with --lora"),
        (one("control_model.zero_convs.0.0.weight"), "a ControlNet: name it with --control"),
        (one("down_blocks.0.resnets.0.conv1.weight"), "a U-Net or ControlNet in diffusers' names"),
        (one("input_blocks.0.0.weight"), "a U-Net without model.diffusion_model."),
        (one("something.else"), "not known"),
        (without("first_stage_model."), "has no autoencoder"),
        (without("conditioner.embedders.1."), "has no text encoder"),
        (without("model.diffusion_model.middle_block.2.in_layers.2."), "middle_block.2.in_layers.2"),
        (with("model.diffusion_model.odd.weight", &[1]), "model.diffusion_model.odd.weight"),
    ] {
        let error = world.write(&tensors).unwrap_err();
        assert!(error.contains(part) && error.contains("model.safetensors"), "{part}: {error}");
    }
    assert!(!world.path("out").exists(), "nothing is left of what was refused");
}
