//! A whole random model, made from nothing, against diffusers' reading of the same folder. The golden values
//! are made by reference/pipeline_golden.py.

use fairhuman_diffusion::clip::ClipConfig;
use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::{Family, ModelFolder, Pipeline, copy_model};
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape, Var};

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};

#[test]
fn a_random_model_reads_prompts_and_decodes_latents_as_diffusers_does() {
    let model = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F32, 7, model.path()).unwrap();
    let backend = Cpu::new(2).unwrap();
    let pipeline = Pipeline::open(&backend, model.path()).unwrap();
    let folder = folder("pipeline", "");
    let file = open(&folder);

    let prompts: Vec<String> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("prompts.json")).unwrap()).unwrap();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let text = pipeline.text.encode(&backend, &prompts).unwrap();
    assert_eq!(Cpu::shape(&text.embeddings), get(&file, "embeddings").shape);
    assert_close("embeddings", &backend.read(&text.embeddings), &get(&file, "embeddings").values, 1e-4);
    let pooled = text.pooled.expect("SDXL pools");
    assert_close("pooled", &backend.read(&pooled), &get(&file, "pooled").values, 1e-4);
    assert_eq!(text.truncated, [false, false, true]);

    let params = Params::default();
    let latents = Var::constant(tensor(&backend, &channels_last(&get(&file, "latents"))));
    let decoded = pipeline.vae.decode(&mut Tape::new(&backend, &params, false), &latents).unwrap();
    let expected = channels_last(&get(&file, "decoded"));
    assert_close("decoded", &backend.read(decoded.value()), &expected.values, 1e-4);
}

#[test]
fn a_random_model_is_a_function_of_preset_type_and_seed() {
    let bytes = |seed: u64| {
        let model = tempfile::tempdir().unwrap();
        init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F16, seed, model.path()).unwrap();
        std::fs::read(model.path().join("unet/diffusion_pytorch_model.safetensors")).unwrap()
    };
    assert!(bytes(1) == bytes(1));
    assert!(bytes(1) != bytes(2));
}

/// The refusal of a tiny model with one file changed.
fn refusal(file: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let model = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, model.path()).unwrap();
    let path = model.path().join(file);
    let mut config = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    let result: Result<_, ModelError> = Pipeline::open(&Cpu::new(1).unwrap(), model.path());
    result.err().unwrap().to_string()
}

#[test]
fn other_pipelines_and_components_are_refused_by_name() {
    let class = refusal("model_index.json", |c| c["_class_name"] = "FluxPipeline".into());
    assert!(class.contains("model_index.json") && class.contains("FluxPipeline"), "{class}");
    let component = refusal("model_index.json", |c| c["text_encoder_2"] = serde_json::json!([null, null]));
    assert!(component.contains("text_encoder_2"), "{component}");
    let scheduler = refusal("scheduler/scheduler_config.json", |c| c["beta_schedule"] = "sigmoid".into());
    assert!(scheduler.contains("beta_schedule"), "{scheduler}");
    let vae = refusal("vae/config.json", |c| c["latents_mean"] = serde_json::json!([0.0, 0.0, 0.0, 0.0]));
    assert!(vae.contains("latents_mean"), "{vae}");
    let no_blocks = refusal("vae/config.json", |c| {
        for key in ["block_out_channels", "down_block_types", "up_block_types"] {
            c[key] = serde_json::json!([]);
        }
    });
    assert!(no_blocks.contains("at least one block"), "{no_blocks}");
    let no_latents = refusal("vae/config.json", |c| c["latent_channels"] = 0.into());
    assert!(no_latents.contains("latent_channels"), "{no_latents}");
    let clip = refusal("text_encoder/config.json", |c| c["hidden_act"] = "mish".into());
    assert!(clip.contains("hidden_act"), "{clip}");
}

#[test]
fn the_refiner_is_refused_by_name() {
    let said = refusal("model_index.json", |c| c["text_encoder"] = serde_json::json!([null, null]));
    assert!(said.contains("refiner") && said.contains("base model"), "{said}");
    let said = refusal("model_index.json", |c| c["requires_aesthetics_score"] = true.into());
    assert!(said.contains("refiner"), "{said}");
}

#[test]
fn sizes_out_of_bounds_are_refused_by_key_value_and_bound_before_anything_is_allocated() {
    let keys = [
        ("unet", "layers_per_block", "from 1 to 32"),
        ("unet", "in_channels", "from 1 to 4096"),
        ("unet", "cross_attention_dim", "from 1 to 65536"),
        ("unet", "transformer_layers_per_block", "up to 64"),
        ("unet", "norm_num_groups", "from 1 to"),
        ("unet", "conv_in_kernel", "from 1 to 31"),
        ("vae", "layers_per_block", "from 1 to 32"),
        ("vae", "latent_channels", "from 1 to 4096"),
        ("text_encoder", "num_hidden_layers", "from 1 to 256"),
        ("text_encoder", "hidden_size", "from 1 to 65536"),
        ("text_encoder_2", "vocab_size", "from 1 to 1048576"),
        ("text_encoder_2", "num_attention_heads", "from 1 to"),
    ];
    let model = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, model.path()).unwrap();
    let refused = |component: &str, key: &str, value: serde_json::Value| {
        let path = model.path().join(component).join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config[key] = value;
        let result = match component {
            "unet" => UNetConfig::from_value(&path, config).map(|_| ()),
            "vae" => VaeConfig::from_value(&path, config).map(|_| ()),
            _ => ClipConfig::from_value(&path, config).map(|_| ()),
        };
        result.unwrap_err().to_string()
    };
    for (component, key, bound) in keys {
        for value in [0_u64, 1 << 31, u64::MAX] {
            // No transformer blocks are what blocks without attention have.
            if value == 0 && key == "transformer_layers_per_block" {
                continue;
            }
            let said = refused(component, key, value.into());
            for word in [&format!("{component}/config.json"), key, bound, &value.to_string()] {
                assert!(said.contains(word), "{key} = {value}: {said}");
            }
        }
    }
    for channels in [serde_json::json!([32, 1_u64 << 31]), serde_json::json!([0, 32]), vec![32; 99].into()] {
        let said = refused("unet", "block_out_channels", channels);
        assert!(said.contains("block_out_channels") && said.contains("at most 16, each a whole"), "{said}");
    }
}

#[test]
fn what_is_no_model_folder_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.safetensors");
    std::fs::write(&file, "").unwrap();
    let said = |path: &std::path::Path| ModelFolder::open(path).unwrap_err().to_string();
    assert!(said(&file).contains("checkpoint of SD 1.x"), "{}", said(&file));
    let nowhere = place.path().join("nowhere");
    assert!(said(&nowhere).contains("models get"), "{}", said(&nowhere));
    assert!(said(place.path()).contains("model_index.json"), "{}", said(place.path()));
}

#[test]
fn networks_whose_latents_differ_are_refused_by_key() {
    let model = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, model.path()).unwrap();
    let folder = ModelFolder::open(model.path()).unwrap();
    let vae = VaeConfig::open(&folder.vae().join("config.json")).unwrap();
    let unet = UNetConfig::open(&folder.unet().join("config.json")).unwrap();
    folder.check_latents(&unet, &vae).unwrap();
    for (key, unet) in [
        ("in_channels", UNetConfig { in_channels: 9, ..unet.clone() }),
        ("out_channels", UNetConfig { out_channels: 8, ..unet.clone() }),
    ] {
        let said = folder.check_latents(&unet, &vae).unwrap_err().to_string();
        assert!(said.contains(&format!("unet/config.json: \"{key}\": expected 4")), "{said}");
    }
}

#[test]
fn a_copied_model_has_every_folder_that_its_index_names_and_nothing_is_left_of_a_failure() {
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, &at("model")).unwrap();
    let mut index: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(at("model/model_index.json")).unwrap()).unwrap();
    index["feature_extractor"] = serde_json::json!(["transformers", "CLIPImageProcessor"]);
    index["safety_checker"] = serde_json::json!([null, null]);
    // Named, and not there, as in what was downloaded.
    index["image_encoder"] = serde_json::json!(["transformers", "CLIPVisionModelWithProjection"]);
    std::fs::write(at("model/model_index.json"), index.to_string()).unwrap();
    for folder in ["feature_extractor", "safety_checker", "notes"] {
        std::fs::create_dir(at("model").join(folder)).unwrap();
        std::fs::write(at("model").join(folder).join("preprocessor_config.json"), "{}").unwrap();
    }
    let write = |_: &str, folder: &std::path::Path| {
        std::fs::write(folder.join("diffusion_pytorch_model.safetensors"), "new").unwrap();
        Ok(())
    };
    copy_model(&at("model"), &at("copy.v2"), &["unet"], write).unwrap();
    let read = |path: &str| std::fs::read(at(path)).unwrap();
    assert_eq!(read("copy.v2/feature_extractor/preprocessor_config.json"), b"{}");
    assert_eq!(read("copy.v2/unet/diffusion_pytorch_model.safetensors"), b"new");
    assert_eq!(read("copy.v2/unet/config.json"), read("model/unet/config.json"));
    assert_eq!(
        read("copy.v2/scheduler/scheduler_config.json"),
        read("model/scheduler/scheduler_config.json")
    );
    assert!(!at("copy.v2/safety_checker").exists() && !at("copy.v2/notes").exists());
    let copied: serde_json::Value = serde_json::from_slice(&read("copy.v2/model_index.json")).unwrap();
    assert_eq!(copied["image_encoder"], serde_json::json!([null, null]));
    assert_eq!(copied["feature_extractor"], index["feature_extractor"]);

    let fail = |_: &str, _: &std::path::Path| Err(ModelError::Lora { problem: "none".into() });
    assert!(copy_model(&at("model"), &at("copy.v2"), &["unet"], fail).is_err());
    assert_eq!(read("copy.v2/unet/diffusion_pytorch_model.safetensors"), b"new");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "the model and its copy");
}

#[test]
fn weights_of_a_variant_have_plain_names_in_a_copy() {
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F16, 0, &at("model")).unwrap();
    let rename =
        |from: &str, to: &str| std::fs::rename(at("model").join(from), at("model").join(to)).unwrap();
    rename("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors");
    rename("text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors");
    // In shards: here one.
    rename(
        "vae/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
    );
    let files =
        WeightFiles::open_file(&at("model/vae/diffusion_pytorch_model.fp16-00001-of-00001.safetensors"));
    let map =
        |name: &str| (name.to_owned(), "diffusion_pytorch_model.fp16-00001-of-00001.safetensors".into());
    let map: serde_json::Map<_, _> = files.unwrap().names().map(map).collect();
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(at("model/vae/diffusion_pytorch_model.safetensors.index.fp16.json"), index).unwrap();
    // Beside plain weights it is another set of them.
    std::fs::write(at("model/text_encoder_2/model.fp16.safetensors"), "half").unwrap();

    copy_model(&at("model"), &at("copy"), &[], |_, _| Ok(())).unwrap();
    for file in [
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors.index.json",
        "text_encoder_2/model.safetensors",
        "text_encoder_2/model.fp16.safetensors",
    ] {
        assert!(at("copy").join(file).is_file(), "{file}");
    }
    assert!(!at("copy/unet/diffusion_pytorch_model.fp16.safetensors").exists());
    let unet = std::fs::read(at("copy/unet/diffusion_pytorch_model.safetensors")).unwrap();
    assert!(unet == std::fs::read(at("model/unet/diffusion_pytorch_model.fp16.safetensors")).unwrap());
    Pipeline::open(&Cpu::new(1).unwrap(), &at("copy")).unwrap();
}

#[test]
fn a_copied_model_is_in_place_at_any_time_and_its_folder_is_nobody_elses() {
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, &at("model")).unwrap();
    let partials = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let copy = |text: &str| {
        copy_model(&at("model"), &at("copy"), &["unet"], |_, folder| {
            partials.lock().unwrap().insert(folder.to_path_buf());
            std::fs::write(folder.join("diffusion_pytorch_model.safetensors"), text).unwrap();
            Ok(())
        })
        .unwrap();
    };
    copy("0");
    let done = std::sync::atomic::AtomicBool::new(false);
    let copies = 5;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let weights = at("copy").join("unet/diffusion_pytorch_model.safetensors");
                assert!(std::fs::read_to_string(&weights).is_ok_and(|text| !text.is_empty()));
            }
        });
        (1..copies).for_each(|i| copy(&i.to_string()));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(partials.lock().unwrap().len(), copies, "each has a name of its own");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "the model and its copy");
}

#[test]
fn a_random_model_is_not_mixed_with_what_is_there() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    std::fs::create_dir_all(folder.join("unet")).unwrap();
    std::fs::write(folder.join("unet/diffusion_pytorch_model.safetensors"), "mine").unwrap();
    let init = || init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::BF16, 0, &folder);
    let error = init().unwrap_err().to_string();
    assert!(error.contains("holds unet already"), "{error}");
    assert_eq!(std::fs::read(folder.join("unet/diffusion_pytorch_model.safetensors")).unwrap(), b"mine");
    std::fs::remove_dir_all(&folder).unwrap();
    // Of a process that was killed; its number is none that a system gives.
    let unfinished = place.path().join(format!(".model.{}-0.partial", i32::MAX));
    std::fs::create_dir_all(unfinished.join("unet")).unwrap();
    init().unwrap();
    ModelFolder::open(&folder).unwrap();
    assert!(!unfinished.exists());
    let error = init().unwrap_err().to_string();
    assert!(error.contains("holds a model already"), "{error}");
}

#[test]
fn folders_of_pipelines_with_control_networks_are_models_like_others() {
    let model = tempfile::tempdir().unwrap();
    for (class, family) in [
        ("StableDiffusionXLControlNetPipeline", Family::Sdxl),
        ("StableDiffusionXLAdapterPipeline", Family::Sdxl),
        ("StableDiffusionControlNetImg2ImgPipeline", Family::Sd),
    ] {
        let index = serde_json::json!({
            "_class_name": class,
            "controlnet": ["diffusers", "ControlNetModel"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        });
        std::fs::write(model.path().join("model_index.json"), index.to_string()).unwrap();
        assert_eq!(ModelFolder::open(model.path()).unwrap().family, family, "{class}");
    }
}
