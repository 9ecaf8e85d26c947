//! Names for PNG files made of pictures: one for each, also where `a.png` and `a.jpg` lie beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each path `NAME.ENDING` the path `NAME.png`, or `NAME.ENDING.png` where several would have the former.
pub fn png_names<'a>(pictures: impl Iterator<Item = &'a Path> + Clone) -> Vec<PathBuf> {
    let mut long: BTreeSet<&Path> = BTreeSet::new();
    loop {
        let name = |picture: &Path| match long.contains(picture) {
            true => {
                let mut name = picture.as_os_str().to_owned();
                name.push(".png");
                name.into()
            }
            false => picture.with_extension("png"),
        };
        let mut claims: BTreeMap<PathBuf, BTreeSet<&Path>> = BTreeMap::new();
        for picture in pictures.clone() {
            claims.entry(name(picture)).or_default().insert(picture);
        }
        // Long names are never the same, so that in each of these there is one that becomes longer.
        let shared: Vec<&Path> = claims.values().filter(|of| of.len() > 1).flatten().copied().collect();
        if shared.is_empty() {
            return pictures.map(name).collect();
        }
        long.extend(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_share_a_name_keep_their_endings() {
        let pictures = ["a.png", "a.jpg", "b.webp", "x/a.jpg", "b.webp"].map(Path::new);
        let names = png_names(pictures.into_iter());
        assert_eq!(names, ["a.png.png", "a.jpg.png", "b.png", "x/a.png", "b.png"].map(PathBuf::from));
        let pictures = ["a.png", "a.jpg", "a.png.png", "a.png.png.jpg"].map(Path::new);
        let names: BTreeSet<PathBuf> = png_names(pictures.into_iter()).into_iter().collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }
}
