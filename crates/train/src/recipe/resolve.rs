//! From a recipe as written to a resolved one: defaults, then every check, all problems at once.

use std::path::{Path, PathBuf};

use fairhuman_dataset::GeometrySpec;
use fairhuman_fairness::Weighting as GramWeighting;

use super::bounds;
use super::samples::samples;
use super::{
    Checkpoints, GradientUse, Model, Optimizer, RawObjective, RawOptimizer, RawRecipe, RawValidation, Recipe,
    Validation,
};
use crate::aggregate::Rule;
use crate::method::{LossSpace, MethodSettings};
use crate::objective::Objective;
use crate::problems::Problems;
use crate::rate::Schedule;

/// Fills in the defaults and checks every value. `path` is the recipe's file, which the run folder is named
/// after; relative paths are relative to `base`.
///
/// # Errors
/// One line per problem, with the key, what was expected and what was found.
pub(super) fn resolve(
    raw: RawRecipe,
    method: MethodSettings,
    (path, base): (&Path, &Path),
    mut problems: Problems,
) -> Result<Recipe, Vec<String>> {
    let (mut dataset, region_scale) = (raw.dataset, method.region_scale());
    let rate = method.learning_rate();
    if method.space() == LossSpace::Pixels {
        let found = raw.min_snr_gamma.unwrap_or_default();
        problems.check(raw.min_snr_gamma.is_none(), "min_snr_gamma", "none for an autoencoder", found);
        problems.check(raw.samples.is_none(), "[samples]", "none for an autoencoder", "prompts");
        // An autoencoder reads no captions.
        dataset.default_caption.get_or_insert_default();
        dataset.allow_empty_captions = true;
    }
    let model = &raw.model;
    for (key, path) in [
        ("out", raw.out.as_deref()),
        ("cache", raw.cache.as_deref()),
        ("model.path", Some(&*model.path)),
        ("model.base", model.base.as_deref()),
        ("model.vae", model.vae.as_deref()),
        ("dataset.path", Some(&*dataset.path)),
    ] {
        check_path(key, path, &mut problems);
    }
    let name = path.file_stem().map_or_else(|| PathBuf::from("run"), PathBuf::from);
    let out = raw.out.map_or_else(|| Path::new("runs").join(name), |out| base.join(out));
    let cache = raw.cache.map_or_else(|| out.join("cache"), |cache| base.join(cache));
    dataset.path = base.join(&dataset.path);

    let size = (raw.geometry.width, raw.geometry.height);
    let mut weighting = raw.weighting;
    let names: Vec<&str> = raw.objective.iter().map(|o| o.name.as_str()).collect();
    if let Err(e) = weighting.resolve(base, &names) {
        problems.add(format!("weighting.{e}"));
    }
    let recipe = Recipe {
        steps: raw.steps,
        seed: raw.seed.unwrap_or(0),
        batch: raw.batch.unwrap_or(1),
        accumulation: raw.accumulation.unwrap_or(1),
        max_grad_norm: raw.max_grad_norm.unwrap_or(1.0),
        min_snr_gamma: raw.min_snr_gamma,
        stop_after_bad_steps: raw.stop_after_bad_steps.unwrap_or(10),
        gradients: raw.gradients,
        activation_checkpointing: raw.activation_checkpointing.unwrap_or(false),
        device: raw.device.unwrap_or_default(),
        precision: raw.precision,
        threads: raw.threads.unwrap_or(0),
        out,
        cache,
        ema: raw.ema,
        method,
        model: Model {
            path: base.join(raw.model.path),
            base: raw.model.base.map(|path| base.join(path)),
            prediction: raw.model.prediction,
            vae: raw.model.vae.map(|path| base.join(path)),
            clip_skip: raw.model.clip_skip,
            settled: None,
        },
        dataset,
        geometry: raw.geometry,
        objective: raw.objective.into_iter().map(|raw| objective(raw, region_scale)).collect(),
        weighting,
        optimizer: optimizer(&raw.optimizer, rate),
        schedule: Schedule {
            decay: raw.schedule.decay,
            warmup: raw.schedule.warmup.unwrap_or(0),
            decay_steps: raw.schedule.decay_steps.unwrap_or(raw.steps),
        },
        checkpoints: Checkpoints {
            every: raw.checkpoints.every.unwrap_or(500),
            keep: raw.checkpoints.keep.unwrap_or(3),
        },
        validation: validation(raw.validation, raw.seed.unwrap_or(0)),
        samples: raw.samples.map(|raw| samples(raw, base, size, &mut problems)),
        log: raw.log,
        on_end: raw.on_end,
    };
    check(&recipe, &mut problems);
    recipe.method.check(&recipe, &mut problems);
    problems.finish(recipe)
}

/// An empty path would be the recipe's own folder, and one that begins with `~` a folder of that name in it.
fn check_path(key: &str, path: Option<&Path>, problems: &mut Problems) {
    let Some(path) = path else { return };
    problems.check(!path.as_os_str().is_empty(), key, "a path", "an empty text");
    let expected = "a path without `~`, which only shells replace";
    problems.check(!path.starts_with("~"), key, expected, path.display());
}

fn objective(raw: RawObjective, region_scale: f64) -> Objective {
    let scale = raw.scale.unwrap_or(if raw.mask.is_some() { region_scale } else { 1.0 });
    Objective { name: raw.name, mask: raw.mask, scale, normalisation: raw.normalisation }
}

fn optimizer(raw: &RawOptimizer, rate: f64) -> Optimizer {
    Optimizer {
        learning_rate: raw.learning_rate.unwrap_or(rate),
        beta1: raw.beta1.unwrap_or(0.9),
        beta2: raw.beta2.unwrap_or(0.999),
        eps: raw.eps.unwrap_or(1e-8),
        weight_decay: raw.weight_decay.unwrap_or(1e-2),
    }
}

fn validation(raw: RawValidation, seed: u64) -> Validation {
    Validation {
        share: raw.share,
        samples: raw.samples,
        every: raw.every.unwrap_or(500),
        draws: raw.draws.unwrap_or(4),
        seed: raw.seed.unwrap_or(seed),
        pictures: raw.pictures.unwrap_or(false),
        at_start: raw.at_start.unwrap_or(true),
    }
}

fn check(recipe: &Recipe, problems: &mut Problems) {
    let share = |v: f64| (0.0..1.0).contains(&v);
    let r = recipe;
    for (key, path) in [
        ("out", &r.out),
        ("cache", &r.cache),
        ("model.path", &r.model.path),
        ("dataset.path", &r.dataset.path),
    ] {
        problems.check(path.to_str().is_some(), key, "a path in UTF-8, as recipes are", path.display());
    }
    problems.within(1..=bounds::STEPS, "steps", r.steps);
    problems.within(1..=bounds::BATCH, "batch", r.batch);
    problems.within(1..=bounds::ACCUMULATION, "accumulation", r.accumulation);
    problems.within(0..=bounds::THREADS, "threads", r.threads);
    problems.within(bounds::LEAST..=f64::INFINITY, "max_grad_norm", r.max_grad_norm);
    if let Some(gamma) = r.min_snr_gamma {
        problems.within(bounds::LEAST..=bounds::FACTOR, "min_snr_gamma", gamma);
    }
    problems.check(r.stop_after_bad_steps > 0, "stop_after_bad_steps", "at least 1", r.stop_after_bad_steps);
    if let Some(skip) = r.model.clip_skip {
        problems.within(1..=bounds::CLIP_SKIP, "model.clip_skip", skip);
    }
    check_geometry(&r.geometry, problems);
    if r.gradients == GradientUse::Twice {
        problems.check(r.accumulation == 1, "accumulation", "1 where gradients = \"twice\"", r.accumulation);
        problems.check(r.needs_products_only(), "gradients", "\"kept\" for this weighting", "\"twice\"");
        problems.check(r.method.wants_less(), "gradients", "\"kept\" for an autoencoder", "\"twice\"");
    }
    if let Some(samples) = &r.samples {
        let (name, images) = (r.method.name(), &samples.control_images);
        let (expected, found) = match r.method.is_controlled() {
            true => (format!("the control images of the prompts, as {name} needs them"), "none"),
            false => (format!("none for {name}"), "some"),
        };
        problems.check(
            r.method.is_controlled() != images.is_empty(),
            "samples.control_images",
            &expected,
            found,
        );
    }
    if let Some(on_end) = &r.on_end {
        let names_one = on_end.command.first().is_some_and(|program| !program.is_empty());
        problems.check(names_one, "on_end.command", "a program and its arguments", "none");
    }
    check_objectives(&r.objective, problems);
    if let Err(e) = r.weighting.validate(r.objective.len().max(1)) {
        problems.add(format!("weighting: {e}"));
    }
    if let Rule::Gram(GramWeighting::Fixed(fixed)) = &r.weighting.rule {
        fixed
            .weights
            .iter()
            .for_each(|&w| problems.within(f64::MIN..=bounds::FACTOR, "weighting.weights", w));
        let largest = fixed.weights.iter().copied().fold(0.0, f64::max);
        problems.within(bounds::LEAST..=f64::INFINITY, "weighting.weights: the largest", largest);
    }
    if let Some(ema) = r.ema {
        problems.check(share(ema), "ema", "a decay in [0, 1)", ema);
    }
    let o = r.optimizer;
    problems.within(0.0..=bounds::RATE, "optimizer.learning_rate", o.learning_rate);
    problems.check(share(o.beta1), "optimizer.beta1", "a number in [0, 1)", o.beta1);
    problems.check(share(o.beta2), "optimizer.beta2", "a number in [0, 1)", o.beta2);
    problems.within(bounds::EPS.0..=bounds::EPS.1, "optimizer.eps", o.eps);
    problems.within(0.0..=bounds::RATE, "optimizer.weight_decay", o.weight_decay);
    problems.within(0..=bounds::STEPS, "schedule.warmup", r.schedule.warmup);
    problems.check(
        r.schedule.decay_steps > r.schedule.warmup || r.schedule.decay == crate::rate::Decay::Constant,
        "schedule.decay_steps",
        &format!("more than the {} steps of warm-up", r.schedule.warmup),
        r.schedule.decay_steps,
    );
    problems.check(r.checkpoints.every > 0, "checkpoints.every", "at least 1", r.checkpoints.every);
    let v = &r.validation;
    if let Some(s) = v.share {
        problems.check(share(s), "validation.share", "a share in [0, 1)", s);
    }
    problems.check(v.share.is_none() || v.samples.is_none(), "validation", "`share` or `samples`", "both");
    problems.check(v.every > 0, "validation.every", "at least 1", v.every);
    problems.within(1..=bounds::DRAWS, "validation.draws", v.draws);
}

/// Sizes are known to divide into latent cells only once the model is read; their bounds are known now.
fn check_geometry(g: &GeometrySpec, problems: &mut Problems) {
    problems.within(1..=bounds::SIDE, "geometry.width", g.width);
    problems.within(1..=bounds::SIDE, "geometry.height", g.height);
    problems.check((0.0..=1.0).contains(&g.flip), "geometry.flip", "a probability, from 0 to 1", g.flip);
    if let Some(buckets) = &g.buckets {
        problems.within(1..=bounds::SIDE, "geometry.buckets.step", buckets.step);
        for (key, side) in [("min_side", buckets.min_side), ("max_side", buckets.max_side)] {
            if let Some(side) = side {
                problems.within(1..=bounds::SIDE, &format!("geometry.buckets.{key}"), side);
            }
        }
    }
}

fn check_objectives(objectives: &[Objective], problems: &mut Problems) {
    let most = fairhuman_fairness::MAX_OBJECTIVES;
    problems.check(
        (1..=most).contains(&objectives.len()),
        "objective",
        &format!("1 to {most} tables [[objective]], such as\n    [[objective]]\n    name = \"global\"\n "),
        objectives.len(),
    );
    for (i, o) in objectives.iter().enumerate() {
        let key = |key: &str| format!("objective {} ({:?}).{key}", i + 1, o.name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let fine = !o.name.is_empty() && o.name.chars().all(plain);
        problems.check(fine, &key("name"), "letters, digits, _ and -", format!("{:?}", o.name));
        let first = objectives[..i].iter().all(|p| p.name != o.name);
        problems.check(first, &key("name"), "a name of its own", "the name of an earlier objective");
        problems.check(o.mask.as_deref() != Some(""), &key("mask"), "a column or folder", "an empty string");
        problems.within(bounds::LEAST..=bounds::FACTOR, &key("scale"), o.scale);
    }
}
