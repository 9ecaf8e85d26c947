//! Names for PNG files made of pictures: one for each, also where `a.png` and `a.jpg` lie beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each path `NAME.ENDING` the path `NAME.png`, or `NAME.ENDING.png` where several would have the former.
pub fn png_names<'a>(pictures: impl Iterator<Item = &'a Path> + Clone) -> Vec<PathBuf> {
    let mut claims: BTreeMap<PathBuf, BTreeSet<&Path>> = BTreeMap::new();
    for picture in pictures.clone() {
        claims.entry(picture.with_extension("png")).or_default().insert(picture);
    }
    let name = |picture: &Path| {
        let short = picture.with_extension("png");
        if claims[&short].len() == 1 {
            return short;
        }
        let mut long = picture.as_os_str().to_owned();
        long.push(".png");
        long.into()
    };
    pictures.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_share_a_name_keep_their_endings() {
        let pictures = ["a.png", "a.jpg", "b.webp", "x/a.jpg", "b.webp"].map(Path::new);
        let names = png_names(pictures.into_iter());
        assert_eq!(names, ["a.png.png", "a.jpg.png", "b.png", "x/a.png", "b.png"].map(PathBuf::from));
    }
}
