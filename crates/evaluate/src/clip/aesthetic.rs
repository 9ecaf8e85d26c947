//! LAION's aesthetic predictor (Schuhmann 2022): five linear layers without anything between them, which is
//! one affine map of CLIP ViT-L/14's normalised picture vector.

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightFiles;

use crate::error::EvaluateError;
use crate::network::{digest, open};

/// The map: a weight for each number of the vector, and a constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Aesthetic {
    weights: Vec<f64>,
    constant: f64,
    identity: String,
}

/// Numbers of the linear layers in the module lists that they are saved from; dropout lies between them.
const LAYERS: [usize; 5] = [0, 2, 4, 6, 7];

/// The affine map that linear layers `PREFIX.NUMBER.weight`, `PREFIX.NUMBER.bias` are together.
pub(crate) fn collapsed(files: &WeightFiles, prefix: &str) -> Result<(Vec<f64>, f64), EvaluateError> {
    let mut weights = vec![1.0];
    let mut constant = 0.0;
    for number in LAYERS.into_iter().rev() {
        let get =
            |end: &str| files.get_any_shape(&format!("{prefix}.{number}.{end}")).map_err(ModelError::from);
        let (weight, bias) = (get("weight")?, get("bias")?);
        let &[outputs, inputs] = weight.shape() else {
            return Err(shape(files, prefix, number, weight.shape()));
        };
        if outputs != weights.len() || bias.shape() != [outputs] {
            return Err(shape(files, prefix, number, weight.shape()));
        }
        constant += weights.iter().zip(bias.to_f32()).map(|(w, b)| w * f64::from(b)).sum::<f64>();
        let mut before = vec![0.0; inputs];
        for (w, row) in weights.iter().zip(weight.to_f32().chunks_exact(inputs)) {
            before.iter_mut().zip(row).for_each(|(sum, v)| *sum += w * f64::from(*v));
        }
        weights = before;
    }
    Ok((weights, constant))
}

fn shape(files: &WeightFiles, prefix: &str, number: usize, found: &[usize]) -> EvaluateError {
    let problem =
        format!("{prefix}.{number}: expected a linear layer that fits the next one, found {found:?}");
    EvaluateError::Weights { path: files.path().into(), problem }
}

impl Aesthetic {
    /// Reads the layers, `layers.*` as LAION's file has them or `mlp.layers.*` beside a CLIP model.
    ///
    /// # Errors
    /// A pickle, a file that is missing or damaged, layers that do not fit each other.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        let files = open(path)?;
        let prefix = if files.contains("mlp.layers.0.weight") { "mlp.layers" } else { "layers" };
        let (weights, constant) = collapsed(&files, prefix)?;
        let identity = format!("aesthetic predictor, weights sha256:{}", digest(&files)?);
        Ok(Self { weights, constant, identity })
    }

    /// Numbers of the vectors that it reads.
    pub fn width(&self) -> usize {
        self.weights.len()
    }

    /// Its weights' digest.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The score of a normalised picture vector, about 1 to 10.
    pub fn score(&self, vector: &[f32]) -> f64 {
        self.constant + self.weights.iter().zip(vector).map(|(w, v)| w * f64::from(*v)).sum::<f64>()
    }
}
