//! Every sampler, spacing and prediction type with a toy model, against diffusers' schedulers
//! (`reference/sampler_golden.py`): the network's inputs at every evaluation, and the result.

use std::convert::Infallible;
use std::path::Path;

use fairhuman_diffusion::config_check::Config;
use fairhuman_diffusion::sampler::{Level, Sampler, SamplerError, Spacing, Trajectory};
use fairhuman_diffusion::schedule::NoiseSchedule;
use serde_json::{Value, json};

/// Relative to the largest number of a trajectory.
const TOLERANCE: f64 = 1e-4;

fn toy(x: f32, t: f64) -> f64 {
    let x = f64::from(x);
    0.6 * (1.3 * x).sin() + 0.3 * x * (t / 300.0).cos()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn read(config: &Value) -> (NoiseSchedule, Spacing) {
    let config = Config::from_value(Path::new("scheduler_config.json"), config.clone()).unwrap();
    (NoiseSchedule::from_config(config.clone()).unwrap(), Spacing::from_config(config).unwrap())
}

fn way(sampler: Sampler, steps: usize, config: Value) -> Result<Trajectory, SamplerError> {
    let (schedule, spacing) = read(&config);
    Trajectory::new(sampler, steps, &schedule, &spacing)
}

/// Largest difference of two trajectories over the largest number in the expected one.
fn difference(found: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    assert_eq!(
        found.iter().map(Vec::len).collect::<Vec<_>>(),
        expected.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let pairs = || found.iter().flatten().zip(expected.iter().flatten());
    let largest = pairs().fold(0.0f64, |m, (_, e)| m.max(e.abs()));
    pairs().map(|(f, e)| (f - e).abs() / largest).fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m })
}

#[test]
fn every_trajectory_is_that_of_diffusers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sampler/trajectories.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() > 130);
    for case in cases {
        let sampler: Sampler = case["sampler"].as_str().unwrap().parse().unwrap();
        let steps = case["steps"].as_u64().unwrap() as usize;
        let (schedule, spacing) = read(&case["config"]);
        let what = format!("{sampler}, {steps} steps, {}", case["config"]);
        let way = Trajectory::new(sampler, steps, &schedule, &spacing).expect(&what);

        let mut inputs: Vec<Vec<f64>> = Vec::new();
        let mut timesteps = Vec::new();
        let mut denoise = |x: &[f32], level: Level| -> Result<Vec<f32>, Infallible> {
            inputs.push(x.iter().map(|&v| f64::from(v)).collect());
            timesteps.push(level.timestep);
            let (of_x, of_p) = level.clean(schedule.prediction());
            Ok(x.iter().map(|&x| (of_x * f64::from(x) + of_p * toy(x, level.timestep)) as f32).collect())
        };
        let mut noise = |step: usize| (0..2).map(|j| ((3 * step + j) as f32).cos()).collect();
        let start = [0.8, -1.7].map(|v| (v * way.initial) as f32).to_vec();
        let last = sampler.run(&way.steps, start, &mut denoise, &mut noise).unwrap();

        assert_eq!(timesteps.len(), sampler.evaluations(steps), "{what}");
        let expected = numbers(&case["timesteps"]);
        // diffusers finds those of Karras' levels by logarithms in f32.
        let tolerance = if spacing.karras { 1e-5 } else { 1e-6 };
        assert!(difference(&[timesteps], &[expected]) < tolerance, "time steps of {what}");
        let mut expected: Vec<Vec<f64>> = case["inputs"].as_array().unwrap().iter().map(numbers).collect();
        expected.push(numbers(&case["last"]));
        inputs.push(last.iter().map(|&v| f64::from(v)).collect());
        let distance = difference(&inputs, &expected);
        assert!(distance < TOLERANCE, "{what}: differs by {distance:e}");
    }
}

#[test]
fn deterministic_samplers_converge_to_one_another() {
    let config = json!({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "timestep_spacing": "trailing"});
    let (schedule, spacing) = read(&config);
    // The clean latents are N(0.5, 0.6^2): what a perfect network would say.
    let end = |sampler: Sampler, steps: usize| {
        let way = Trajectory::new(sampler, steps, &schedule, &spacing).unwrap();
        let mut denoise = |x: &[f32], at: Level| -> Result<Vec<f32>, Infallible> {
            let gain = at.signal * 0.36 / (at.signal * at.signal * 0.36 + at.noise * at.noise);
            Ok(x.iter().map(|&x| (0.5 + gain * (f64::from(x) - at.signal * 0.5)) as f32).collect())
        };
        let mut none = |_| unreachable!("no noise is asked for");
        sampler.run(&way.steps, vec![1.0], &mut denoise, &mut none).unwrap()[0]
    };
    let truth = end(Sampler::Euler, 1000);
    for sampler in Sampler::ALL.into_iter().filter(|&s| s != Sampler::EulerAncestral) {
        let errors = [10, 50].map(|steps| (end(sampler, steps) - truth).abs());
        assert!(errors[1] < 0.04 && errors[1] <= errors[0], "{sampler}: {errors:?}");
    }
}

#[test]
fn impossible_requests_are_refused_with_what_is_possible() {
    let leading = json!({"timestep_spacing": "leading", "steps_offset": 1});
    let said = |sampler, steps| way(sampler, steps, leading.clone()).unwrap_err().to_string();
    assert!(said(Sampler::UniPc, 0).contains("1 to 998"), "{}", said(Sampler::UniPc, 0));
    assert!(said(Sampler::UniPc, 1000).contains("1000 steps of unipc"));
    assert!(said(Sampler::Euler, usize::MAX).contains("1 to 999"), "{}", said(Sampler::Euler, usize::MAX));
    assert!(
        way(Sampler::UniPc, 998, leading.clone()).is_ok()
            && way(Sampler::Euler, 999, leading.clone()).is_ok()
    );

    let no_signal = json!({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"});
    assert_eq!(way(Sampler::Ddim, 10, no_signal).unwrap_err(), SamplerError::ZeroSignal(999));
    assert_eq!(way(Sampler::Ddim, 10, json!({"clip_sample": true})).unwrap_err(), SamplerError::Clips);
    let no_noise = json!({"trained_betas": vec![0.0; 10], "num_train_timesteps": 10});
    assert_eq!(way(Sampler::Euler, 4, no_noise).unwrap_err(), SamplerError::NoNoise(9));
    assert!("plms".parse::<Sampler>().unwrap_err().contains("dpmpp-2m"));
}

#[test]
fn karras_levels_are_for_the_samplers_that_have_them_in_diffusers() {
    let plain = json!({"timestep_spacing": "trailing"});
    let karras = json!({"timestep_spacing": "trailing", "use_karras_sigmas": true});
    for sampler in Sampler::ALL {
        let same = way(sampler, 9, plain.clone()).unwrap() == way(sampler, 9, karras.clone()).unwrap();
        assert_eq!(same, matches!(sampler, Sampler::Ddim | Sampler::EulerAncestral), "{sampler}");
    }
}

#[test]
fn settings_that_would_sample_otherwise_are_refused_by_name() {
    for (key, value) in [
        ("use_exponential_sigmas", json!(true)),
        ("timestep_spacing", json!("karras")),
        ("interpolation_type", json!("log_linear")),
        ("final_sigmas_type", json!("one")),
        ("thresholding", json!(true)),
    ] {
        let config = Config::from_value(Path::new("here.json"), json!({ key: value })).unwrap();
        let message = Spacing::from_config(config).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains("here.json"), "{message}");
    }
}
