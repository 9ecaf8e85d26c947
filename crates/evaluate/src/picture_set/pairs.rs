//! Which pictures of two folders belong together: those of one prompt and one noise.

use std::collections::BTreeMap;

use super::{Picture, PictureSet};

/// Pairs of pictures of two folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Positions of the pictures in the first and the second folder, by the first's order.
    pub pairs: Vec<(usize, usize)>,
    /// Names of pictures of the first folder that have no partner.
    pub only_first: Vec<String>,
    /// Names of pictures of the second folder that have no partner.
    pub only_second: Vec<String>,
}

/// The unit that is drawn anew in a resample: the prompt, or a picture without one by its name.
pub fn unit(picture: &Picture) -> &str {
    picture.prompt.as_deref().unwrap_or(&picture.name)
}

/// The pictures of a set by what they have in common with those of another: prompt and noise; where the noise
/// is not known, prompt and place among the pictures of the prompt.
fn keyed(set: &PictureSet) -> BTreeMap<(String, u64, u64), usize> {
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (i, picture) in set.pictures.iter().enumerate() {
        let place = places.entry(unit(picture)).or_default();
        // A seed that no picture has keeps those without noise apart from those with.
        let (seed, index) = picture.noise.unwrap_or((u64::MAX, *place));
        keys.entry((unit(picture).to_owned(), seed, index)).or_insert(i);
        *place += 1;
    }
    keys
}

/// Pairs the pictures of two sets.
pub fn pairs(first: &PictureSet, second: &PictureSet) -> Pairs {
    let (ours, theirs) = (keyed(first), keyed(second));
    let mut found = Pairs::default();
    for (key, &i) in &ours {
        found.pairs.extend(theirs.get(key).map(|&j| (i, j)));
    }
    found.pairs.sort_unstable();
    let lone = |set: &PictureSet, paired: Vec<usize>| {
        let rest = set.pictures.iter().enumerate().filter(|(i, _)| !paired.contains(i));
        rest.map(|(_, picture)| picture.name.clone()).collect()
    };
    found.only_first = lone(first, found.pairs.iter().map(|pair| pair.0).collect());
    found.only_second = lone(second, found.pairs.iter().map(|pair| pair.1).collect());
    found
}
