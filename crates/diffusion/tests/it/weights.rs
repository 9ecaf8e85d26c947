//! Weight files: what is written reads back, and what is damaged is an error, never a panic.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::weights::{
    TensorBytes, WeightError, WeightFiles, narrow, write_atomically, write_json, write_safetensors,
};
use fairhuman_engine::DType;
use proptest::prelude::*;
use serde_json::json;

/// Writes tensors of small integers, which all types hold exactly: `[n]` filled with 0, 1, 2, ...
fn write(path: &Path, tensors: &[(&str, DType, usize)]) {
    let stored: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, n)| {
            let values: Vec<f32> = (0..*n).map(|i| i as f32).collect();
            (name.to_string(), *dtype, [*n], narrow(&values, *dtype))
        })
        .collect();
    let views = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.clone(), TensorBytes { dtype: *dtype, shape, bytes }))
        .collect();
    write_safetensors(path, &views, &BTreeMap::from([("format".into(), "pt".into())])).unwrap();
}

#[test]
fn every_type_reads_back_exactly_and_says_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    write(
        &path,
        &[("a", DType::F16, 3), ("b", DType::F32, 5), ("c", DType::BF16, 7), ("empty", DType::F32, 0)],
    );
    let files = WeightFiles::open(folder.path()).unwrap();
    for (name, dtype, n) in
        [("a", DType::F16, 3), ("b", DType::F32, 5), ("c", DType::BF16, 7), ("empty", DType::F32, 0)]
    {
        let data = files.get(name, &[n]).unwrap();
        assert_eq!(data.dtype(), dtype);
        assert_eq!(data.to_f32(), (0..n).map(|i| i as f32).collect::<Vec<_>>());
    }
    assert_eq!(files.metadata()["format"], "pt");
    files.finish(&[]).unwrap();
    // The reference implementation of the format agrees.
    let bytes = std::fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.tensor("c").unwrap().shape(), [7]);
}

#[test]
fn tensors_outlive_the_opened_files_and_cross_threads() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("model.safetensors"), &[("a", DType::F32, 4)]);
    let data = WeightFiles::open(folder.path()).unwrap().get("a", &[4]).unwrap();
    drop(folder);
    assert_eq!(std::thread::spawn(move || data.to_f32()).join().unwrap(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn equal_contents_are_equal_files() {
    let folder = tempfile::tempdir().unwrap();
    let metadata: BTreeMap<String, String> = (0..20).map(|i| (format!("key {i}"), "value".into())).collect();
    let values = [1.0f32, 2.0];
    let tensors = BTreeMap::from([("x".to_owned(), TensorBytes::f32(&[2], &values))]);
    let bytes = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        write_safetensors(&path, &tensors, &metadata).unwrap();
        std::fs::read(path).unwrap()
    });
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn a_plain_file_is_preferred_then_an_index_then_a_variant() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let opened = || WeightFiles::open(folder.path()).unwrap().names().map(str::to_owned).collect::<Vec<_>>();
    write(&at("diffusion_pytorch_model.fp16.safetensors"), &[("variant", DType::F16, 1)]);
    assert_eq!(opened(), ["variant"]);
    write(&at("diffusion_pytorch_model-00001-of-00002.safetensors"), &[("one", DType::F32, 1)]);
    write(
        &at("diffusion_pytorch_model-00002-of-00002.safetensors"),
        &[("two", DType::F32, 1), ("stray", DType::F32, 1)],
    );
    let map = json!({"metadata": {"total_size": 8}, "weight_map": {
        "one": "diffusion_pytorch_model-00001-of-00002.safetensors",
        "two": "diffusion_pytorch_model-00002-of-00002.safetensors"}});
    write_json(&at("diffusion_pytorch_model.safetensors.index.json"), &map).unwrap();
    assert_eq!(opened(), ["one", "two"]);
    write(&at("diffusion_pytorch_model.safetensors"), &[("whole", DType::F32, 1)]);
    assert_eq!(opened(), ["whole"]);
}

#[test]
fn a_sharded_variant_is_found_in_both_spellings() {
    for index in ["model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"] {
        let folder = tempfile::tempdir().unwrap();
        let shard = "model.fp16-00001-of-00001.safetensors";
        write(&folder.path().join(shard), &[("a", DType::F16, 2)]);
        write_json(&folder.path().join(index), &json!({"weight_map": {"a": shard}})).unwrap();
        assert!(WeightFiles::open(folder.path()).unwrap().get("a", &[2]).is_ok(), "{index}");
    }
}

#[test]
fn an_index_that_does_not_describe_its_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("shard.safetensors"), &[("a", DType::F32, 1)]);
    for (index, word) in [
        (json!({"weight_map": {"b": "shard.safetensors"}}), "\"b\""),
        (json!({"weight_map": {"a": "nowhere.safetensors"}}), "nowhere.safetensors"),
        (json!({"weight_map": {"a": "../shard.safetensors"}}), "../shard.safetensors"),
        (json!({"weight_map": {"a": "/etc/passwd"}}), "/etc/passwd"),
        (json!({"weight_map": {"a": ".."}}), "\"a\""),
        (json!({"weight_map": {"a": 3}}), "\"a\""),
        (json!({"weights": {}}), "weight_map"),
    ] {
        write_json(&folder.path().join("model.safetensors.index.json"), &index).unwrap();
        let error = WeightFiles::open(folder.path()).expect_err(&index.to_string()).to_string();
        assert!(error.contains(word), "{index}: {error}");
    }
}

#[test]
fn errors_name_file_tensor_expected_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let error = WeightFiles::open_file(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is a folder") && error.contains("lora.safetensors"), "{error}");
    let path = folder.path().join("model.safetensors");
    write(&path, &[("a", DType::F32, 4), ("b.position_ids", DType::F32, 2)]);
    let files = WeightFiles::open(folder.path()).unwrap();
    let shape = files.get("a", &[2, 2]).unwrap_err().to_string();
    for word in ["model.safetensors", "\"a\"", "[4]", "[2, 2]"] {
        assert!(shape.contains(word), "{shape}");
    }
    let missing = files.get("nothing", &[1]).unwrap_err().to_string();
    assert!(missing.contains("model.safetensors") && missing.contains("\"nothing\""), "{missing}");
    let WeightError::Unused { tensors, .. } = files.finish(&[]).unwrap_err() else { panic!("not Unused") };
    assert_eq!(tensors, ["a", "b.position_ids"]);
    files.get("a", &[4]).unwrap();
    assert_eq!(files.unused(), ["b.position_ids"]);
    files.finish(&[".position_ids"]).unwrap();
}

#[test]
fn a_folder_without_weights_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = WeightFiles::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("diffusion_pytorch_model.safetensors"), "{error}");
    std::fs::write(folder.path().join("diffusion_pytorch_model.bin"), b"pickle").unwrap();
    let error = WeightFiles::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("safe_serialization=True"), "{error}");
}

#[test]
fn other_types_can_be_listed_but_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header = br#"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &7i64.to_le_bytes()].concat();
    std::fs::write(&path, bytes).unwrap();
    let files = WeightFiles::open_file(&path).unwrap();
    assert_eq!(files.shape("ids"), Some(&[1][..]));
    let error = files.get("ids", &[1]).unwrap_err().to_string();
    assert!(error.contains("I64"), "{error}");
    assert_eq!(files.get_scalar("ids").unwrap(), 7.0);
}

#[test]
fn quantised_weights_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header = br#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), &header[..], &[0, 0]].concat()).unwrap();
    let error = WeightFiles::open_file(&path).unwrap().get("a", &[2]).unwrap_err().to_string();
    assert!(error.contains("U8") && error.contains("before it was quantised"), "{error}");
}

#[test]
fn the_names_of_a_compiled_model_are_read_as_those_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, &[("_orig_mod.a.weight", DType::F32, 2)]);
    assert!(WeightFiles::open(folder.path()).unwrap().get("a.weight", &[2]).is_ok());
    write(&path, &[("_orig_mod.a.weight", DType::F32, 2), ("a.weight", DType::F32, 2)]);
    let error = WeightFiles::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("two tensors stand for \"a.weight\""), "{error}");
    std::fs::remove_file(&path).unwrap();
    write(&folder.path().join("shard.safetensors"), &[("_orig_mod.a.weight", DType::F32, 2)]);
    let index = json!({"weight_map": {"_orig_mod.a.weight": "shard.safetensors"}});
    write_json(&folder.path().join("model.safetensors.index.json"), &index).unwrap();
    assert!(WeightFiles::open(folder.path()).unwrap().get("a.weight", &[2]).is_ok());
}

#[test]
fn headers_that_contradict_the_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for (header, data) in [
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}"#, 4),
        (r#"{"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":"#, 0),
    ] {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat();
        std::fs::write(&path, bytes).unwrap();
        let error = WeightFiles::open_file(&path).expect_err(header).to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, &[("a", DType::F32, 6), ("b", DType::BF16, 5)]);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(WeightFiles::open_file(&path).is_err(), "{length} of {} bytes", whole.len());
    }
}

proptest! {
    #[test]
    fn a_file_with_changed_bytes_never_panics(changes in prop::collection::vec((0usize..200, any::<u8>()), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let header = br#"{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[5,1],"data_offsets":[24,34]}}"#;
        let mut bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &[7; 34]].concat();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(files) = WeightFiles::open_file(&path) {
            for name in files.names() {
                if let Ok(data) = files.get_any_shape(name) {
                    prop_assert_eq!(data.to_f32().len(), data.len());
                }
            }
        }
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    write_json(&path, &json!({"a": 1})).unwrap();
    // A folder in the way makes the rename fail.
    let blocked = folder.path().join("blocked");
    std::fs::create_dir_all(blocked.join("inside")).unwrap();
    assert!(write_atomically(&blocked, b"text").is_err());
    let bad = [0.0f32; 3];
    let tensors = BTreeMap::from([("x".to_owned(), TensorBytes::f32(&[2], &bad))]);
    let error = write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("\"x\"") && error.contains("8 bytes"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"a\": 1\n}\n");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
