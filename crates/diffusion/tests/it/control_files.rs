//! Files of ControlNets and T2I-Adapters: every layout is read, what is written is read back to the bit and
//! has the names by which diffusers, ComfyUI and A1111 tell networks. Names of published networks are made by
//! reference/control_golden.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::adapter::{self, Adapter, AdapterConfig, AdapterKind};
use fairhuman_diffusion::control::{self, ControlConfig, ControlKind, ControlNetwork};
use fairhuman_diffusion::controlnet::{self, ControlNet, ControlNetConfig, ControlNetInput, Start};
use fairhuman_diffusion::init::{ControlInit, Preset, init_control, init_model};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape};
use serde_json::Value;

use crate::golden::{channels_last, folder, get, open, tensor};
use crate::unet::input;

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

fn backend() -> Cpu {
    Cpu::new(2).unwrap()
}

fn part(case: &str, name: &str) -> PathBuf {
    folder("control", case).join(name)
}

/// The tensors of a file under other names, in a new file.
fn renamed(from: &Path, to: &Path, name: impl Fn(&str) -> String) {
    let files = WeightFiles::open_file(from).unwrap();
    let tensors: Vec<_> = files.names().map(|old| (name(old), files.get_any_shape(old).unwrap())).collect();
    let content = tensors.iter().map(|(name, data)| (name.clone(), TensorBytes::stored(data)));
    write_safetensors(to, &content.collect(), &BTreeMap::new()).unwrap();
}

/// Residuals of the ControlNet at `path`, for the golden inputs of a case.
fn residuals(case: &str, path: &Path) -> Vec<Vec<f32>> {
    let (backend, params, file) = (backend(), Params::default(), open(&folder("control", case)));
    let net = ControlNet::load(&backend, path, &part(case, "unet"), Trainable::None).unwrap();
    let mut tape = Tape::inference(&backend, &params);
    let pixels = tensor(&backend, &channels_last(&get(&file, "control")));
    let (hint, input) = (net.embed_hint(&mut tape, &pixels).unwrap(), input(&backend, &file));
    let residuals = net.forward(&mut tape, &ControlNetInput::of(&input, &hint)).unwrap();
    residuals.skips.iter().chain(&residuals.mid).map(|var| backend.read(var.value())).collect()
}

/// Features of the adapter at `path`, for the golden inputs of a case.
fn features(case: &str, path: &Path, reduction: usize) -> Vec<Vec<f32>> {
    let (backend, params, file) = (backend(), Params::default(), open(&folder("control", case)));
    let adapter = Adapter::load(&backend, path, reduction, Trainable::None).unwrap();
    let pixels = tensor(&backend, &channels_last(&get(&file, "control")));
    let features = adapter.forward(&mut Tape::inference(&backend, &params), &pixels).unwrap();
    features.iter().map(|var| backend.read(var.value())).collect()
}

fn published() -> Value {
    let path = folder("control", "names.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Names and shapes of a plan.
fn shapes(plan: &fairhuman_diffusion::net::Plan) -> BTreeMap<String, Vec<usize>> {
    plan.tensors().into_iter().map(|tensor| (tensor.name, tensor.shape)).collect()
}

#[test]
fn published_controlnets_have_the_names_and_shapes_of_diffusers_and_of_the_original_code() {
    for (family, case) in published().as_object().unwrap() {
        let config = ControlNetConfig::from_value(Path::new(family), case["config"].clone()).unwrap();
        let plan = controlnet::plan(&config);
        let tensors = case["tensors"].as_object().unwrap();
        let shape =
            |v: &Value| v["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let expected: BTreeMap<String, Vec<usize>> =
            tensors.iter().map(|(name, v)| (name.clone(), shape(v))).collect();
        assert_eq!(shapes(&plan), expected, "{family}");
        let names: BTreeMap<_, _> = controlnet::cldm_names(&config, &plan).into_iter().collect();
        let expected: BTreeMap<String, String> =
            tensors.iter().map(|(name, v)| (name.clone(), v["cldm"].as_str().unwrap().into())).collect();
        assert_eq!(names, expected, "{family}");
    }
}

#[test]
fn single_files_with_the_names_of_diffusers_and_of_the_original_code_give_the_folder_s_bits() {
    for case in ["sd15", "sdxl"] {
        let (from, to) = (part(case, "controlnet"), tempfile::tempdir().unwrap());
        let expected = residuals(case, &from);
        let config = ControlNetConfig::open(&from.join("config.json")).unwrap();
        let names: BTreeMap<_, _> =
            controlnet::cldm_names(&config, &controlnet::plan(&config)).into_iter().collect();
        let file = to.path().join("net.safetensors");
        for prefix in ["", "control_model."] {
            renamed(&from.join(WEIGHTS), &file, |own| format!("{prefix}{}", names[own]));
            assert!(residuals(case, &file) == expected, "{case} {prefix}");
        }
        // A whole checkpoint with the model's own weights beside it.
        renamed(&from.join(WEIGHTS), &file, |own| match own {
            "conv_in.bias" => "model.diffusion_model.input_blocks.0.0.bias".into(),
            own => format!("control_model.{}", names[own]),
        });
        let folder = part(case, "unet");
        let missing = ControlNet::load(&backend(), &file, &folder, Trainable::None).err().unwrap();
        assert!(missing.to_string().contains("conv_in.bias"), "{missing}");
        assert!(residuals(case, &from.join(WEIGHTS)) == expected, "{case}");
    }
}

#[test]
fn controlnets_that_are_written_are_read_back_to_the_bit() {
    let backend = backend();
    for case in ["sd15", "sd2", "sdxl"] {
        let (from, to) = (part(case, "controlnet"), tempfile::tempdir().unwrap());
        let mut params = Params::default();
        let all = Trainable::All(&mut params);
        let net = ControlNet::load(&backend, &from, &part(case, "unet"), all).unwrap();
        let (folder, file) = (to.path().join("net"), to.path().join("net.safetensors"));
        net.write(&backend, &params, &folder, DType::F32).unwrap();
        net.write_file(&backend, &params, &file, DType::F32).unwrap();
        let expected = residuals(case, &from);
        assert!(residuals(case, &folder) == expected, "{case}");
        if case != "sd2" {
            // Nothing in a file says that the channels are reversed.
            assert!(residuals(case, &file) == expected, "{case}");
        }
        let read = |path: PathBuf| -> Value {
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        assert_eq!(read(folder.join("config.json")), read(from.join("config.json")));
    }
}

#[test]
fn adapters_that_are_written_are_read_back_to_the_bit_light_ones_under_tencent_s_names() {
    let backend = backend();
    for (case, reduction) in [("sd15", 4), ("sd2", 8), ("sdxl", 8)] {
        let (from, to) = (part(case, "adapter"), tempfile::tempdir().unwrap());
        let expected = features(case, &from, reduction);
        assert!(features(case, &from.join(WEIGHTS), reduction) == expected, "{case}: diffusers' names");
        let mut params = Params::default();
        let all = Trainable::All(&mut params);
        let adapter = Adapter::load(&backend, &from, reduction, all).unwrap();
        let (folder, file) = (to.path().join("net"), to.path().join("net.safetensors"));
        adapter.write(&backend, &params, &folder, DType::F32).unwrap();
        adapter.write_file(&backend, &params, &file, DType::F32).unwrap();
        assert!(features(case, &folder, reduction) == expected, "{case}");
        assert!(features(case, &file, reduction) == expected, "{case}");
        let names: Vec<String> = WeightFiles::open_file(&file).unwrap().names().map(str::to_owned).collect();
        let light = adapter.config().kind == AdapterKind::Light;
        assert_eq!(names.contains(&"body.0.body.0.block1.weight".into()), light);
        assert_eq!(names.contains(&"adapter.body.0.resnets.0.block1.weight".into()), !light);
        let config = AdapterConfig::open(&folder.join("config.json")).unwrap();
        assert_eq!(config, AdapterConfig::open(&from.join("config.json")).unwrap());
        if !light {
            renamed(&from.join(WEIGHTS), &file, tencent);
            assert!(features(case, &file, reduction) == expected, "{case}: TencentARC's names");
        }
    }
}

/// TencentARC's name of a full adapter's tensor, by the table in ComfyUI and A1111.
fn tencent(name: &str) -> String {
    let mut name = name.to_owned();
    for i in 0..4 {
        for j in 0..2 {
            name = name.replace(&format!("adapter.body.{i}.resnets.{j}."), &format!("body.{}.", 2 * i + j));
        }
        name = name.replace(&format!("adapter.body.{i}."), &format!("body.{}.", 2 * i));
    }
    name.replace("adapter.", "")
}

/// Kinds that ComfyUI tells apart by names and shapes (comfy/controlnet.py).
fn comfy(tensors: &BTreeMap<String, Vec<usize>>) -> &'static str {
    let has = |name: &str| tensors.contains_key(name);
    if has("lora_controlnet") {
        return "control-lora";
    }
    if has("controlnet_cond_embedding.conv_in.weight") {
        return "controlnet, diffusers";
    }
    if has("control_model.zero_convs.0.0.weight") || has("zero_convs.0.0.weight") {
        return "controlnet, cldm";
    }
    let diffusers = has("adapter.body.0.resnets.0.block1.weight");
    let names: BTreeMap<String, &Vec<usize>> =
        tensors.iter().map(|(k, v)| (if diffusers { tencent(k) } else { k.clone() }, v)).collect();
    if names.contains_key("body.0.in_conv.weight") {
        // Adapter_light, whose names are fixed.
        let inner = |i: usize, j: usize| names.contains_key(&format!("body.{i}.body.{j}.block1.weight"));
        let known = (0..4).all(|i| (0..4).all(|j| inner(i, j)));
        return if known { "t2i-light" } else { "unknown" };
    }
    let Some(first) = names.get("conv_in.weight") else { return "unknown" };
    let (channel, inputs) = (first[0], first[1]);
    let channels = [channel, 2 * channel, 4 * channel, 4 * channel];
    let fits = (0..8).all(|i| {
        let shape = |end: &str| names.get(&format!("body.{i}.{end}.weight"));
        let c = channels[i / 2];
        shape("block1").is_some_and(|s| **s == [c, c, 3, 3])
            && shape("block2").is_some_and(|s| **s == [c, c, 1, 1])
    });
    match inputs {
        _ if !fits => "unknown",
        256 | 768 => "t2i-xl",
        _ => "t2i-full",
    }
}

/// Kinds that A1111's extension tells apart (sd-webui-controlnet's controlnet_model_guess.py): the names
/// "control_model." and "adapter." are stripped anywhere, diffusers' ControlNets are recognised before.
fn a1111(tensors: &BTreeMap<String, Vec<usize>>) -> &'static str {
    let any = |part: &str| tensors.keys().any(|name| name.contains(part));
    if any("lllite") {
        return "lllite";
    }
    if tensors.contains_key("lora_controlnet") {
        return "control-lora";
    }
    if tensors.contains_key("down_blocks.0.resnets.0.norm1.weight") && any("controlnet_cond_embedding") {
        return "controlnet, diffusers";
    }
    let stripped: Vec<String> =
        tensors.keys().map(|k| k.replace("control_model.", "").replace("adapter.", "")).collect();
    let has = |name: &str| stripped.iter().any(|k| k == name);
    match () {
        () if has("input_hint_block.0.weight") && has("label_emb.0.0.bias") => "controlnet, cldm sdxl",
        () if has("input_hint_block.0.weight") => "controlnet, cldm",
        () if has("body.0.in_conv.weight") && has("body.0.body.0.block1.weight") => "t2i-light",
        () if has("conv_in.weight") => "t2i",
        () => "unknown",
    }
}

#[test]
fn comfyui_and_a1111_know_what_is_written_by_names_and_shapes() {
    for (family, case) in published().as_object().unwrap() {
        let config = ControlNetConfig::from_value(Path::new(family), case["config"].clone()).unwrap();
        let own = shapes(&controlnet::plan(&config));
        assert_eq!((comfy(&own), a1111(&own)), ("controlnet, diffusers", "controlnet, diffusers"));
        let names: BTreeMap<_, _> =
            controlnet::cldm_names(&config, &controlnet::plan(&config)).into_iter().collect();
        let cldm: BTreeMap<_, _> = own.iter().map(|(k, v)| (names[k].clone(), v.clone())).collect();
        let expected = if family == "sdxl" { "controlnet, cldm sdxl" } else { "controlnet, cldm" };
        assert_eq!((comfy(&cldm), a1111(&cldm)), ("controlnet, cldm", expected));
    }
    let of = |kind, channels: &[usize]| shapes(&adapter::plan(&AdapterConfig::of_unet(kind, channels, 8)));
    let full = of(AdapterKind::Full, &[320, 640, 1280, 1280]);
    assert_eq!((comfy(&full), a1111(&full)), ("t2i-full", "t2i"));
    let xl = of(AdapterKind::FullXl, &[320, 640, 1280]);
    assert_eq!((comfy(&xl), a1111(&xl)), ("t2i-xl", "t2i"));
    // What a folder of diffusers holds nobody else reads; one file has TencentARC's names.
    let light = of(AdapterKind::Light, &[320, 640, 1280, 1280]);
    assert_eq!((comfy(&light), a1111(&light)), ("unknown", "unknown"));
    let written: BTreeMap<_, _> = light
        .iter()
        .map(|(k, v)| (k.trim_start_matches("adapter.").replace(".resnets.", ".body."), v.clone()))
        .collect();
    assert_eq!((comfy(&written), a1111(&written)), ("t2i-light", "t2i-light"));
    let count = |tensors: &BTreeMap<String, Vec<usize>>| -> usize {
        tensors.values().map(|shape| shape.iter().product::<usize>()).sum()
    };
    assert_eq!([count(&full), count(&xl), count(&light)], [77_369_280, 79_028_160, 18_689_200]);
}

#[test]
fn other_networks_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |names: &[&str]| {
        let file = folder.path().join("net.safetensors");
        let data = [1.0f32];
        let content = names.iter().map(|name| ((*name).to_owned(), TensorBytes::f32(&[1], &data)));
        write_safetensors(&file, &content.collect(), &BTreeMap::new()).unwrap();
        control::kind(&file).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let first = "controlnet_cond_embedding.conv_in.weight";
    for (names, what) in [
        (&["lora_controlnet", first][..], "a Control-LoRA"),
        (&["lllite_unet_input_blocks_4_1.depth"], "a ControlNet-LLLite"),
        (&["zero_convs.0.0.weight", "difference"], "the difference of a ControlNet"),
        (&["conv_in.weight"], "neither a ControlNet nor a T2I-Adapter"),
    ] {
        assert!(refused(names).contains(what), "{}", refused(names));
    }
    assert_eq!(refused(&[first]), "");
    let absent = control::kind(&folder.path().join("absent")).err().unwrap().to_string();
    assert!(absent.contains("no such file or folder"), "{absent}");
    let unet = control::kind(&part("sd15", "unet")).err().unwrap().to_string();
    assert!(unet.contains("UNet2DConditionModel") && unet.contains("T2IAdapter"), "{unet}");
    assert_eq!(control::kind(&part("sd15", "controlnet")).unwrap(), ControlKind::ControlNet);
    assert_eq!(control::kind(&part("sd15", "adapter").join(WEIGHTS)).unwrap(), ControlKind::Adapter);
}

#[test]
fn files_are_not_written_under_names_that_mean_another_network_elsewhere() {
    for (name, refused) in
        [("my_Shuffle.safetensors", true), ("instant_id.safetensors", true), ("pose.safetensors", false)]
    {
        assert_eq!(control::check_name(Path::new(name)).is_err(), refused, "{name}");
    }
}

#[test]
fn settings_that_change_the_mathematics_and_are_not_supported_are_refused_by_name() {
    let config = |key: &str, value: Value| {
        let path = part("sdxl", "controlnet").join("config.json");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        config[key] = value;
        ControlNetConfig::from_value(Path::new("config.json"), config).err().map(|error| error.to_string())
    };
    for (key, value) in [
        ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn".into()),
        ("mid_block_type", Value::Null),
        ("addition_embed_type", "text".into()),
        ("class_embed_type", "timestep".into()),
        ("encoder_hid_dim_type", "text_proj".into()),
        ("layers_per_block", vec![1, 2, 1].into()),
        ("controlnet_conditioning_channel_order", "gbr".into()),
        ("conditioning_embedding_out_channels", Vec::<u32>::new().into()),
        ("out_channels", 4.into()),
        ("_class_name", "ControlNetXSModel".into()),
    ] {
        let message = config(key, value.clone()).unwrap_or_else(|| panic!("{key} = {value} was accepted"));
        assert!(message.contains(key) && message.contains("config.json"), "{message}");
    }
    let unet = |key: &str, value: Value| {
        let path = part("sdxl", "unet").join("config.json");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        config[key] = value;
        ControlNetConfig::of_unet(Path::new("config.json"), &config, 3, &[4, 4]).err().unwrap().to_string()
    };
    assert!(unet("time_embedding_dim", 12.into()).contains("time_embedding_dim"));
    assert!(unet("conv_in_kernel", 5.into()).contains("conv_in_kernel"));
    assert!(unet("layers_per_block", vec![1, 2, 1].into()).contains("layers_per_block"));
}

#[test]
fn networks_for_other_models_and_sizes_are_told_before_weights_are_read() {
    let unet = UNetConfig::open(&part("sdxl", "unet").join("config.json")).unwrap();
    let told = |case: &str, name: &str, reduction, size| {
        let path = part(case, name);
        let config = ControlConfig::read(&path, &part("sdxl", "unet"), reduction).unwrap();
        let error = config.check(&path, &unet, reduction, size).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(told("sdxl", "controlnet", 8, (56, 40)), "");
    assert_eq!(told("sdxl", "adapter", 8, (48, 80)), "");
    let size = told("sdxl", "adapter", 8, (56, 80));
    assert!(size.contains("multiples of 16; the nearest are 48 or 64 wide and 80 high"), "{size}");
    let pixels = told("sd15", "controlnet", 8, (56, 40));
    assert!(pixels.contains("pixels for each cell 4, the model needs 8"), "{pixels}");
    let text = told("sd2", "controlnet", 8, (56, 40));
    assert!(text.contains("text of width 10, the model needs 12"), "{text}");
    let features = told("sd2", "adapter", 8, (64, 64));
    assert!(features.contains("[[8, 8, 8], [4, 4, 8]], the model needs [[4, 4, 8]"), "{features}");
}

#[test]
fn control_networks_are_made_for_any_model_and_start_as_training_does() {
    let (backend, folder) = (backend(), tempfile::tempdir().unwrap());
    let model = folder.path().join("model");
    init_model(&backend, Preset::Tiny, DType::F32, 1, &model).unwrap();
    let make = |init, name: &str| {
        let (out, file) = (folder.path().join(name), folder.path().join(format!("{name}.safetensors")));
        init_control(&backend, &model, init, (DType::F16, 3), &out, Some(&file)).map(|()| (out, file))
    };
    let reduction = 8;
    let unet = model.join("unet");
    let config = UNetConfig::open(&unet.join("config.json")).unwrap();
    for (init, name) in [
        (ControlInit::ControlNet(Start::Zero), "zero"),
        (ControlInit::ControlNet(Start::Random), "random"),
        (ControlInit::Adapter(AdapterKind::FullXl), "xl"),
    ] {
        let (out, file) = make(init, name).unwrap();
        for path in [&out, &file] {
            let read = ControlConfig::read(path, &unet, reduction).unwrap();
            read.check(path, &config, reduction, (64, 64)).unwrap();
            control::Control::load(&backend, path, &unet, reduction).unwrap();
        }
        let again = make(init, name).err().unwrap().to_string();
        assert!(again.contains("holds"), "{again}");
    }
    let zeros = |name: &str| {
        let files = WeightFiles::open(&folder.path().join(name)).unwrap();
        let values = files.get_any_shape("controlnet_mid_block.weight").unwrap().to_f32();
        values.iter().all(|&v| v == 0.0)
    };
    assert!(zeros("zero") && !zeros("random"));
    // SDXL's U-Net has no place for the features of SD 1.5's adapters.
    let other = make(ControlInit::Adapter(AdapterKind::Full), "full").err().unwrap().to_string();
    assert!(other.contains("the model needs"), "{other}");
    assert!(!folder.path().join("full").exists());
}
