//! Noise schedules against diffusers (`reference/schedule_golden.py`), and what must hold of every one.

use std::path::Path;

use fairhuman_diffusion::config_check::{Config, ConfigError};
use fairhuman_diffusion::sampler::Spacing;
use fairhuman_diffusion::schedule::{NoiseSchedule, Prediction};
use serde_json::{Value, json};

fn schedule(config: Value) -> Result<NoiseSchedule, ConfigError> {
    NoiseSchedule::from_config(Config::from_value(Path::new("scheduler_config.json"), config)?)
}

fn ddpm(more: Value) -> NoiseSchedule {
    let mut config = json!({"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085,
        "beta_end": 0.012, "beta_schedule": "scaled_linear"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    schedule(config).unwrap()
}

#[test]
fn every_quantity_equals_diffusers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schedule/golden.json");
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (z0, eps, p, gamma) = (0.7, -1.3, 0.4, 5.0);
    for row in &rows {
        let schedule = schedule(row["config"].clone()).unwrap();
        for (i, t) in row["at"].as_array().unwrap().iter().enumerate() {
            let t = t.as_u64().unwrap() as usize;
            let (signal, noise) = schedule.noising(t);
            let noisy = signal * z0 + noise * eps;
            let (of_z0, of_eps) = schedule.target(t);
            let clean = schedule.clean(t).map_or(f64::NAN, |(of_noisy, of_p)| of_noisy * noisy + of_p * p);
            for (name, found) in [
                ("alphas_cumprod", schedule.alphas_cumprod()[t]),
                ("noisy", noisy),
                ("target", of_z0 * z0 + of_eps * eps),
                ("clean", clean),
                ("snr", schedule.snr(t)),
                ("weight", schedule.min_snr_weight(t, gamma)),
            ] {
                // null: not finite in diffusers, that is at the step without signal.
                let Some(expected) = row[name][i].as_f64() else {
                    assert_eq!(schedule.alphas_cumprod()[t], 0.0, "{name} at {t}: {}", row["config"]);
                    continue;
                };
                // diffusers' f32 loses digits where 1 - abar, or when rescaled sqrt(abar), is a small
                // difference.
                let abar = schedule.alphas_cumprod()[t];
                let relative = 1e-4 + 2e-7 / (1.0 - abar) + 1e-6 / abar.sqrt().max(1e-9);
                let tolerance = relative.min(1e-2) * expected.abs() + 1e-7;
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{name} at {t}: {found}, diffusers has {expected}; {}",
                    row["config"]
                );
            }
        }
    }
}

#[test]
fn the_clean_latents_of_the_true_target_are_the_clean_latents() {
    for kind in ["epsilon", "v_prediction", "sample"] {
        let schedule = ddpm(json!({"prediction_type": kind}));
        for t in 0..schedule.steps() {
            let (signal, noise) = schedule.noising(t);
            let (z0, eps) = (0.3, 1.7);
            let (a, b) = schedule.target(t);
            let (c, d) = schedule.clean(t).unwrap();
            let found = c * (signal * z0 + noise * eps) + d * (a * z0 + b * eps);
            assert!((found - z0).abs() < 1e-12, "{kind} at {t}: {found}");
        }
    }
}

#[test]
fn abar_falls_strictly_and_no_beta_is_zero() {
    for form in ["linear", "scaled_linear", "squaredcos_cap_v2"] {
        for rescale in [false, true] {
            let schedule = ddpm(json!({"beta_schedule": form, "rescale_betas_zero_snr": rescale}));
            let abar = schedule.alphas_cumprod();
            assert!(abar[0] < 1.0 && abar.windows(2).all(|w| w[1] < w[0] && w[1] >= 0.0), "{form} {rescale}");
            assert_eq!(abar[999] == 0.0, rescale, "{form}");
        }
    }
}

#[test]
fn min_snr_weights_are_the_same_loss_of_z0_for_every_prediction() {
    // An error e of z0 is an error e sqrt(snr) of eps and e sqrt(snr + 1) of v.
    let weights = |kind: &str, t| ddpm(json!({"prediction_type": kind})).min_snr_weight(t, 5.0);
    for t in [0, 200, 500, 999] {
        let snr = ddpm(json!({})).snr(t);
        let of_z0 = weights("sample", t);
        assert!((weights("epsilon", t) * snr / of_z0 - 1.0).abs() < 1e-12);
        assert!((weights("v_prediction", t) * (snr + 1.0) / of_z0 - 1.0).abs() < 1e-12);
    }
}

#[test]
fn at_zero_signal_a_noise_prediction_says_nothing_and_velocity_is_well() {
    let zero = |kind: &str| ddpm(json!({"prediction_type": kind, "rescale_betas_zero_snr": true}));
    assert_eq!(zero("epsilon").clean(999).unwrap_err().0, 999);
    assert!(zero("epsilon").clean(998).is_ok());
    assert_eq!(zero("epsilon").min_snr_weight(999, 5.0), 1.0);
    assert_eq!(zero("v_prediction").clean(999).unwrap(), (0.0, -1.0));
    assert_eq!(zero("v_prediction").target(999), (-1.0, 0.0));
}

#[test]
fn sampling_keys_do_not_matter() {
    let more = json!({"clip_sample": false, "steps_offset": 1, "timestep_spacing": "leading", "_diffusers_version": "0.32.2",
        "skip_prk_steps": true, "set_alpha_to_one": false, "use_karras_sigmas": true, "trained_betas": null});
    assert_eq!(ddpm(more), ddpm(json!({})));
    assert_eq!(ddpm(json!({})).prediction(), Prediction::Epsilon);
}

#[test]
fn infinities_that_python_writes_are_no_error_where_nobody_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scheduler_config.json");
    let read = |more: &str| {
        let text = format!(
            r#"{{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, {more}}}"#
        );
        std::fs::write(&path, text).unwrap();
        NoiseSchedule::read(&path)
    };
    let plain = schedule(json!({"_class_name": "DPMSolverMultistepScheduler"})).unwrap();
    assert_eq!(read(r#""sigma_max": Infinity"#).unwrap(), plain);
    Spacing::read(&path).unwrap();
    let error = read(r#""beta_start": NaN"#).unwrap_err().to_string();
    assert!(error.contains("\"beta_start\": expected a number") && error.contains("found NaN"), "{error}");
}

#[test]
fn a_key_or_value_that_changes_the_mathematics_is_refused_by_name() {
    for (config, key) in [
        (json!({"beta_schedule": "sigmoid"}), "beta_schedule"),
        (json!({"prediction_type": "flow_prediction"}), "prediction_type"),
        (json!({"use_flow_sigmas": true}), "use_flow_sigmas"),
        (json!({"_class_name": "FlowMatchEulerDiscreteScheduler"}), "_class_name"),
        (json!({"_class_name": "EDMEulerScheduler"}), "_class_name"),
        (json!({"snr_shift_scale": 3.0}), "snr_shift_scale"),
        (json!({"num_train_timesteps": 0}), "num_train_timesteps"),
        (json!({"num_train_timesteps": "many"}), "num_train_timesteps"),
        (json!({"beta_end": 1.5}), "beta_end"),
        (json!({"beta_start": -0.1, "beta_schedule": "scaled_linear"}), "beta_start"),
        (json!({"trained_betas": [0.1]}), "trained_betas"),
    ] {
        let error = schedule(config.clone()).expect_err(&config.to_string()).to_string();
        assert!(error.contains(key) && error.contains("scheduler_config.json"), "{config}: {error}");
    }
}
