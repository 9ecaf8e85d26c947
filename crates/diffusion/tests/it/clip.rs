//! Text encoders against transformers. The golden files are made by reference/clip_golden.py.

use crate::golden::{assert_close, folder, get, open};
use fairhuman_diffusion::clip::ClipText;
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
use fairhuman_engine::{Backend, Cpu, Params, Tape};

fn check(case: &str) {
    let (backend, folder) = (Cpu::new(2).unwrap(), folder("clip", case));
    let file = open(&folder);
    let clip =
        ClipText::load(&backend, &folder.join("text_encoder"), "text_encoder", Trainable::None).unwrap();
    let ids = get(&file, "ids");
    let texts: Vec<Vec<u32>> =
        ids.values.chunks_exact(ids.shape[1]).map(|row| row.iter().map(|&v| v as u32).collect()).collect();
    let params = Params::default();
    let output = clip.forward(&mut Tape::new(&backend, &params, false), &texts).unwrap();
    for (name, found) in
        [("penultimate", output.penultimate), ("last", output.last), ("pooled", output.pooled)]
    {
        let expected = get(&file, name);
        assert_eq!(found.shape(), expected.shape, "{name}");
        assert_close(name, &backend.read(found.value()), &expected.values, 1e-4);
    }
}

#[test]
fn an_encoder_with_quick_gelu_equals_transformers_and_pools_at_the_largest_id() {
    check("quick");
}

#[test]
fn an_encoder_with_projection_equals_transformers_and_pools_at_the_first_end_token() {
    check("projected");
}

#[test]
fn weights_of_newer_folders_are_found_without_the_prefix() {
    let base = folder("clip", "quick").join("text_encoder");
    let files = WeightFiles::open(&base).unwrap();
    let tensors: Vec<_> = files
        .names()
        .filter(|name| !name.ends_with("position_ids"))
        .map(|name| (name.strip_prefix("text_model.").unwrap(), files.get_any_shape(name).unwrap()))
        .collect();
    let tensors = tensors.iter().map(|(name, data)| ((*name).to_owned(), TensorBytes::stored(data)));
    let place = tempfile::tempdir().unwrap();
    std::fs::copy(base.join("config.json"), place.path().join("config.json")).unwrap();
    let file = place.path().join("model.safetensors");
    write_safetensors(&file, &tensors.collect(), &Default::default()).unwrap();
    ClipText::load(&Cpu::new(1).unwrap(), place.path(), "text_encoder", Trainable::None).unwrap();
}

#[test]
fn tokens_outside_the_vocabulary_and_texts_too_long_are_refused() {
    let backend = Cpu::new(1).unwrap();
    let folder = folder("clip", "quick").join("text_encoder");
    let clip = ClipText::load(&backend, &folder, "text_encoder", Trainable::None).unwrap();
    let params = Params::default();
    let refused = |texts: &[Vec<u32>]| {
        clip.forward(&mut Tape::new(&backend, &params, false), texts).err().unwrap().to_string()
    };
    assert!(refused(&[vec![300]]).contains("token 300"));
    assert!(refused(&[vec![1; 17]]).contains("17 tokens"));
    assert!(refused(&[vec![1; 3], vec![1; 4]]).contains("same number"));
    assert!(refused(&[]).contains("at least one"));
}
