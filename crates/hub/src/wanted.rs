//! Which files of a repository are worth their download.

use std::collections::BTreeMap;

use crate::{HubError, Name};

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path in the repository.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
}

/// Parts of a model in diffusers' layout.
pub(crate) const PARTS: [&str; 7] =
    ["unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"];
/// Parts that have weights.
pub(crate) const NETWORKS: [&str; 4] = ["unet", "vae", "text_encoder", "text_encoder_2"];

/// Of all files of a repository those that are read: of a model in diffusers' layout the configurations and
/// tokenizers, and each network's weights once (in 16 bits where there are such); of one network (a
/// ControlNet, a T2I-Adapter) its configuration and weights; else the only `.safetensors` file. Never
/// pickles, ONNX, other frameworks' weights or a safety checker.
///
/// # Errors
/// A file of `name` that is not there; a repository with nothing to read, or several files of which one has
/// to be said.
pub fn wanted<'a>(name: &Name, listed: &'a [Listed]) -> Result<Vec<&'a Listed>, HubError> {
    let unusable = |problem: String| HubError::Unusable { id: name.id.clone(), problem };
    let has = |path: &str| listed.iter().find(|file| file.path == path);
    let files: Vec<&str> =
        listed.iter().map(|f| f.path.as_str()).filter(|p| p.ends_with(".safetensors")).collect();
    let known = || match files.len() {
        0 => "it holds no .safetensors file".to_owned(),
        _ => format!("it holds {}", shortened(&files)),
    };
    if let Some(file) = &name.file {
        return has(file)
            .map(|file| vec![file])
            .ok_or_else(|| unusable(format!("there is no file {file}; {}", known())));
    }
    if let Some(index) = has("model_index.json") {
        let mut chosen = vec![index];
        for part in PARTS {
            let inside: Vec<&Listed> = listed
                .iter()
                .filter(|f| f.path.strip_prefix(part).is_some_and(|r| r.starts_with('/')))
                .collect();
            chosen.extend(inside.iter().filter(|f| is_text(&f.path)));
            if NETWORKS.contains(&part) {
                let weights = weights(&inside);
                if weights.is_empty() && !inside.is_empty() {
                    return Err(unusable(format!(
                        "its {part} has no .safetensors weights (pickles are not read)"
                    )));
                }
                chosen.extend(weights);
            }
        }
        return Ok(chosen);
    }
    if let Some(config) = has("config.json") {
        let top: Vec<&Listed> = listed.iter().filter(|f| !f.path.contains('/')).collect();
        let weights = weights(&top);
        if !weights.is_empty() {
            return Ok([vec![config], weights].concat());
        }
    }
    match files[..] {
        [only] => Ok(has(only).into_iter().collect()),
        [] => Err(unusable("it holds neither a model in diffusers' layout nor a .safetensors file".into())),
        _ => Err(unusable(format!("{}: say which, as {}/{}", known(), name.id, files[0]))),
    }
}

/// Configurations and vocabularies; an index of shards goes with its weights.
fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    (name.ends_with(".json")
        && !name.contains(".index.")
        && !name.starts_with("flax_")
        && !name.starts_with("openvino_"))
        || name == "merges.txt"
}

/// One set of a network's weights among its files: in 16 bits before others, whole before in shards.
fn weights<'a>(files: &[&'a Listed]) -> Vec<&'a Listed> {
    // By variant: "" or "fp16"; the shards of a set have its variant, too.
    let mut sets: BTreeMap<String, Vec<&Listed>> = BTreeMap::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let Some(rest) = ["diffusion_pytorch_model", "model"].iter().find_map(|stem| name.strip_prefix(stem))
        else {
            continue;
        };
        let is_index = rest.ends_with(".json") && rest.contains(".safetensors.index");
        if !(rest.ends_with(".safetensors") || is_index) {
            continue;
        }
        let words = rest.split('.').filter(|word| !matches!(*word, "" | "safetensors" | "index" | "json"));
        let variant: Vec<&str> =
            words.map(|word| word.split("-0").next().unwrap_or(word)).filter(|w| !w.is_empty()).collect();
        sets.entry(variant.join(".")).or_default().push(file);
    }
    let chosen =
        ["fp16", ""].iter().find_map(|variant| sets.remove(*variant)).or_else(|| sets.into_values().next());
    let set = chosen.unwrap_or_default();
    let whole: Vec<&Listed> =
        set.iter().filter(|f| !f.path.contains("-of-") && !f.path.contains(".index.")).copied().collect();
    if whole.is_empty() { set } else { whole }
}

fn shortened(files: &[&str]) -> String {
    match files.len() {
        0..=6 => files.join(", "),
        more => format!("{} and {} more", files[..6].join(", "), more - 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, files: &[&str]) -> Result<Vec<String>, String> {
        let name = Name::parse(name, "https://huggingface.co").expect("a name");
        let listed: Vec<Listed> = files.iter().map(|path| Listed { path: (*path).into(), size: 1 }).collect();
        let files = wanted(&name, &listed).map_err(|e| e.to_string())?;
        Ok(files.into_iter().map(|file| file.path.clone()).collect())
    }

    #[test]
    fn of_a_model_each_weight_is_taken_once() {
        let files = [
            "README.md",
            "model_index.json",
            "sd_xl_base_1.0.safetensors",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "text_encoder/model.fp16.safetensors",
            "text_encoder/model.onnx",
            "text_encoder/flax_model.msgpack",
            "text_encoder/openvino_model.xml",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/special_tokens_map.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "vae_1_0/diffusion_pytorch_model.safetensors",
            "safety_checker/model.safetensors",
        ];
        let taken = chosen("org/name", &files).expect("a choice");
        let expected = [
            "model_index.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/config.json",
            "text_encoder/model.fp16.safetensors",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/special_tokens_map.json",
            "scheduler/scheduler_config.json",
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn one_network_or_one_file() {
        let control = [
            "config.json",
            "diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(
            chosen("org/canny", &control),
            Ok(vec!["config.json".into(), "diffusion_pytorch_model.fp16.safetensors".into()])
        );
        assert_eq!(
            chosen("org/one", &["README.md", "dream.safetensors"]),
            Ok(vec!["dream.safetensors".into()])
        );
        assert_eq!(
            chosen("org/two/b.safetensors", &["a.safetensors", "b.safetensors"]),
            Ok(vec!["b.safetensors".into()])
        );
        let several = chosen("org/two", &["a.safetensors", "b.safetensors"]).expect_err("two");
        assert!(several.contains("org/two/a.safetensors"), "{several}");
        assert!(chosen("org/none", &["model.ckpt"]).is_err());
        let pickled =
            chosen("org/old", &["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin"]);
        assert!(pickled.is_err_and(|e| e.contains("unet")));
    }
}
