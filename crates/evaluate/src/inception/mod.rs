//! The Inception network of FID (Heusel et al. 2017): TensorFlow's graph of 2015 in the names of
//! pytorch-fid's file. It differs from torchvision's in its pools: means leave the padding out, and the last
//! block takes maxima. Pictures are resized as clean-fid does it (Parmar et al. 2022).

mod layers;

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::{Backend, Params, Tape, Var};
use image::RgbImage;

use crate::bicubic;
use crate::error::EvaluateError;
use crate::network::{Reader, digest, open};
use crate::sets::{Embedder, Features};
use layers::{Convolution, Pool, global_mean, pool};

/// Side of the pictures that are read.
pub const SIDE: usize = 299;

/// Where a convolution's window may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Beyond the edges, so that the size stays.
    Same,
    /// Inside.
    Inside,
    /// Inside, every second place.
    Halved,
}

/// Names of the branches' convolutions of a block, one list for each branch; a pool ends with its own.
type Branches = &'static [&'static [(&'static str, Place)]];

use Place::{Halved, Inside, Same};

const STEM: [(&str, Place); 5] = [
    ("Conv2d_1a_3x3", Halved),
    ("Conv2d_2a_3x3", Inside),
    ("Conv2d_2b_3x3", Same),
    ("Conv2d_3b_1x1", Same),
    ("Conv2d_4a_3x3", Inside),
];

const A: Branches = &[
    &[("branch1x1", Same)],
    &[("branch5x5_1", Same), ("branch5x5_2", Same)],
    &[("branch3x3dbl_1", Same), ("branch3x3dbl_2", Same), ("branch3x3dbl_3", Same)],
];
const B: Branches = &[
    &[("branch3x3", Halved)],
    &[("branch3x3dbl_1", Same), ("branch3x3dbl_2", Same), ("branch3x3dbl_3", Halved)],
];
const C: Branches = &[
    &[("branch1x1", Same)],
    &[("branch7x7_1", Same), ("branch7x7_2", Same), ("branch7x7_3", Same)],
    &[
        ("branch7x7dbl_1", Same),
        ("branch7x7dbl_2", Same),
        ("branch7x7dbl_3", Same),
        ("branch7x7dbl_4", Same),
        ("branch7x7dbl_5", Same),
    ],
];
const D: Branches = &[
    &[("branch3x3_1", Same), ("branch3x3_2", Halved)],
    &[("branch7x7x3_1", Same), ("branch7x7x3_2", Same), ("branch7x7x3_3", Same), ("branch7x7x3_4", Halved)],
];
/// The last convolution of a branch is followed by both of a pair: `_2a` and `_2b`, `_3a` and `_3b`.
const E: Branches = &[
    &[("branch1x1", Same)],
    &[("branch3x3_1", Same)],
    &[("branch3x3dbl_1", Same), ("branch3x3dbl_2", Same)],
];
const PAIRS: [Option<[&str; 2]>; 3] =
    [None, Some(["branch3x3_2a", "branch3x3_2b"]), Some(["branch3x3dbl_3a", "branch3x3dbl_3b"])];

/// The blocks in their order: name, branches, pool.
const BLOCKS: [(&str, Branches, Pool); 11] = [
    ("Mixed_5b", A, Pool::Mean),
    ("Mixed_5c", A, Pool::Mean),
    ("Mixed_5d", A, Pool::Mean),
    ("Mixed_6a", B, Pool::Halved),
    ("Mixed_6b", C, Pool::Mean),
    ("Mixed_6c", C, Pool::Mean),
    ("Mixed_6d", C, Pool::Mean),
    ("Mixed_6e", C, Pool::Mean),
    ("Mixed_7a", D, Pool::Halved),
    ("Mixed_7b", E, Pool::Mean),
    ("Mixed_7c", E, Pool::Most),
];

struct Branch<B: Backend> {
    convolutions: Vec<Convolution<B>>,
    pair: Option<[Convolution<B>; 2]>,
}

struct Block<B: Backend> {
    branches: Vec<Branch<B>>,
    pool: Pool,
    /// After the pool, unless it halves.
    last: Option<Convolution<B>>,
}

/// The network on a backend.
pub struct Inception<'b, B: Backend> {
    backend: &'b B,
    stem: Vec<Convolution<B>>,
    blocks: Vec<Block<B>>,
    identity: String,
}

impl<'b, B: Backend> Inception<'b, B> {
    /// Reads `pt_inception-2015-12-05` as safetensors. Numbers of channels are the file's.
    ///
    /// # Errors
    /// A pickle, a file that is missing or damaged.
    pub fn open(backend: &'b B, path: &Path) -> Result<Self, EvaluateError> {
        let files = open(path)?;
        let digest = digest(&files)?;
        let reader = Reader { backend, files: &files };
        let stem = STEM.iter().map(|(name, place)| Convolution::read(&reader, name, *place));
        let stem = stem.collect::<Result<_, _>>()?;
        let block = |(name, branches, pool): &(&str, Branches, Pool)| {
            let convolution = |own: &str, place| Convolution::read(&reader, &format!("{name}.{own}"), place);
            let is_last = *branches == E;
            let branch = |(i, list): (usize, &&[(&str, Place)])| {
                let pair = PAIRS.get(i).copied().flatten().filter(|_| is_last);
                let pair =
                    pair.map(|[a, b]| Ok::<_, EvaluateError>([convolution(a, Same)?, convolution(b, Same)?]));
                let convolutions = list.iter().map(|(own, place)| convolution(own, *place));
                Ok(Branch { convolutions: convolutions.collect::<Result<_, _>>()?, pair: pair.transpose()? })
            };
            let branches = branches.iter().enumerate().map(branch).collect::<Result<_, EvaluateError>>()?;
            let last = match pool {
                Pool::Halved => None,
                _ => Some(convolution("branch_pool", Same)?),
            };
            Ok(Block { branches, pool: *pool, last })
        };
        let blocks = BLOCKS.iter().map(block).collect::<Result<_, EvaluateError>>()?;
        files.finish(&["fc.weight", "fc.bias", "num_batches_tracked"]).map_err(ModelError::from)?;
        let identity = format!(
            "Inception of 2015, clean (Pillow's bicubic in floats to {SIDE}), weights sha256:{digest}"
        );
        Ok(Self { backend, stem, blocks, identity })
    }

    /// The features of pictures as the network reads them, `[side, side, 3]` of (x - 128) / 128.
    pub fn features_of_values(&self, pictures: &[Vec<f32>], side: usize) -> Features {
        let params = Params::default();
        let backend = self.backend;
        backend.scope(|| {
            let mut tape = Tape::inference(backend, &params);
            let mut x = Var::constant(backend.tensor(&[pictures.len(), side, side, 3], &pictures.concat()));
            for (i, convolution) in self.stem.iter().enumerate() {
                x = convolution.forward(&mut tape, &x);
                if i == 2 || i == 4 {
                    x = pool(backend, &x, Pool::Halved);
                }
            }
            for block in &self.blocks {
                x = block.forward(backend, &mut tape, &x);
            }
            global_mean(backend, &x)
        })
    }
}

impl<B: Backend> Block<B> {
    fn forward<'m>(&'m self, backend: &B, tape: &mut Tape<'m, B>, x: &Var<B>) -> Var<B> {
        let mut parts = Vec::new();
        for branch in &self.branches {
            let mut h = x.clone();
            for convolution in &branch.convolutions {
                h = convolution.forward(tape, &h);
            }
            match &branch.pair {
                None => parts.push(h),
                Some(pair) => parts.extend(pair.iter().map(|convolution| convolution.forward(tape, &h))),
            }
        }
        let pooled = pool(backend, x, self.pool);
        parts.push(match &self.last {
            Some(convolution) => convolution.forward(tape, &pooled),
            None => pooled,
        });
        let mut parts = parts.into_iter();
        // A block has branches by its definition; without any it would be the pool alone.
        let first = parts.next().unwrap_or_else(|| x.clone());
        parts.fold(first, |all, part| tape.concat(&all, &part))
    }
}

impl<B: Backend> Embedder for Inception<'_, B> {
    fn name(&self) -> &'static str {
        "fid"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn embed(&self, images: &[&RgbImage]) -> Features {
        let values: Vec<Vec<f32>> = images.iter().map(|image| clean(image, SIDE)).collect();
        self.features_of_values(&values, SIDE)
    }
}

/// The values of a picture, resized in floats, cut at 0 and 255 and not rounded: `[side, side, 3]`.
pub fn clean(image: &RgbImage, side: usize) -> Vec<f32> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let plane = |channel: usize| -> Vec<f32> {
        let plane: Vec<f32> = image.as_raw().iter().skip(channel).step_by(3).map(|v| f32::from(*v)).collect();
        bicubic::torch(&plane, (height, width), (side, side))
    };
    let planes = [plane(0), plane(1), plane(2)];
    let value = |i: usize| (planes[i % 3][i / 3].clamp(0.0, 255.0) - 128.0) / 128.0;
    (0..3 * side * side).map(value).collect()
}
