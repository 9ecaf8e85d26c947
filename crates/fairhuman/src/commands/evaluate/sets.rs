//! Sets of pictures beside the reference, by features of networks: distances of whole pictures, of faces and
//! of hands, and the diversity of each prompt's pictures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fairhuman_engine::Backend;
use fairhuman_evaluate::sets::{
    Features, KeptFeatures, REGIONS, Regions, SetFeatures, cmmd, diversity, embed, frechet, kid,
};
use fairhuman_evaluate::{Better, Metric, Picture, PictureSet, Truth, difference_of_units, level_of_units};

use super::judges::Judges;
use super::outcome::{JudgeRecord, Measured};
use super::{advance, note_damaged};
use crate::cli::{Evaluate, JudgeChoice};
use crate::meter::Meter;

/// A distance of every folder from the reference.
pub struct Distance {
    /// Its name and definition.
    pub metric: Metric,
    /// The reference's folder.
    pub reference: String,
    /// Pictures, or regions, of the reference.
    pub reference_count: usize,
    /// Of each folder the distance, and the number of its pictures or regions.
    pub values: Vec<(Option<f64>, usize)>,
}

/// All that is said of sets.
#[derive(Default)]
pub struct OfSets {
    /// The makers of the features.
    pub judges: Vec<JudgeRecord>,
    /// Distances from the reference.
    pub distances: Vec<Distance>,
    /// Diversity over the pictures of a prompt.
    pub diversity: Vec<Measured>,
}

/// Measures the sets by every judge of sets; none where it is told to stop. Features are kept in a file.
///
/// # Errors
/// Weights or pictures that cannot be read.
pub fn measure<B: Backend>(
    backend: &B,
    judges: &Judges,
    sets: &[PictureSet],
    options: &Evaluate,
    (file, stop): (&Path, &AtomicBool),
) -> anyhow::Result<Option<OfSets>> {
    let mut found = OfSets::default();
    if !judges.choices().iter().any(JudgeChoice::is_of_sets) {
        return Ok(Some(found));
    }
    let mut kept = KeptFeatures::open(file)?;
    note_damaged(file, kept.damaged());
    let reference = options.reference.as_deref().map(|folder| PictureSet::open(folder, None)).transpose()?;
    // One rule for all sets: where regions should be, if that is known of every picture, else where they are
    // found.
    let is_known = |truth: &Truth| truth.faces.is_some() && truth.hands.is_some();
    let mut pictures = sets.iter().flat_map(|set| &set.pictures);
    let by_truth = pictures.all(|picture| picture.truth.as_ref().is_some_and(is_known));
    for choice in judges.choices() {
        let Some(embedder) = judges.embedder(backend, choice)? else { continue };
        let is_dino = matches!(choice, JudgeChoice::Dino(_));
        errln!("{}", embedder.name());
        let detection = judges.detection().filter(|_| is_dino && reference.is_some());
        let regions = detection.map(|detection| Regions { detection, by_truth });
        let mut all = Vec::new();
        for set in sets.iter().chain(&reference) {
            let meter = Meter::new("pictures");
            let mut progress = |progress| advance(&meter, progress);
            let embedded = embed(&*embedder, set, regions.as_ref(), &mut kept, stop, &mut progress);
            meter.finish();
            match embedded? {
                Some(of_set) => all.push(of_set),
                None => return Ok(None),
            }
        }
        let mut metrics = Vec::new();
        if is_dino {
            let measured = diversities(sets, &all);
            metrics.push(measured.metric.clone());
            found.diversity.push(measured);
        }
        if let Some(reference) = &reference {
            let distances = distances(choice, sets, &all, &reference.folder.display().to_string());
            metrics.extend(distances.iter().map(|distance| distance.metric.clone()));
            found.distances.extend(distances);
        } else if !is_dino {
            errln!("note: {} compares sets with a reference: --reference DIR", embedder.name());
        }
        found.judges.push(JudgeRecord {
            name: embedder.name(),
            identity: embedder.identity().to_owned(),
            metrics,
        });
    }
    kept.finish()?;
    Ok(Some(found))
}

fn distances(
    choice: &JudgeChoice,
    sets: &[PictureSet],
    all: &[SetFeatures],
    reference: &str,
) -> Vec<Distance> {
    let (own, others) = (&all[sets.len()], &all[..sets.len()]);
    let lower = |name: &str, about: &str| Metric::new(name, Better::Lower, about);
    let distance = |metric: Metric,
                    of: &dyn Fn(&SetFeatures) -> Features,
                    value: &dyn Fn(&Features, &Features) -> Option<f64>| {
        let reference_features = of(own);
        let value = |set: &SetFeatures| {
            let features = of(set);
            (value(&features, &reference_features), features.len())
        };
        Distance {
            metric,
            reference: reference.to_owned(),
            reference_count: reference_features.len(),
            values: others.iter().map(value).collect(),
        }
    };
    let whole = |set: &SetFeatures| set.whole.clone();
    if matches!(choice, JudgeChoice::Fid(_)) {
        let metric = lower(
            "fid.clean",
            "FID with clean-fid's resizing: Fréchet distance of Inception's pool3; for tables beside those of others, depends on the number of pictures",
        );
        return vec![distance(metric, &whole, &frechet)];
    }
    if matches!(choice, JudgeChoice::Cmmd(_)) {
        let metric = lower(
            "cmmd",
            "CMMD: a thousand times the squared maximum mean discrepancy of CLIP's vectors, sigma 10; defined with ViT-L/14 at 336 pixels",
        );
        return vec![distance(metric, &whole, &cmmd)];
    }
    let kid = |a: &Features, b: &Features| kid(a, b).map(|kid| kid.value);
    let mut found = vec![
        distance(
            lower(
                "dino.fd",
                "Fréchet distance of DINOv2's class tokens (FD-DINOv2 with ViT-L/14); depends on the number of pictures",
            ),
            &whole,
            &frechet,
        ),
        distance(
            lower("dino.kid", "unbiased kernel distance of DINOv2's class tokens, which may be below 0"),
            &whole,
            &kid,
        ),
    ];
    for kind in REGIONS {
        let of = |set: &SetFeatures| set.regions.get(kind).cloned().unwrap_or_default();
        if others.iter().chain([own]).any(|set| set.regions.contains_key(kind)) {
            let about = format!(
                "of {kind}s: squares of 1.5 times the box, at least 32 pixels, around the boxes of the reference where they are known, else around what the detectors find: read it beside the detection rate"
            );
            found.push(distance(
                lower(&format!("dino.{kind}_kid"), &format!("kernel distance {about}")),
                &of,
                &kid,
            ));
            found.push(distance(
                lower(&format!("dino.{kind}_fd"), &format!("Fréchet distance {about}")),
                &of,
                &frechet,
            ));
        }
    }
    found
}

fn diversities(sets: &[PictureSet], all: &[SetFeatures]) -> Measured {
    let about = "mean of 1 minus the cosine of DINOv2's class tokens over the pairs of pictures of a prompt; no score for prompts with one picture";
    let metric = Metric::new("dino.diversity", Better::Higher, about);
    let found: Vec<Vec<(&str, f64)>> =
        sets.iter().zip(all).map(|(set, own)| diversity(set, &own.whole)).collect();
    let level = |(set, found): (&PictureSet, &Vec<(&str, f64)>)| {
        let values: Vec<f64> = found.iter().map(|(_, value)| *value).collect();
        let unit =
            |picture: &&Picture| found.iter().any(|(unit, _)| *unit == fairhuman_evaluate::unit(picture));
        level_of_units((set.pictures.len(), set.pictures.iter().filter(unit).count()), &values)
    };
    let levels = sets.iter().zip(&found).map(level).collect();
    let first: BTreeMap<&str, f64> = found[0].iter().copied().collect();
    let difference = |other: &Vec<(&str, f64)>| {
        let both = other.iter().filter_map(|(unit, value)| Some(value - first.get(unit)?));
        let both: Vec<f64> = both.collect();
        difference_of_units((both.len(), other.len() - both.len()), &both, metric.better)
    };
    let differences = found.iter().skip(1).map(difference).collect();
    let scores = sets.iter().map(|set| vec![None; set.pictures.len()]).collect();
    Measured { metric, scores, levels, differences }
}
