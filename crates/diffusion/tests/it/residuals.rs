//! Residuals of ControlNets and features of T2I-Adapters inside a U-Net: against diffusers (golden files by
//! reference/unet_golden.py), against finite differences, and what is refused.

use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::{Residuals, UNet, UNetInput};
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Array, Backend, Cpu, Lanes, ParamGrads, Params, Reference, Tape, Var};

use crate::golden::{assert_close, channels_last, folder, get, tensor};
use crate::unet::input;

/// "sd15" ends its down path with a block without attention and without downsampler, "sdxl" begins it with
/// one that has a downsampler.
const CASES: [&str; 2] = ["sd15", "sdxl"];

fn open(case: &str) -> WeightFiles {
    WeightFiles::open_file(&folder("unet", case).join("residuals.safetensors")).unwrap()
}

/// Names of all residuals and features of a file.
fn names(file: &WeightFiles) -> Vec<String> {
    let mid = ["mid".to_owned()];
    let list = |kind: &str| {
        let names = (0..).map(|i| format!("{kind}.{i}"));
        names.take_while(|name| file.contains(name)).collect::<Vec<_>>()
    };
    [list("skip"), list("feature"), mid.into()].concat()
}

/// Residuals with `values` under `names`.
fn residuals<B: Backend>(names: &[String], values: &[Var<B>]) -> Residuals<B> {
    let of = |kind: &str| {
        let all = names.iter().zip(values).filter(|(name, _)| name.starts_with(kind));
        all.map(|(_, var)| var.clone()).collect::<Vec<_>>()
    };
    Residuals { skips: of("skip"), mid: of("mid").pop(), features: of("feature") }
}

fn load<B: Backend>(backend: &B, case: &str) -> UNet<B> {
    UNet::load(backend, &folder("unet", case).join("unet"), Trainable::None).unwrap()
}

#[test]
fn predictions_and_gradients_with_residuals_and_features_equal_diffusers() {
    for case in CASES {
        let (backend, params, file) = (Cpu::new(2).unwrap(), Params::default(), open(case));
        let (unet, names) = (load(&backend, case), names(&file));
        let mut tape = Tape::new(&backend, &params, false);
        let leaves: Vec<_> =
            names.iter().map(|name| tape.leaf(tensor(&backend, &channels_last(&get(&file, name))))).collect();
        let input = UNetInput { residuals: residuals(&names, &leaves), ..input(&backend, &file) };
        let prediction = unet.forward(&mut tape, &input).unwrap();
        let values = backend.read(prediction.value());
        assert_close(case, &values, &channels_last(&get(&file, "prediction")).values, 1e-4);

        let target = channels_last(&get(&file, "target")).values;
        let slope = |(p, t): (&f32, &f32)| 2.0 * (p - t) / target.len() as f32;
        let cotangent: Vec<f32> = values.iter().zip(&target).map(slope).collect();
        let cotangent = backend.tensor(prediction.shape(), &cotangent);
        let (lanes, wanted) = (Lanes::single(1), leaves.iter().collect::<Vec<_>>());
        let mut sink = ParamGrads::new(&params, &lanes);
        let grads = tape.backward(&prediction, cotangent, &lanes, &wanted, &mut sink);
        for (name, grad) in names.iter().zip(grads) {
            let expected = channels_last(&get(&file, &format!("grad.{name}"))).values;
            let found = backend.read(&grad.expect("a gradient flows into every residual"));
            assert_close(&format!("{case} {name}"), &found, &expected, 1e-3);
        }
    }
}

/// A direction without structure, of the shape of a residual.
fn direction(shape: &[usize], seed: usize) -> Array {
    let count: usize = shape.iter().product();
    let value = |i: usize| (((i + 7 * seed) * 2_654_435_761 % 1000) as f64 / 500.0 - 1.0) * 0.5;
    Array::new(shape, (0..count).map(value).collect())
}

/// A tensor of a file and a second sample beside it.
fn two(file: &WeightFiles, name: &str) -> Array {
    let one = tensor(&Reference, &channels_last(&get(file, name)));
    let mut shape = one.shape().to_vec();
    let second = direction(&shape, 3);
    shape[0] = 2;
    Array::new(&shape, [one.values(), second.values()].concat())
}

/// The input of two samples.
fn input_of_two(file: &WeightFiles, residuals: Residuals<Reference>) -> UNetInput<Reference> {
    let added = input(&Reference, file).added.map(|mut added| {
        added.pooled = Var::constant(two(file, "pooled"));
        added.time_ids = vec![added.time_ids[0]; 2];
        added
    });
    let text = Var::constant(two(file, "text")).into();
    UNetInput { latents: two(file, "latents"), timesteps: vec![417.0, 3.0], text, added, residuals }
}

fn predict(unet: &UNet<Reference>, file: &WeightFiles, residuals: Residuals<Reference>) -> Array {
    let params = Params::default();
    let mut tape = Tape::new(&Reference, &params, false);
    unet.forward(&mut tape, &input_of_two(file, residuals)).unwrap().value().clone()
}

#[test]
fn gradients_of_residuals_and_features_equal_finite_differences_for_every_objective() {
    const STEP: f64 = 1e-4;
    for case in CASES {
        let (params, file) = (Params::default(), open(case));
        let (unet, names) = (load(&Reference, case), names(&file));
        let values: Vec<Array> = names.iter().map(|name| two(&file, name)).collect();

        let mut tape = Tape::new(&Reference, &params, false);
        let leaves: Vec<_> = values.iter().map(|value| tape.leaf(value.clone())).collect();
        let prediction = unet.forward(&mut tape, &input_of_two(&file, residuals(&names, &leaves))).unwrap();
        // The second objective sees one sample only.
        let lanes = Lanes::new(2, &[vec![0, 1], vec![1]]);
        let mut shape = prediction.shape().to_vec();
        shape[0] = lanes.len();
        let (cotangent, wanted) = (direction(&shape, 1), leaves.iter().collect::<Vec<_>>());
        let mut sink = ParamGrads::new(&params, &lanes);
        let grads = tape.backward(&prediction, cotangent.clone(), &lanes, &wanted, &mut sink);

        for (which, name) in names.iter().enumerate() {
            let along = direction(values[which].shape(), 2);
            let moved = |by: f64| {
                let value = &values[which];
                let nudged = value.values().iter().zip(along.values()).map(|(v, d)| v + by * d).collect();
                let mut values: Vec<Var<Reference>> = values.iter().cloned().map(Var::constant).collect();
                values[which] = Var::constant(Array::new(value.shape(), nudged));
                predict(&unet, &file, residuals(&names, &values))
            };
            let (plus, minus) = (moved(STEP), moved(-STEP));
            let grad = grads[which].as_ref().expect("a gradient flows into every residual");
            let (size, each) = (plus.values().len() / 2, along.values().len() / 2);
            for lane in 0..lanes.len() {
                let (from, residual) = (lanes.sample(lane) * size, lanes.sample(lane) * each);
                let slope = |i: usize| (plus.values()[from + i] - minus.values()[from + i]) / (2.0 * STEP);
                let expected: f64 = (0..size).map(|i| cotangent.values()[lane * size + i] * slope(i)).sum();
                let product = |i: usize| grad.values()[lane * each + i] * along.values()[residual + i];
                let found: f64 = (0..each).map(product).sum();
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-6, "{case} {name}, lane {lane}: {found} instead of {expected}");
            }
        }
    }
}

#[test]
fn residuals_of_zeros_change_no_bit_and_others_do() {
    for case in CASES {
        let (unet, file) = (load(&Reference, case), open(case));
        let names = names(&file);
        let scaled = |factor: f64| {
            let values = names.iter().map(|name| {
                let value = two(&file, name);
                Var::constant(Array::new(value.shape(), value.values().iter().map(|v| factor * v).collect()))
            });
            predict(&unet, &file, residuals(&names, &values.collect::<Vec<_>>()))
        };
        let plain = predict(&unet, &file, Residuals::default());
        assert_eq!(scaled(0.0).values(), plain.values());
        assert_ne!(scaled(1.0).values(), plain.values());
    }
}

/// The refusal of residuals after `change`.
fn refusal(change: impl Fn(&mut Residuals<Cpu>)) -> String {
    let (backend, params, file) = (Cpu::new(1).unwrap(), Params::default(), open("sdxl"));
    let (unet, names) = (load(&backend, "sdxl"), names(&file));
    let var = |name: &String| Var::constant(tensor(&backend, &channels_last(&get(&file, name))));
    let mut residuals = residuals(&names, &names.iter().map(var).collect::<Vec<_>>());
    change(&mut residuals);
    let input = UNetInput { residuals, ..input(&backend, &file) };
    let error: ModelError = unet.forward(&mut Tape::new(&backend, &params, false), &input).err().unwrap();
    error.to_string()
}

#[test]
fn residuals_of_another_number_or_shape_are_refused_with_what_was_expected() {
    let other = || Var::constant(Cpu::new(1).unwrap().zeros(&[1, 4, 4, 32]));
    let fewer = refusal(|r| r.skips.truncate(2));
    assert!(fewer.contains("residuals of the skips are 2, expected 6"), "{fewer}");
    let shape = refusal(|r| r.skips[4] = other());
    let expected = "residuals of the skips has shape [1, 4, 4, 32], expected [1, 2, 2, 32] at index 4";
    assert!(shape.contains(expected), "{shape}");
    let mid = refusal(|r| r.mid = Some(other()));
    assert!(mid.contains("residual of the middle") && mid.contains("expected [1, 2, 2, 32]"), "{mid}");
    let few = refusal(|r| r.features.truncate(2));
    assert!(few.contains("features are 2, expected 3"), "{few}");
    let many = refusal(|r| r.features.push(other()));
    assert!(many.contains("features are 5, expected 3, one for each down block"), "{many}");
    let left_over = refusal(|r| r.features[3] = other());
    assert!(left_over.contains("features has shape [1, 4, 4, 32]"), "{left_over}");
}
