//! Aspect-ratio buckets: pictures of many shapes, each trained at a size near its own, batches of one size.
//!
//! A bucket is a target size. [`assign`] gives a picture the one whose shape is nearest;
//! [`draw`](crate::draw()) then takes it for the target, so that masks and the conditioning image follow.
//! [`bucketed_order`] makes an epoch's batches, each of one bucket, as a function of (seed, epoch).

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::captions::shuffle;

/// The sizes of the buckets: the `[geometry.buckets]` table of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BucketSpec {
    /// `"area"` (default): sizes of about the area of `width` times `height`; or `"sdxl"`: the sizes that
    /// SDXL was trained with, for `width` and `height` of 1024.
    pub list: BucketList,
    /// List `area`: sides are multiples of this many pixels. Default 64.
    pub step: u32,
    /// List `area`: the shortest side. Default: half of the square's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_side: Option<u32>,
    /// List `area`: the longest side. Default: twice the square's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_side: Option<u32>,
}

impl Default for BucketSpec {
    fn default() -> Self {
        BucketSpec { list: BucketList::Area, step: 64, min_side: None, max_side: None }
    }
}

/// The list that the sizes of buckets are from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BucketList {
    /// By area and step.
    #[default]
    Area,
    /// SDXL's list (Podell et al. 2023, appendix I), with 1344 x 704 beside its 704 x 1344: 41 sizes.
    Sdxl,
}

/// The tall half of SDXL's sizes; the wide ones are the same turned round.
const SDXL: [(u32, u32); 20] = [
    (512, 2048),
    (512, 1984),
    (512, 1920),
    (512, 1856),
    (576, 1792),
    (576, 1728),
    (576, 1664),
    (640, 1600),
    (640, 1536),
    (704, 1472),
    (704, 1408),
    (704, 1344),
    (768, 1344),
    (768, 1280),
    (832, 1216),
    (832, 1152),
    (896, 1152),
    (896, 1088),
    (960, 1088),
    (960, 1024),
];

/// The sizes (width, height) of a geometry of `width` times `height`, from tall to wide.
///
/// By area: for every width that is a multiple of the step, the greatest multiple as height whose product is
/// not more than the area, and the same turned round.
pub fn list(spec: &BucketSpec, width: u32, height: u32) -> Vec<(u32, u32)> {
    let mut sizes: Vec<(u32, u32)> = match spec.list {
        BucketList::Sdxl => SDXL.iter().copied().chain([(1024, 1024)]).collect(),
        BucketList::Area => {
            let area = u64::from(width) * u64::from(height);
            let side = (area as f64).sqrt();
            let step = spec.step.max(1);
            let shortest = spec.min_side.unwrap_or((side / 2.0) as u32).max(step);
            let longest = spec.max_side.unwrap_or((side * 2.0) as u32);
            let widths = shortest.div_ceil(step)..=longest / step;
            let sizes = widths.filter_map(|n| {
                let width = n * step;
                let height = (area / u64::from(width)).min(longest.into()) as u32 / step * step;
                (height >= shortest).then_some((width, height))
            });
            sizes.collect()
        }
    };
    let turned: Vec<_> = sizes.iter().map(|&(w, h)| (h, w)).collect();
    sizes.extend(turned);
    sizes.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.cmp(b)));
    sizes.dedup();
    sizes
}

/// The bucket of a picture of size `original`: the one whose ratio of sides is nearest (in the logarithm), of
/// two alike the larger one. `None` if there are no buckets.
pub fn assign(buckets: &[(u32, u32)], original: (u32, u32)) -> Option<(u32, u32)> {
    let ratio = |(w, h): (u32, u32)| (f64::from(w.max(1)) / f64::from(h.max(1))).ln();
    let distance = |&bucket: &(u32, u32)| (ratio(bucket) - ratio(original)).abs();
    let area = |&(w, h): &(u32, u32)| u64::from(w) * u64::from(h);
    buckets
        .iter()
        .copied()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)).then(area(b).cmp(&area(a))).then(a.cmp(b)))
}

/// The batches of an epoch, a pure function of its arguments: every entry once, in batches of at most `batch`
/// entries of one bucket.
///
/// `buckets[i]` is the bucket of entry `i`; entries are whatever the caller walks through, for example the
/// positions in [`Dataset::epoch`](crate::Dataset::epoch). Entries are shuffled within their bucket, cut into
/// batches (the last of a bucket may be smaller: nothing is dropped or doubled), and the batches shuffled.
/// The number of batches, [`batches`], is the same in every epoch, so step `s` from 0 is batch `s % n` of
/// epoch `s / n`. The randomness is ChaCha8 under the key `seed | epoch | 0 | "buckets "` (little-endian).
pub fn bucketed_order(seed: u64, epoch: u64, buckets: &[(u32, u32)], batch: usize) -> Vec<Vec<usize>> {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[24..].copy_from_slice(b"buckets ");
    let mut rng = ChaCha8Rng::from_seed(key);
    let mut order = Vec::new();
    for mut entries in by_bucket(buckets).into_values() {
        shuffle(&mut rng, &mut entries);
        order.extend(entries.chunks(batch.max(1)).map(<[usize]>::to_vec));
    }
    shuffle(&mut rng, &mut order);
    order
}

/// The number of batches of an epoch.
pub fn batches(buckets: &[(u32, u32)], batch: usize) -> usize {
    by_bucket(buckets).values().map(|entries| entries.len().div_ceil(batch.max(1))).sum()
}

/// The entries of every bucket.
fn by_bucket(buckets: &[(u32, u32)]) -> BTreeMap<(u32, u32), Vec<usize>> {
    let mut entries: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (i, &bucket) in buckets.iter().enumerate() {
        entries.entry(bucket).or_default().push(i);
    }
    entries
}
