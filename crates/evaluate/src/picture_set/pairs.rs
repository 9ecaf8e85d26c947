//! Which pictures of two folders belong together: those of one prompt and one noise, or where there are none,
//! those of one name.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Picture, PictureSet};

/// Pairs of pictures of two folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Positions of the pictures in the first and the second folder, by the first's order.
    pub pairs: Vec<(usize, usize)>,
    /// True if they have no more in common than the names of their files.
    pub by_name: bool,
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

fn whole(picture: &Picture) -> Option<&str> {
    Some(&picture.name)
}

/// The name of a picture's file, without its folder.
fn file(picture: &Picture) -> Option<&str> {
    Path::new(&picture.name).file_name()?.to_str()
}

/// The same without its ending.
fn stem(picture: &Picture) -> Option<&str> {
    Path::new(&picture.name).file_stem()?.to_str()
}

type Name = fn(&Picture) -> Option<&str>;

/// Pairs by the names of files. Endings may differ, or be added: `refine` makes PNG files, of `a.jpg` beside
/// `a.png` the file `a.jpg.png`. A name that several have in a folder is none, and prompts or noises that
/// differ are no pair.
fn by_name(first: &PictureSet, second: &PictureSet) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let ways: [(Name, Name); 5] = [(whole, whole), (file, file), (file, stem), (stem, file), (stem, stem)];
    for (ours, theirs) in ways {
        let theirs = named(second, theirs, |j| found.iter().any(|pair| pair.1 == j));
        let ours = named(first, ours, |i| found.iter().any(|pair| pair.0 == i));
        let partner = |(name, i): (&str, usize)| Some((i, *theirs.get(name)?));
        let may_pair = |&(i, j): &(usize, usize)| {
            let (a, b) = (&first.pictures[i], &second.pictures[j]);
            a.prompt.as_ref().zip(b.prompt.as_ref()).is_none_or(|(a, b)| a == b)
                && a.noise.zip(b.noise).is_none_or(|(a, b)| a == b)
        };
        found.extend(ours.into_iter().filter_map(partner).filter(may_pair).collect::<Vec<_>>());
    }
    found
}

/// The pictures that are not taken, by names that no two of them have.
fn named(set: &PictureSet, name: Name, is_taken: impl Fn(usize) -> bool) -> BTreeMap<&str, usize> {
    let mut names: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for (i, picture) in set.pictures.iter().enumerate().filter(|(i, _)| !is_taken(*i)) {
        if let Some(name) = name(picture) {
            names.entry(name).and_modify(|only| *only = None).or_insert(Some(i));
        }
    }
    names.into_iter().filter_map(|(name, only)| Some((name, only?))).collect()
}

/// Pairs the pictures of two sets.
pub fn pairs(first: &PictureSet, second: &PictureSet) -> Pairs {
    let (ours, theirs) = (keyed(first), keyed(second));
    let mut pairs: Vec<(usize, usize)> =
        ours.iter().filter_map(|(key, &i)| Some((i, *theirs.get(key)?))).collect();
    let mut is_by_name = false;
    // The key of a picture without a prompt is its name.
    if pairs.iter().all(|&(i, _)| first.pictures[i].prompt.is_none()) {
        pairs = by_name(first, second);
        is_by_name = !pairs.is_empty();
    }
    pairs.sort_unstable();
    let lone = |set: &PictureSet, paired: Vec<usize>| {
        let rest = set.pictures.iter().enumerate().filter(|(i, _)| !paired.contains(i));
        rest.map(|(_, picture)| picture.name.clone()).collect()
    };
    Pairs {
        by_name: is_by_name,
        only_first: lone(first, pairs.iter().map(|pair| pair.0).collect()),
        only_second: lone(second, pairs.iter().map(|pair| pair.1).collect()),
        pairs,
    }
}

/// Pairs the pictures of the first set with those of each other one. Pictures of the others that carry no
/// prompt get that of their namesake in the first, and what it promises: both are to be judged by the same.
pub fn pair_up(sets: &mut [PictureSet]) -> Vec<Pairs> {
    let Some((first, others)) = sets.split_first_mut() else { return Vec::new() };
    let pair = |other: &mut PictureSet| {
        let found = pairs(first, other);
        for &(i, j) in found.pairs.iter().filter(|_| found.by_name) {
            let (own, picture) = (&first.pictures[i], &mut other.pictures[j]);
            if picture.prompt.is_none() && own.prompt.is_some() {
                picture.prompt.clone_from(&own.prompt);
                (picture.faces, picture.hands) = (own.faces, own.hands);
            }
        }
        found
    };
    others.iter_mut().map(pair).collect()
}
