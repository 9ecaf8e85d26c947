//! Whether the model of a checkpoint file predicts noise or velocity: nothing in a file has to say so, and a
//! wrong guess makes pictures of nothing. The first that speaks is believed, and named.

use std::path::Path;

use super::family::{Parts, UNET};
use crate::net::ModelError;
use crate::pipeline::ModelFolder;
use crate::schedule::{self, NoiseSchedule};
use crate::weights::WeightFiles;

/// Predictions of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicts {
    /// The noise.
    Epsilon,
    /// The velocity.
    V,
}

/// A model's prediction, and who says so.
pub(super) struct Prediction {
    pub predicts: Predicts,
    /// The last noise level holds nothing of the picture.
    pub zero_snr: bool,
    pub because: &'static str,
}

/// The reason where nobody speaks.
const NOTHING: &str = "nothing in the file says otherwise";
/// Spread of a normalisation's biases above which SD 2.x predicts velocity (ComfyUI's rule).
const SD2_SPREAD: f64 = 0.09;

/// True if a `.yaml` file beside a checkpoint says that it predicts velocity: beside its name, or where that
/// name, a link, leads.
pub fn yaml_says_v(path: &Path) -> bool {
    let is_v = |line: &str| {
        let value = line.split_once("parameterization:").and_then(|(_, value)| value.split('#').next());
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == "v")
    };
    [Some(path.to_owned()), path.canonicalize().ok()].into_iter().flatten().any(|path| {
        let text = fairhuman_files::read_to_string(path.with_extension("yaml"));
        text.is_ok_and(|text| text.lines().any(is_v))
    })
}

/// The prediction of the checkpoint at `path`; `base` is the model that has the parts that it lacks.
///
/// # Errors
/// A base whose noise schedule cannot be read.
pub(super) fn of(
    path: &Path,
    (files, parts): (&WeightFiles, &Parts),
    given: Option<Predicts>,
    base: Option<&ModelFolder>,
) -> Result<Prediction, ModelError> {
    let found = of_file(path, files, parts, given);
    let Some(base) = base.filter(|_| found.because == NOTHING) else { return Ok(found) };
    // A U-Net alone predicts what the model predicts that it was trained from.
    let schedule = NoiseSchedule::read(&base.schedule())?;
    Ok(match schedule.prediction() {
        schedule::Prediction::Velocity => Prediction {
            predicts: Predicts::V,
            zero_snr: found.zero_snr || schedule.has_zero_snr(),
            because: "its base does, and nothing in the file says otherwise",
        },
        _ => found,
    })
}

fn of_file(path: &Path, files: &WeightFiles, parts: &Parts, given: Option<Predicts>) -> Prediction {
    let zero_snr = files.contains("ztsnr");
    let says = |predicts, because| Prediction { predicts, zero_snr, because };
    if let Some(predicts) = given {
        return says(predicts, "you say so");
    }
    if yaml_says_v(path) {
        return says(Predicts::V, "the .yaml file beside it says so");
    }
    // Before the header: other programs look at nothing else, and headers outlive what they describe.
    if files.contains("v_pred") {
        return says(Predicts::V, "the marker v_pred says so");
    }
    let header = |key: &str| files.metadata().get(key).map(String::as_str);
    match header("modelspec.prediction_type").or_else(|| header("modelspec.predict_key")) {
        Some("v" | "v_prediction") => return says(Predicts::V, "its header says so"),
        Some("epsilon") => return says(Predicts::Epsilon, "its header says so"),
        _ if header("modelspec.architecture").is_some_and(|a| a.ends_with("-v2-768-v")) => {
            return says(Predicts::V, "its header says so");
        }
        _ => {}
    }
    if parts.is_sd2 {
        let name = format!("{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias");
        let values = files.get_any_shape(&name).map(|data| data.to_f32()).unwrap_or_default();
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        if variance.sqrt() > SD2_SPREAD {
            return says(Predicts::V, "its weights look like it");
        }
    }
    says(Predicts::Epsilon, NOTHING)
}
