//! A loaded `.tflite` network: operators are checked and planned once and run many times.
//!
//! Operators that the requested outputs do not need are dropped (the pose network's segmentation is half of
//! its work). Images are NHWC with a batch of one; every shape is checked when loading, so that a run cannot
//! fail.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::depthwise::depthwise;
use super::kernels;
use super::model::{self, ReadError};
use super::plan::{self, Kernel, PlanError, Step};

/// A network that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The model file.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is damaged or not a TensorFlow Lite model.
    #[error("{file}: {source}")]
    Read {
        /// The model file.
        file: PathBuf,
        /// The reason.
        source: ReadError,
    },
    /// The file has operators that are not supported.
    #[error("{file}: {source}")]
    Plan {
        /// The model file.
        file: PathBuf,
        /// The operator and the reason.
        source: PlanError,
    },
    /// The file holds another network than the detector expects.
    #[error("{file}: expected {expected}, found {found}: another model's file?")]
    Unexpected {
        /// The model file.
        file: PathBuf,
        /// The detector's network.
        expected: String,
        /// This file's network.
        found: String,
    },
}

/// A loaded network; [`Network::run`] may be called from several threads at once.
pub struct Network {
    input: i32,
    outputs: Vec<i32>,
    steps: Vec<Step>,
    /// Side of the square RGB input.
    side: usize,
    /// Buffers of earlier runs, reused because allocating costs more than some of the operators.
    spare: Mutex<Vec<Vec<f32>>>,
}

impl Network {
    /// Loads a network whose input is one `side` x `side` RGB image, keeping the outputs `wanted` (by
    /// their number in the file), which must have as many elements as stated.
    pub fn load(file: &Path, side: usize, wanted: &[(usize, usize)]) -> Result<Self, NetworkError> {
        let bytes =
            fairhuman_files::read(file).map_err(|source| NetworkError::Io { file: file.into(), source })?;
        Self::from_bytes(file, &bytes, side, wanted)
    }

    /// As [`Network::load`], from bytes; `file` is the name in messages.
    pub fn from_bytes(
        file: &Path,
        bytes: &[u8],
        side: usize,
        wanted: &[(usize, usize)],
    ) -> Result<Self, NetworkError> {
        let graph = model::read(bytes).map_err(|source| NetworkError::Read { file: file.into(), source })?;
        let shapes =
            |list: &[i32]| -> Vec<Vec<usize>> { list.iter().map(|&t| graph.shape(t).to_vec()).collect() };
        let (inputs, outputs) = (shapes(&graph.inputs), shapes(&graph.outputs));
        let input_fits = inputs == [vec![1, side, side, 3]];
        let outputs_fit =
            wanted.iter().all(|&(i, len)| outputs.get(i).is_some_and(|s| s.iter().product::<usize>() == len));
        if !input_fits || !outputs_fit {
            return Err(NetworkError::Unexpected {
                file: file.into(),
                expected: format!(
                    "an image [1, {side}, {side}, 3] and outputs (number, elements) {wanted:?}"
                ),
                found: format!("inputs {inputs:?}, outputs {outputs:?}"),
            });
        }
        let ends: Vec<i32> = wanted.iter().map(|&(i, _)| graph.outputs[i]).collect();
        let steps =
            plan::plan(&graph, &ends).map_err(|source| NetworkError::Plan { file: file.into(), source })?;
        Ok(Self { input: graph.inputs[0], outputs: ends, steps, side, spare: Mutex::default() })
    }

    /// Side of the square input image.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Runs on one image (`side * side * 3` numbers, rows of pixels) and returns the wanted outputs.
    ///
    /// # Panics
    /// If the image has another number of elements.
    pub fn run(&self, image: Vec<f32>) -> Vec<Vec<f32>> {
        assert_eq!(image.len(), self.side * self.side * 3, "elements of the input image");
        let mut live: HashMap<i32, Vec<f32>> = HashMap::from([(self.input, image)]);
        let mut spare = self.spare.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        for step in &self.steps {
            step.run(&mut live, &mut spare);
        }
        let outputs = self.outputs.iter().map(|t| live.remove(t).unwrap_or_default()).collect();
        spare.extend(live.into_values());
        if let Ok(mut kept) = self.spare.lock() {
            *kept = spare;
        }
        outputs
    }
}

impl Step {
    fn run(&self, live: &mut HashMap<i32, Vec<f32>>, spare: &mut Vec<Vec<f32>>) {
        let result = if self.in_place() {
            let first = self.inputs[0];
            let mut values = if self.last_used.contains(&first) {
                live.remove(&first).unwrap_or_default()
            } else {
                let mut copy = buffer(spare, self.len);
                copy.copy_from_slice(&live[&first]);
                copy
            };
            self.change(&mut values, self.inputs.get(1).map(|t| &live[t][..]));
            values
        } else {
            let mut out = buffer(spare, self.len);
            let operands: Vec<&[f32]> = self.inputs.iter().map(|t| &live[t][..]).collect();
            self.compute(&operands, &mut out);
            out
        };
        live.insert(self.output, result);
        for tensor in &self.last_used {
            spare.extend(live.remove(tensor));
        }
    }

    fn in_place(&self) -> bool {
        matches!(
            self.kernel,
            Kernel::Reshape | Kernel::Activate | Kernel::Add | Kernel::Prelu { .. } | Kernel::Sigmoid
        )
    }

    fn change(&self, values: &mut [f32], other: Option<&[f32]>) {
        match &self.kernel {
            Kernel::Add => kernels::add(values, other.unwrap_or_default()),
            Kernel::Prelu { slopes } => kernels::prelu(values, slopes),
            Kernel::Sigmoid => values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
            _ => {}
        }
        self.activation.apply(values);
    }

    fn compute(&self, operands: &[&[f32]], out: &mut [f32]) {
        let (x, xs, os) = (operands[0], self.from, self.to);
        match &self.kernel {
            Kernel::Conv { window, weight } => kernels::conv(x, xs, window, weight, out, os),
            Kernel::Depthwise { window, weight, bias } => {
                depthwise(x, xs, window, weight, bias, out, os);
            }
            Kernel::MaxPool { window } => kernels::max_pool(x, xs, window, out, os),
            Kernel::Resize { corners } => kernels::resize(x, xs, *corners, out, os),
            Kernel::DepthToSpace { block } => kernels::depth_to_space(x, xs, *block, out, os),
            Kernel::Pad { before } => kernels::pad(x, xs, *before, out, os),
            Kernel::FullyConnected { weight, bias } => {
                kernels::fully_connected(x, weight, bias.as_deref(), out);
            }
            Kernel::Mean => {
                out.fill(0.0);
                for pixel in x.chunks_exact(xs.c) {
                    kernels::add(out, pixel);
                }
                let count = (xs.h * xs.w) as f32;
                out.iter_mut().for_each(|v| *v /= count);
            }
            Kernel::Concat { outer, parts } => {
                let row: usize = parts.iter().sum();
                let mut at = 0;
                for (part, len) in operands.iter().zip(parts) {
                    for i in 0..*outer {
                        out[i * row + at..][..*len].copy_from_slice(&part[i * len..][..*len]);
                    }
                    at += len;
                }
            }
            Kernel::Reshape | Kernel::Activate | Kernel::Add | Kernel::Prelu { .. } | Kernel::Sigmoid => {}
        }
        self.activation.apply(out);
    }
}

/// A buffer of `len` numbers with arbitrary content, from the spare ones if one is large enough.
fn buffer(spare: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fit = (0..spare.len()).filter(|&i| spare[i].capacity() >= len).min_by_key(|&i| spare[i].capacity());
    let mut found = fit.map_or_else(Vec::new, |i| spare.swap_remove(i));
    found.resize(len, 0.0);
    found
}
