//! A whole random model, made from nothing, against diffusers' reading of the same folder. The golden values
//! are made by reference/pipeline_golden.py.

use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape, Var};

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};

#[test]
fn a_random_model_reads_prompts_and_decodes_latents_as_diffusers_does() {
    let model = tempfile::tempdir().unwrap();
    init_model(Preset::Tiny, DType::F32, 7, model.path()).unwrap();
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
        init_model(Preset::Tiny, DType::F16, seed, model.path()).unwrap();
        std::fs::read(model.path().join("unet/diffusion_pytorch_model.safetensors")).unwrap()
    };
    assert!(bytes(1) == bytes(1));
    assert!(bytes(1) != bytes(2));
}

/// What is said about a tiny model with one file changed.
fn refusal(file: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let model = tempfile::tempdir().unwrap();
    init_model(Preset::Tiny, DType::BF16, 0, model.path()).unwrap();
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
    let clip = refusal("text_encoder/config.json", |c| c["hidden_act"] = "mish".into());
    assert!(clip.contains("hidden_act"), "{clip}");
}
