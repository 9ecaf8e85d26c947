//! Training an autoencoder, against PyTorch. The golden file is made by reference/vae_training_golden.py.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, Params};
use fairhuman_train::autoencoder::{Autoencoder, AutoencoderInputs, Losses, Part};
use fairhuman_train::batch::{Batch, Targets};
use fairhuman_train::gradient::{Gradients, Share, combined_gradient, objective_gradients};
use fairhuman_train::group::ShardedGroup;
use fairhuman_train::module::{PassContext, Wants};
use fairhuman_train::objective::{Normalisation, Objective};
use fairhuman_train::recorded::channels_last;

const LOSSES: Losses = Losses { part: Part::All, kl: 0.05, edges: 0.7 };

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/autoencoder")
}

fn silent() -> f64 {
    0.0
}

fn get(file: &WeightFiles, name: &str) -> Vec<f32> {
    file.get_any_shape(name).unwrap().to_f32()
}

fn image(file: &WeightFiles, name: &str) -> Vec<f32> {
    let shape: [usize; 4] = file.shape(name).unwrap().try_into().unwrap();
    channels_last(&get(file, name), shape)
}

fn objectives() -> Vec<Objective> {
    let normalisation = Normalisation::Image;
    vec![
        Objective { name: "global".into(), mask: None, scale: 1.0, normalisation },
        Objective { name: "face".into(), mask: Some("mask_face".into()), scale: 5.0, normalisation },
    ]
}

fn batch(file: &WeightFiles) -> Batch<AutoencoderInputs> {
    let [size, channels, height, width] = file.shape("pictures").unwrap().try_into().unwrap();
    let targets = Targets {
        size,
        height,
        width,
        channels,
        values: image(file, "pictures"),
        masks: vec![None, Some(get(file, "mask_face"))],
        weights: vec![1.0; size],
        names: (0..size).map(|n| format!("{n}.png")).collect(),
    };
    Batch { targets, inputs: AutoencoderInputs { noise: Some(image(file, "noise")) } }
}

fn gradients(
    backend: &Cpu,
    checkpointing: bool,
    batches: &[Batch<AutoencoderInputs>],
) -> (Params<Cpu>, Gradients<Cpu>) {
    let mut params = Params::default();
    let vae = AutoencoderKl::load(backend, &data().join("vae"), Trainable::All(&mut params)).unwrap();
    let autoencoder = Autoencoder { vae, losses: LOSSES };
    let context = PassContext { backend, checkpointing, clock: &silent, observer: None, watcher: None };
    let single = ShardedGroup::single();
    let share = Share::count(&single, objectives().len(), (batches, 0)).unwrap();
    let (objectives, wants) = (objectives(), Wants::Gradients);
    let found =
        objective_gradients(&context, &single, &autoencoder, &params, &objectives, &share, wants).unwrap();
    (params, found)
}

fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let size = norm(&mut expected.iter().copied());
    let distance = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    assert!(distance <= tolerance * size, "{name}: {distance:e} beside {size:e}");
}

/// Values that stand for zero: rounding noise, and no NaN.
fn assert_negligible(name: &str, values: &[f32]) {
    for value in values {
        assert!(value.abs() < 1e-6, "{name}: {value} where the gradient is zero");
    }
}

#[test]
fn losses_gradients_of_every_parameter_and_the_gram_matrix_equal_pytorchs() {
    let backend = Cpu::new(2).unwrap();
    let file = WeightFiles::open_file(&data().join("case.safetensors")).unwrap();
    for checkpointing in [false, true] {
        let (params, found) = gradients(&backend, checkpointing, &[batch(&file)]);
        let losses: Vec<f32> = found.losses.iter().map(|&l| l as f32).collect();
        assert_close("losses", &losses, &get(&file, "losses"), 1e-5);
        let gram: Vec<f32> = found.grads.gram(&backend).iter().map(|&v| v as f32).collect();
        assert_close("Gram matrix", &gram, &get(&file, "gram"), 1e-3);
        for (id, param) in params.ids().zip(params.iter()) {
            let name = param.name.strip_prefix("vae.").unwrap();
            let expected = get(&file, &format!("grad.{name}"));
            let grad = found.grads.get(id).unwrap();
            let values = match *Cpu::shape(grad) {
                [k, o, kh, kw, i] => filters_first(&backend.read(grad), k * o, kh * kw, i),
                _ => backend.read(grad),
            };
            // Biases before a normalisation have gradients of rounding noise: they must be as small here.
            if expected.iter().all(|v| v.abs() < 1e-7) {
                assert_negligible(name, &values);
            } else {
                assert_close(name, &values, &expected, 1e-3);
            }
        }
    }
}

/// `[filters, taps, inputs]` to `[filters, inputs, taps]`.
fn filters_first(values: &[f32], filters: usize, taps: usize, inputs: usize) -> Vec<f32> {
    let at = |f: usize, i: usize, t: usize| values[(f * taps + t) * inputs + i];
    let filter = |f| (0..inputs).flat_map(move |i| (0..taps).map(move |t| (f, i, t)));
    (0..filters).flat_map(filter).map(|(f, i, t)| at(f, i, t)).collect()
}

#[test]
fn micro_batches_add_up_to_the_whole_batch_the_divergence_included() {
    let backend = Cpu::new(2).unwrap();
    let file = WeightFiles::open_file(&data().join("case.safetensors")).unwrap();
    let whole = batch(&file);
    let (params, at_once) = gradients(&backend, false, std::slice::from_ref(&whole));
    let (_, in_parts) = gradients(&backend, false, &whole.split(1));
    for (a, b) in at_once.losses.iter().zip(&in_parts.losses) {
        assert!((a - b).abs() < 1e-6 * a.abs(), "{a} {b}");
    }
    for id in params.ids() {
        let read = |g: &Gradients<Cpu>| backend.read(g.grads.get(id).unwrap());
        let size = read(&at_once).iter().fold(0f32, |m, v| m.max(v.abs()));
        if size > 1e-7 {
            assert_close("gradient", &read(&in_parts), &read(&at_once), 1e-3);
        } else {
            assert_negligible("gradient", &read(&in_parts));
        }
    }
}

/// With its edges and, of both parts, with and without the divergence.
#[test]
fn the_gradient_of_a_weighted_sum_is_the_combined_gradient() {
    let backend = Cpu::new(2).unwrap();
    let file = WeightFiles::open_file(&data().join("case.safetensors")).unwrap();
    for part in [Part::All, Part::Decoder] {
        let mut params = Params::default();
        let trainable = match part {
            Part::All => Trainable::All(&mut params),
            Part::Decoder => Trainable::Parts(&mut params, &AutoencoderKl::<Cpu>::DECODER),
        };
        let vae = AutoencoderKl::load(&backend, &data().join("vae"), trainable).unwrap();
        let autoencoder = Autoencoder { vae, losses: Losses { part, ..LOSSES } };
        let context = PassContext {
            backend: &backend,
            checkpointing: false,
            clock: &silent,
            observer: None,
            watcher: None,
        };
        let (objectives, whole, coefficients) = (objectives(), batch(&file), [0.7, 2.5]);
        for batches in [vec![whole.clone()], whole.split(1)] {
            let of = &Share::count(&ShardedGroup::<Cpu>::single(), 2, (&batches[..], 0)).unwrap();
            let wants = Wants::Gradients;
            let kept = objective_gradients(
                &context,
                &ShardedGroup::single(),
                &autoencoder,
                &params,
                &objectives,
                of,
                wants,
            )
            .unwrap();
            let expected = kept.grads.combine(&backend, &coefficients);
            let found = combined_gradient(&context, &autoencoder, &params, &objectives, of, &coefficients);
            let read = |list: &[Option<<Cpu as Backend>::Tensor>]| -> Vec<f32> {
                list.iter().flatten().flat_map(|grad| backend.read(grad)).collect()
            };
            assert_close("gradient", &read(&found.unwrap().gradient), &read(&expected), 1e-5);
        }
    }
}
