//! LoRA files: those that other programs wrote (`reference/lora_golden.py make`) read as the same LoRA, what
//! is written reads back, and the files that diffusers was shown (`... check`) are what is written today.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fairhuman_diffusion::lora_file::{
    BaseModel, Convention, LoraAbout, LoraFile, LoraModule, LoraTensor, UnetLayout, kohya_metadata,
    read_lora, write_lora,
};
use fairhuman_diffusion::schedule::Prediction;
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
use fairhuman_engine::DType;
use serde_json::{Value, json};

use crate::golden::assert_close;

const CONVENTIONS: [Convention; 3] = [Convention::Kohya, Convention::Peft, Convention::OldDiffusers];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lora").join(name)
}

fn layout() -> UnetLayout {
    let text = std::fs::read_to_string(data("unet_config.json")).unwrap();
    UnetLayout::from_config(Path::new("config.json"), &serde_json::from_str::<Value>(&text).unwrap()).unwrap()
}

fn modules() -> Vec<String> {
    serde_json::from_str(&std::fs::read_to_string(data("modules.json")).unwrap()).unwrap()
}

/// The LoRA that every golden file holds.
fn expected() -> LoraFile {
    let file = WeightFiles::open_file(&data("expected.safetensors")).unwrap();
    let tensor = |key: String| {
        let data = file.get_any_shape(&key).unwrap();
        LoraTensor { dtype: data.dtype(), shape: data.shape().to_vec(), data: data.to_f32() }
    };
    let paths: BTreeSet<&str> = file.names().filter_map(|n| n.strip_suffix("|down")).collect();
    let module = |path: &str| LoraModule {
        down: tensor(format!("{path}|down")),
        up: tensor(format!("{path}|up")),
        alpha: file.get_scalar(&format!("{path}|alpha")).unwrap() as f32,
    };
    LoraFile {
        others: BTreeMap::new(),
        modules: paths.iter().map(|p| (p.to_string(), module(p))).collect(),
        metadata: BTreeMap::new(),
    }
}

/// One rank and one alpha: diffusers itself confuses the alphas of modules that differ.
fn uniform() -> LoraFile {
    let mut lora = expected();
    lora.modules.retain(|_, module| module.rank() == 2);
    lora.modules.values_mut().for_each(|module| module.alpha = 1.0);
    lora
}

fn with_alpha_of_rank(mut lora: LoraFile) -> LoraFile {
    for module in lora.modules.values_mut() {
        module.alpha = module.rank() as f32;
    }
    lora
}

#[test]
fn every_convention_of_other_programs_reads_as_the_same_lora() {
    let read = |name: &str| read_lora(&data(name), &modules(), &layout()).unwrap().modules;
    assert_eq!(read("kohya_sgm.safetensors"), expected().modules);
    assert_eq!(read("kohya_diffusers.safetensors"), expected().modules);
    assert_eq!(read("peft.safetensors"), expected().modules);
    assert_eq!(read("old.safetensors"), with_alpha_of_rank(expected()).modules);
    let mut attention = with_alpha_of_rank(expected()).modules;
    attention.retain(|path, _| path.starts_with("unet.") && path.contains(".attn"));
    assert_eq!(read("processors.safetensors"), attention);
}

#[test]
fn metadata_survives_and_bookkeeping_does_not() {
    let read = |name: &str| read_lora(&data(name), &modules(), &layout()).unwrap().metadata;
    assert_eq!(read("kohya_sgm.safetensors")["ss_network_module"], "networks.lora");
    assert!(read("peft.safetensors").is_empty());
}

#[test]
fn what_is_written_reads_back_in_every_convention() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let mut lora = with_alpha_of_rank(expected());
        for module in lora.modules.values_mut() {
            for tensor in [&mut module.down, &mut module.up] {
                tensor.dtype = dtype;
                // Exact in all types.
                tensor.data.iter_mut().for_each(|v| *v = (*v * 64.0).round() / 64.0);
            }
        }
        lora.metadata = kohya_metadata(&lora, &about());
        for convention in CONVENTIONS {
            write_lora(&path, &lora, convention, &layout()).unwrap();
            assert_eq!(read_lora(&path, &modules(), &layout()).unwrap(), lora, "{convention:?} {dtype:?}");
        }
    }
}

#[test]
fn alphas_and_ranks_of_their_own_survive_where_the_convention_has_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    write_lora(&path, &expected(), Convention::Kohya, &layout()).unwrap();
    assert_eq!(read_lora(&path, &modules(), &layout()).unwrap(), expected());
}

/// alpha / rank * up * down.
fn update(module: &LoraModule) -> Vec<f32> {
    let rank = module.rank();
    let (scale, columns) = (module.alpha / rank as f32, module.down.data.len() / rank);
    let row = |row: &[f32], column: usize| -> f32 {
        row.iter().enumerate().map(|(r, up)| scale * up * module.down.data[r * columns + column]).sum()
    };
    let rows = module.up.data.chunks_exact(rank);
    rows.flat_map(|up| (0..columns).map(move |column| row(up, column))).collect()
}

#[test]
fn readers_that_know_no_alpha_get_the_same_update_from_peft_files_and_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    for convention in [Convention::Peft, Convention::OldDiffusers] {
        for scale in [None, Some(1.0 / 128.0), Some(48.0), Some(0.0)] {
            let mut lora = expected();
            for module in lora.modules.values_mut() {
                module.alpha = scale.map_or(module.alpha, |scale| scale * module.rank() as f32);
            }
            lora.metadata = kohya_metadata(&lora, &about());
            write_lora(&path, &lora, convention, &layout()).unwrap();
            let read = read_lora(&path, &modules(), &layout()).unwrap();
            assert_eq!(read.metadata["ss_network_alpha"], "Dynamic", "as the ranks");
            for (path, module) in &lora.modules {
                let found = &read.modules[path];
                assert_eq!(found.alpha, found.rank() as f32, "{convention:?}");
                // The factors are F16.
                assert_close(path, &update(found), &update(module), 1e-3);
            }
        }
    }
}

#[test]
fn names_of_a_compiled_model_are_those_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    for [down, up] in [
        ["unet._orig_mod.conv_in.lora_A.weight", "unet._orig_mod.conv_in.lora_B.weight"],
        ["_orig_mod.conv_in.lora_A.weight", "_orig_mod.conv_in.lora_B.weight"],
        ["lora_unet__orig_mod_conv_in.lora_down.weight", "lora_unet__orig_mod_conv_in.lora_up.weight"],
    ] {
        file_of(&path, &[(down, &[2, 4, 3, 3]), (up, &[8, 2, 1, 1])], &[]);
        let lora = read_lora(&path, &modules(), &layout()).unwrap();
        assert_eq!(lora.modules.keys().collect::<Vec<_>>(), ["unet.conv_in"]);
    }
}

#[test]
fn without_a_place_for_alpha_the_update_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    let mut lora = expected();
    lora.modules.values_mut().for_each(|m| m.up.dtype = DType::F32);
    write_lora(&path, &lora, Convention::OldDiffusers, &layout()).unwrap();
    let read = read_lora(&path, &modules(), &layout()).unwrap();
    for (path, module) in &lora.modules {
        let found = &read.modules[path];
        assert_eq!(found.alpha, found.rank() as f32);
        for (a, b) in found.up.data.iter().zip(&module.up.data) {
            let b = b * module.alpha / module.rank() as f32;
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{path}: {a} {b}");
        }
    }
}

#[test]
fn the_files_shown_to_diffusers_are_those_written_today() {
    let folder = tempfile::tempdir().unwrap();
    let mut own_alphas = expected();
    own_alphas.modules.retain(|_, module| module.rank() == 2);
    for (convention, name, lora) in [
        (Convention::Kohya, "kohya", &uniform()),
        (Convention::Peft, "peft", &uniform()),
        (Convention::Peft, "peft_alphas", &own_alphas),
        (Convention::OldDiffusers, "old", &uniform()),
    ] {
        let path = folder.path().join(name);
        write_lora(&path, lora, convention, &layout()).unwrap();
        let shown = data(&format!("written/{name}.safetensors"));
        if std::env::var_os("FAIRHUMAN_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(data("written")).unwrap();
            std::fs::copy(&path, &shown).unwrap();
        }
        let same = std::fs::read(&path).unwrap() == std::fs::read(&shown).unwrap();
        assert!(
            same,
            "{name}: another file than diffusers was shown; set FAIRHUMAN_WRITE_GOLDEN=1 and run reference/lora_golden.py check"
        );
    }
}

#[test]
fn sgm_names_are_those_of_sdxl() {
    let sdxl = json!({"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "layers_per_block": 2,
        "addition_embed_type": "text_time"});
    let layout = UnetLayout::from_config(Path::new("config.json"), &sdxl).unwrap();
    for (diffusers, sgm) in [
        ("conv_in", "input_blocks.0.0"),
        ("down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
        (
            "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_out.0",
            "input_blocks.8.1.transformer_blocks.9.attn2.to_out.0",
        ),
        ("mid_block.attentions.0.proj_out", "middle_block.1.proj_out"),
        ("mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1"),
        ("up_blocks.0.attentions.2.proj_in", "output_blocks.2.1.proj_in"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("up_blocks.2.resnets.2.conv_shortcut", "output_blocks.8.0.skip_connection"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"),
        ("conv_out", "out.2"),
    ] {
        assert_eq!(layout.sgm_path(diffusers).as_deref(), Some(sgm), "{diffusers}");
    }
    for nothing in [
        "down_blocks.0.attentions.0.proj_in",
        "down_blocks.3.resnets.0.conv1",
        "down_blocks.2.downsamplers.0.conv",
        "up_blocks.0.resnets.3.conv1",
        "nonsense",
    ] {
        assert_eq!(layout.sgm_path(nothing), None, "{nothing}");
    }
}

#[test]
fn sgm_names_are_distinct_for_every_module_of_any_layout() {
    for layers in [json!(1), json!(2), json!([1, 3, 2, 2])] {
        let config = json!({"layers_per_block": layers, "addition_embed_type": "text_time"});
        let layout = UnetLayout::from_config(Path::new("config.json"), &config).unwrap();
        let mut seen = BTreeSet::new();
        let sides = [("down_blocks", &layout.down, "downsamplers"), ("up_blocks", &layout.up, "upsamplers")];
        for (side, blocks, sampler) in sides {
            for (i, block) in blocks.iter().enumerate() {
                let mut paths: Vec<String> =
                    (0..block.layers).map(|j| format!("{side}.{i}.resnets.{j}.conv1")).collect();
                if block.attention {
                    paths.extend((0..block.layers).map(|j| format!("{side}.{i}.attentions.{j}.proj_in")));
                }
                if i + 1 < blocks.len() {
                    paths.push(format!("{side}.{i}.{sampler}.0.conv"));
                }
                for path in paths {
                    let sgm = layout.sgm_path(&path).unwrap_or_else(|| panic!("{path} has no name"));
                    assert!(seen.insert(sgm.clone()), "{path}: {sgm} is taken");
                }
            }
        }
    }
}

#[test]
fn models_without_sdxl_conditions_get_kohyas_older_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    let mut lora = expected();
    lora.modules.retain(|path, _| !path.starts_with("text_encoder_2."));
    let sd15 = UnetLayout { sdxl: false, ..layout() };
    write_lora(&path, &lora, Convention::Kohya, &sd15).unwrap();
    let file = WeightFiles::open_file(&path).unwrap();
    assert!(file.contains("lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight"));
    assert!(file.contains("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha"));
    assert_eq!(read_lora(&path, &modules(), &sd15).unwrap(), lora);
}

/// Tensors of zeros under the given keys, with header strings.
fn file_of(path: &Path, keys: &[(&str, &[usize])], metadata: &[(&str, &str)]) {
    let zeros = [0.0f32; 4096];
    let tensor = |shape: &'static [usize], n: usize| TensorBytes::f32(shape, &zeros[..n]);
    let keys: Vec<(String, &'static [usize])> =
        keys.iter().map(|(k, s)| (k.to_string(), &*Box::leak(s.to_vec().into_boxed_slice()))).collect();
    let tensors = keys.into_iter().map(|(k, s)| (k, tensor(s, s.iter().product()))).collect();
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    write_safetensors(path, &tensors, &metadata).unwrap();
}

#[test]
fn unknown_keys_are_an_error_that_counts_them_and_names_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    for (key, word) in [
        ("lora_unet_down_blocks_9_attentions_0_proj_in.lora_down.weight", "blocks_9"),
        ("unet.mid_block.attentions.0.proj_in.lora_C.weight", "lora_C"),
        ("something else", "something else"),
        ("lora_unet_middle_block_1_proj_in.on_input", "use the merged model"),
        ("bundle_emb.word.clip_l", "export the LoRA without them"),
        ("lora_unet_middle_block_1_proj_in.on_input", "IA3"),
        ("lora_unet_middle_block_1_proj_in.oft_blocks", "OFT"),
    ] {
        file_of(&path, &[(key, &[2, 16]), ("zero", &[1])], &[]);
        let error = read_lora(&path, &modules(), &layout()).expect_err(key).to_string();
        assert!(
            error.contains(word) && error.contains("2 tensors") && error.contains("lora.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn modules_that_are_no_update_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    let (down, up) = ("unet.conv_in.lora_A.weight", "unet.conv_in.lora_B.weight");
    let cases: [&[(&str, &[usize])]; 6] = [
        &[(down, &[2, 4, 3, 3])],
        &[(down, &[2, 4, 3, 3]), ("unet.conv_in.alpha", &[])],
        &[(down, &[2, 4, 3, 3]), (up, &[8, 3, 1, 1])],
        &[(down, &[2, 4, 3, 3]), (up, &[8, 2])],
        &[(down, &[0, 4]), (up, &[8, 0])],
        &[(down, &[2, 4]), (up, &[8, 2]), ("lora_unet_conv_in.lora_down.weight", &[2, 4])],
    ];
    for keys in cases {
        file_of(&path, keys, &[]);
        let error = read_lora(&path, &modules(), &layout()).expect_err("must be refused").to_string();
        assert!(error.contains("unet.conv_in"), "{error}");
    }
    let mut lora = expected();
    lora.modules.values_mut().next().unwrap().up.data[1] = f32::NAN;
    let error = write_lora(&path, &lora, Convention::Kohya, &layout()).unwrap_err().to_string();
    assert!(error.contains("NaN at element 1"), "{error}");
    let mut lora = expected();
    lora.modules.values_mut().next().unwrap().up.data[1] = 1e6;
    let error = write_lora(&path, &lora, Convention::Kohya, &layout()).unwrap_err().to_string();
    assert!(error.contains("too large for F16"), "{error}");
}

#[test]
fn peft_headers_give_alpha_as_peft_applies_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    let stem = "unet.mid_block.attentions.0.proj_in";
    let [down, up] = ["A", "B"].map(|f| format!("{stem}.lora_{f}.weight"));
    let alpha = |config: Value| {
        let text = config.to_string();
        file_of(&path, &[(&down, &[4, 16]), (&up, &[16, 4])], &[("lora_adapter_metadata", &text)]);
        read_lora(&path, &modules(), &layout()).map(|lora| lora.modules[stem].alpha)
    };
    assert_eq!(alpha(json!({})).unwrap(), 4.0);
    assert_eq!(alpha(json!({"unet.lora_alpha": 8})).unwrap(), 8.0);
    assert_eq!(alpha(json!({"text_encoder.lora_alpha": 8})).unwrap(), 4.0);
    let pattern =
        |pattern: &str| alpha(json!({"unet.lora_alpha": 8, "unet.alpha_pattern": {pattern: 3}})).unwrap();
    assert_eq!(pattern("mid_block.attentions.0.proj_in"), 3.0);
    assert_eq!(pattern("proj_in"), 3.0);
    assert_eq!(pattern("^mid_block.*proj_in"), 3.0);
    assert_eq!(pattern("j_in"), 8.0);
    assert_eq!(pattern("mid_block"), 8.0);
    // alpha / sqrt(rank) = 8 / 2 is what alpha = 16 gives when divided by the rank.
    assert_eq!(alpha(json!({"unet.lora_alpha": 8, "unet.use_rslora": true})).unwrap(), 16.0);
    // What diffusers' U-Net saves by itself has no component before its keys.
    assert_eq!(alpha(json!({"r": 4, "lora_alpha": 8})).unwrap(), 8.0);
    assert_eq!(alpha(json!({"r": 4, "lora_alpha": 8, "use_rslora": true})).unwrap(), 16.0);
    for (config, word) in [
        (json!({"unet.use_dora": true}), "use_dora"),
        (json!({"unet.alpha_pattern": {"(": 1}}), "alpha_pattern"),
        (json!([1]), "object"),
    ] {
        let error = alpha(config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_folder_saved_by_peft_itself_is_read_with_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let keys = ["A", "B"].map(|f| format!("base_model.model.mid_block.attentions.0.proj_in.lora_{f}.weight"));
    file_of(&path, &[(&keys[0], &[4, 16]), (&keys[1], &[16, 4])], &[]);
    let alpha = || {
        read_lora(&path, &modules(), &layout())
            .map(|l| l.modules["unet.mid_block.attentions.0.proj_in"].alpha)
    };
    assert_eq!(alpha().unwrap(), 4.0);
    std::fs::write(folder.path().join("adapter_config.json"), r#"{"lora_alpha": 32, "r": 4}"#).unwrap();
    assert_eq!(alpha().unwrap(), 32.0);
    std::fs::write(folder.path().join("adapter_config.json"), "{").unwrap();
    assert!(alpha().is_err());
}

fn about() -> LoraAbout {
    LoraAbout {
        title: "faces and hands".into(),
        base: BaseModel::Sdxl,
        prediction: Prediction::Epsilon,
        resolution: (1024, 1024),
    }
}

#[test]
fn the_header_tells_what_kohya_users_look_for_and_stays_small() {
    let mut lora = expected();
    assert_eq!(kohya_metadata(&lora, &about())["ss_network_dim"], "Dynamic");
    lora.modules.retain(|_, m| m.rank() == 2 && m.alpha == 3.0);
    let metadata = kohya_metadata(&lora, &about());
    assert_eq!(metadata["ss_network_dim"], "2");
    assert_eq!(metadata["ss_network_alpha"], "3.0");
    assert_eq!(metadata["ss_base_model_version"], "sdxl_base_v1-0");
    assert_eq!(metadata["modelspec.architecture"], "stable-diffusion-xl-v1-base/lora");
    let about = LoraAbout { base: BaseModel::Sd2, prediction: Prediction::Velocity, ..about() };
    let metadata = kohya_metadata(&lora, &about);
    assert_eq!(metadata["ss_base_model_version"], "sd_v2_v");
    assert_eq!(metadata["modelspec.architecture"], "stable-diffusion-v2-768-v/lora");
    let folder = tempfile::tempdir().unwrap();
    lora.metadata.insert("ss_tag_frequency".into(), "tag".repeat(1 << 20));
    let error = write_lora(&folder.path().join("l"), &lora, Convention::Kohya, &layout()).unwrap_err();
    assert!(error.to_string().contains("metadata"), "{error}");
}
