//! Pictures that carry nothing that pairs them are paired by their names, and by nothing that differs.

use fairhuman_evaluate::{Expected, PictureSet, pair_up, pairs};

use crate::sets::{folder, picture};

/// A picture's name, and the prompt, seed and index that it carries.
type About = (&'static str, Option<(&'static str, u64, u64)>);

/// Folders of pictures.
fn sets<const N: usize>(folders: [&[About]; N]) -> [PictureSet; N] {
    let root = folder();
    let mut number = 0;
    folders.map(|pictures| {
        number += 1;
        let folder = root.path().join(number.to_string());
        pictures.iter().for_each(|(name, about)| picture(&folder.join(name), 9, *about));
        PictureSet::open(&folder, None).expect("pictures")
    })
}

fn names(a: &PictureSet, b: &PictureSet) -> Vec<(String, String)> {
    let found = pairs(a, b);
    assert!(found.by_name || found.pairs.is_empty());
    let name = |set: &PictureSet, i: usize| set.pictures[i].name.clone();
    found.pairs.iter().map(|&(i, j)| (name(a, i), name(b, j))).collect()
}

#[test]
fn files_of_one_name_are_pairs_where_nothing_else_is_known_of_one_of_them() {
    let about = Some(("a cat", 1, 0));
    let [sampled, plain] = sets([&[("0.png", about), ("1.png", about)], &[("0.png", None), ("2.png", None)]]);
    let found = pairs(&sampled, &plain);
    assert!(found.by_name);
    assert_eq!(
        (found.pairs, found.only_first, found.only_second),
        (vec![(0, 0)], vec!["1.png".into()], vec!["2.png".into()])
    );
    // The same prompts and noises are the better reason.
    let [a, b] = sets([&[("0.png", about), ("1.png", Some(("a dog", 1, 1)))], &[("1.png", about)]]);
    let found = pairs(&a, &b);
    assert_eq!((found.pairs, found.by_name), (vec![(0, 0)], false));
}

#[test]
fn endings_that_refine_changes_are_no_obstacle_and_names_that_several_have_are_none() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let [photos, refined] = sets([&[("a.jpg", None), ("b.webp", None)], &[("a.png", None), ("b.png", None)]]);
    assert_eq!(names(&photos, &refined), [pair("a.jpg", "a.png"), pair("b.webp", "b.png")]);
    let [photos, refined] = sets([&[("a.png", None), ("b.jpg", None)], &[("a.png", None), ("b.png", None)]]);
    assert_eq!(names(&photos, &refined), [pair("a.png", "a.png"), pair("b.jpg", "b.png")]);
    let both: &[_] = &[("a.jpg", None), ("a.webp", None)];
    let [photos, refined] = sets([both, &[("a.jpg.png", None), ("a.webp.png", None)]]);
    let expected = [pair("a.jpg", "a.jpg.png"), pair("a.webp", "a.webp.png")];
    assert_eq!(names(&photos, &refined), expected);
    let [photos, other] = sets([both, &[("a.png", None)]]);
    assert!(names(&photos, &other).is_empty());
}

#[test]
fn pictures_of_different_prompts_or_noises_are_no_pairs_whatever_their_names() {
    let [cat, fox, seed] = sets([
        &[("0.png", Some(("a cat", 1, 0)))],
        &[("0.png", Some(("a fox", 1, 0)))],
        &[("0.png", Some(("a cat", 2, 0)))],
    ]);
    assert_eq!((names(&cat, &fox), names(&cat, &seed)), (vec![], vec![]));
}

#[test]
fn a_namesake_without_a_prompt_is_judged_by_that_of_its_partner() {
    let [mut first, refined] = sets([&[("0.png", None)], &[("0.webp", None), ("1.webp", None)]]);
    first.pictures[0].prompt = Some("two women wave".into());
    first.pictures[0].faces = Expected::Exactly(2);
    let mut all = [first, refined];
    let found = pair_up(&mut all);
    assert_eq!((found[0].pairs.len(), found[0].by_name), (1, true));
    let [_, refined] = &all;
    assert_eq!(refined.pictures[0].prompt.as_deref(), Some("two women wave"));
    assert_eq!((refined.pictures[0].faces, &refined.pictures[1].prompt), (Expected::Exactly(2), &None));
}
