//! Writing recorded steps: the inputs of a step of a run, and the outputs of any step.

use std::collections::BTreeMap;

use fairhuman_engine::{Backend, Params};
use fairhuman_fairness::{self as fairness, State, weighting::AlphaFair};
use fairhuman_files::MARK;

use crate::aggregate::{Direction, Rule, Weighting};
use crate::batch::{Batch, Targets};
use crate::denoising::{DenoisingInputs, TextInputs};
use crate::error::TrainError;
use crate::folder;
use crate::gradient::Gradients;
use crate::group::ShardedGroup;
use crate::method::Method;
use crate::model::Model;
use crate::objective::{Normalisation, Objective};
use crate::optimizer::{Moments, update};
use crate::recipe::{Optimizer, Recipe};
use crate::recorded::{Tensor, TensorFile, Values, channels_first, write_tensors};

/// Checks that a step of this recipe can be recorded, by a command that ends after step `until`.
///
/// # Errors
/// The reason why it cannot.
pub fn validate(recipe: &Recipe, step: u64, until: u64) -> Result<(), String> {
    if step == 0 || step > until {
        return Err(format!("this command makes steps up to {until}"));
    }
    if !recipe.method.records() {
        let methods = "\"lora\", \"controlnet\" and \"t2i-adapter\"";
        return Err(format!(
            "steps are recorded where a part beside the U-Net is trained: by the methods {methods}"
        ));
    }
    if !recipe.objective.iter().enumerate().all(|(k, o)| (k == 0) == o.mask.is_none()) {
        return Err(
            "a recorded step has one objective without a mask, which is the first; this recipe has other \
                    objectives"
                .into(),
        );
    }
    if matches!(recipe.weighting.rule, Rule::Replay(_)) {
        return Err("the weights of another run are not in the file of a step".into());
    }
    if recipe.geometry.buckets.is_some() && recipe.accumulation > 1 {
        return Err("with buckets a step is one batch only where accumulation = 1".into());
    }
    Ok(())
}

/// Writes step `step` into the run folder: its inputs, with the weighting's memory of the steps before, and
/// what it gives when AdamW starts from zero, as replays do. All micro-batches of the step are one batch.
///
/// # Errors
/// Files that cannot be written, trained values that such a file has no names for.
pub fn write<B: Backend, M: Method<B>>(
    backend: &B,
    recipe: &Recipe,
    (model, settings): (&Model<B, M>, &M::Settings),
    (step, memory): (u64, &State),
    batch: &Batch<M::Inputs>,
    (gradients, direction): (&Gradients<B>, &Direction<B>),
    (learning_rate, clip): (f64, f64),
) -> Result<(), TrainError> {
    let folder = folder::record(&recipe.out, step);
    fairhuman_files::make_folder(&folder)
        .map_err(|source| TrainError::Io { path: folder.clone(), source })?;
    let values = |params: &Params<B>| {
        let values = model.network.record_values(backend, params);
        values.map_err(|problem| TrainError::RecordStep { step, problem })
    };
    let optimizer = Optimizer { learning_rate, ..recipe.optimizer };
    let mut inputs = model.network.record_inputs(settings, batch);
    let start = model.network.record_start(backend, &model.params, &folder, &mut inputs);
    start.map_err(|problem| TrainError::RecordStep { step, problem })?;
    add_targets(&mut inputs.tensors, &batch.targets, &recipe.objective);
    add_header(&mut inputs.metadata, recipe, &optimizer);
    inputs.metadata.insert("seed".into(), recipe.seed.to_string());
    inputs.metadata.insert("step".into(), step.to_string());
    if !memory.is_empty() {
        inputs.metadata.insert("weighting_memory".into(), serde_json::json!(memory).to_string());
    }
    write_tensors(&folder.join("inputs.safetensors"), &inputs)?;

    let mut params = Params::default();
    for param in model.params.iter() {
        params.add(param.name.clone(), param.value.clone());
    }
    let mut moments = Moments::new(backend, &params, &ShardedGroup::single());
    update(backend, &mut params, &mut moments, &direction.combined, clip, &optimizer, learning_rate);
    let outputs = outputs(&batch.targets, gradients, direction, values(&params)?);
    write_tensors(&folder.join("expected.safetensors"), &outputs)?;
    Ok(())
}

/// The inputs of a denoiser as tensors of a recorded step.
pub fn denoising_inputs(batch: &Batch<DenoisingInputs>) -> TensorFile {
    let Batch { targets, inputs } = batch;
    let shape = [targets.size, targets.channels, targets.height, targets.width];
    let n = targets.size;
    let mut file = TensorFile::default();
    let mut put = |name: &str, shape: &[usize], values: Vec<f32>| {
        file.tensors.insert(name.to_owned(), Tensor::f32(shape, values));
    };
    put("noisy_latents", &shape, channels_first(&inputs.noisy, shape));
    if let TextInputs::Embedded { prompt, tokens, pooled } = &inputs.text {
        put("prompt_embeds", &[n, *tokens, prompt.len() / (n * tokens).max(1)], prompt.clone());
        if !pooled.is_empty() {
            put("pooled_prompt_embeds", &[n, pooled.len() / n.max(1)], pooled.clone());
        }
    }
    if !inputs.time_ids.is_empty() {
        put("time_ids", &[n, 6], inputs.time_ids.clone());
    }
    let timesteps = Values::I64(inputs.timesteps.iter().map(|&t| t as i64).collect());
    file.tensors.insert("timesteps".into(), Tensor { shape: vec![n], values: timesteps });
    file
}

fn add_targets(tensors: &mut BTreeMap<String, Tensor>, targets: &Targets, objectives: &[Objective]) {
    let (n, c, h, w) = (targets.size, targets.channels, targets.height, targets.width);
    let mut put = |name: &str, shape: &[usize], values: Vec<f32>| {
        tensors.insert(name.to_owned(), Tensor::f32(shape, values));
    };
    put("target", &[n, c, h, w], channels_first(&targets.values, [n, c, h, w]));
    if targets.weights.iter().any(|&weight| weight != 1.0) {
        put("sample_weights", &[n], targets.weights.iter().map(|&weight| weight as f32).collect());
    }
    for (objective, mask) in objectives.iter().zip(&targets.masks) {
        if let Some(mask) = mask {
            put(&format!("mask_{}", objective.name), &[n, 1, h, w], mask.clone());
        }
    }
}

fn add_header(header: &mut BTreeMap<String, String>, recipe: &Recipe, o: &Optimizer) {
    let numbers = [
        ("learning_rate", o.learning_rate),
        ("weight_decay", o.weight_decay),
        ("beta1", o.beta1),
        ("beta2", o.beta2),
        ("eps", o.eps),
        ("max_grad_norm", recipe.max_grad_norm),
    ];
    header.extend(numbers.map(|(key, value)| (key.to_owned(), format!("{value:?}"))));
    match &recipe.weighting {
        Weighting {
            rule: Rule::Gram(fairness::Weighting::AlphaFair(method)), every: 1, average: 1, ..
        } if *method == AlphaFair::new(method.alpha) => {
            header.insert("alpha".into(), format!("{:?}", method.alpha))
        }
        other => header.insert("weighting".into(), serde_json::json!(other).to_string()),
    };
    let masked: Vec<&Objective> = recipe.objective.iter().filter(|o| o.mask.is_some()).collect();
    header.insert("objectives".into(), masked.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(","));
    if let [first, rest @ ..] = masked.as_slice()
        && rest.iter().all(|o| o.scale == first.scale)
    {
        header.insert("local_scale".into(), format!("{:?}", first.scale));
    }
    for objective in &recipe.objective {
        // Whatever it is called, a recorded step knows the objective without a mask as global.
        let name = if objective.mask.is_none() { "global" } else { &objective.name };
        header.insert(format!("scale_{name}"), format!("{:?}", objective.scale));
        if objective.normalisation == Normalisation::Region {
            header.insert(format!("normalisation_{}", objective.name), "region".into());
        }
    }
}

/// The results of a step as tensors of a file; `values` are the updated trained values.
pub fn outputs<B: Backend>(
    targets: &Targets,
    gradients: &Gradients<B>,
    direction: &Direction<B>,
    values: BTreeMap<String, Tensor>,
) -> TensorFile {
    let k = gradients.losses.len();
    let shape = [targets.size, targets.channels, targets.height, targets.width];
    let mut tensors = values;
    let prediction = channels_first(&gradients.prediction, shape);
    tensors.insert("prediction".into(), Tensor::f32(&shape, prediction));
    let losses = gradients.losses.iter().map(|&l| l as f32).collect();
    tensors.insert("losses".into(), Tensor::f32(&[k], losses));
    if !direction.gram.is_empty() {
        tensors.insert("gram".into(), Tensor::f64(&[k, k], direction.gram.clone()));
    }
    if let Some(solution) = &direction.solution {
        tensors.insert("weights".into(), Tensor::f64(&[k], solution.weights.clone()));
    }
    tensors.insert("grad_norm".into(), Tensor::f32(&[1], vec![direction.norm as f32]));
    let metadata = BTreeMap::from([(MARK.into(), env!("CARGO_PKG_VERSION").into())]);
    TensorFile { tensors, metadata }
}
