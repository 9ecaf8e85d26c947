//! Folders of pictures: what is in them, what is missing, what belongs together, and scores that are made
//! once.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fairhuman_evaluate::statistics::{bootstrap, detectable, wilson};
use fairhuman_evaluate::{
    Better, EvaluateError, Expected, Item, Judge, Metric, PictureSet, Prompts, RESAMPLES, Scores, correct,
    difference, level, pairs, read_prompts, score,
};
use serde_json::json;

/// A picture of one colour with the text that `fairhuman sample` writes.
pub(crate) fn picture(file: &Path, shade: u8, about: Option<(&str, u64, u64)>) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Rgb);
    if let Some((prompt, seed, index)) = about {
        let text = json!({"prompt": prompt, "seed": seed, "index": index}).to_string();
        encoder.add_text_chunk("fairhuman".into(), text).expect("text");
    }
    encoder.write_header().expect("a header").write_image_data(&[shade; 48]).expect("pixels");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, bytes).expect("written");
}

/// Scores the brightness; black pictures have no score.
struct Brightness {
    metrics: Vec<Metric>,
    looks: Cell<usize>,
}

impl Brightness {
    fn new() -> Self {
        let metrics = vec![Metric::new("test.brightness", Better::Higher, "mean value, none of black")];
        Self { metrics, looks: Cell::new(0) }
    }
}

impl Judge for Brightness {
    fn name(&self) -> &'static str {
        "test"
    }
    fn identity(&self) -> &str {
        "brightness 1"
    }
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }
    fn batch(&self) -> usize {
        3
    }
    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError> {
        self.looks.set(self.looks.get() + items.len());
        let value = |item: &Item<'_>| f64::from(item.image.get_pixel(0, 0).0[0]);
        Ok(items.iter().map(|item| vec![Some(value(item)).filter(|v| *v > 0.0)]).collect())
    }
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn pictures_of_one_noise_are_pairs_whatever_their_names_and_grids_are_no_pictures() {
    let root = folder();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    picture(&a.join("0.png"), 10, Some(("a cat", 1, 0)));
    picture(&a.join("1.png"), 20, Some(("a cat", 1, 1)));
    picture(&a.join("2.png"), 30, Some(("a dog", 1, 2)));
    picture(&a.join("grid.png"), 0, None);
    picture(&b.join("x.png"), 21, Some(("a cat", 1, 1)));
    picture(&b.join("y.png"), 31, Some(("a dog", 1, 2)));
    picture(&b.join("z.png"), 41, Some(("a dog", 2, 2)));
    let [a, b] = [&a, &b].map(|folder| PictureSet::open(folder, None).expect("pictures"));
    assert_eq!((a.pictures.len(), &a.left_out), (3, &vec!["grid.png".to_owned()]));
    let found = pairs(&a, &b);
    assert_eq!(found.pairs, [(1, 0), (2, 1)]);
    assert_eq!((found.only_first, found.only_second), (vec!["0.png".into()], vec!["z.png".into()]));
}

#[test]
fn what_a_list_names_and_nobody_has_is_missing() {
    let root = folder();
    picture(&root.path().join("0.png"), 10, None);
    picture(&root.path().join("1.png"), 20, None);
    let list = root.path().join("list.jsonl");
    let lines = [
        json!({"picture": "0.png", "prompt": "two men wave", "hands": 3}),
        json!({"file_name": "gone.png", "text": "a cat"}),
    ];
    std::fs::write(&list, lines.map(|line| format!("{line}\n")).concat()).expect("written");
    let set = PictureSet::open(root.path(), Some(&read_prompts(&list).expect("a list"))).expect("pictures");
    assert_eq!((set.pictures.len(), set.missing), (1, vec!["gone.png".to_owned()]));
    let wanted = (set.pictures[0].faces, set.pictures[0].hands);
    assert_eq!(wanted, (Expected::AtLeast(2), Expected::Exactly(3)));

    // Prompts alone are dealt to the pictures, if they can be.
    let open = |texts: &[&str]| {
        let texts = Prompts::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        PictureSet::open(root.path(), Some(&texts)).map_err(|e| e.to_string())
    };
    let dealt = open(&["a cat", "a dog"]).expect("pictures");
    assert_eq!(dealt.pictures[1].prompt.as_deref(), Some("a dog"));
    let error = open(&["a", "b", "c"]).expect_err("uneven");
    assert!(error.contains("2 pictures that carry no prompt cannot be dealt to 3 prompts"), "{error}");

    // Of pictures with prompts those of the list are taken; a prompt of which there is none is missing.
    picture(&root.path().join("2.png"), 20, Some(("a cat", 0, 0)));
    picture(&root.path().join("3.png"), 20, Some(("a fox", 0, 1)));
    let taken = open(&["a cat", "a dog"]).expect("pictures");
    assert_eq!((taken.pictures[0].name.as_str(), taken.pictures.len()), ("2.png", 1));
    assert_eq!(taken.missing, ["a dog"]);

    std::fs::write(&list, "{\"picture\": \"../0.png\"}\n").expect("written");
    let error = read_prompts(&list).expect_err("outside").to_string();
    assert!(error.ends_with("line 1: \"../0.png\" is no path inside the folder"), "{error}");
    for (content, expected) in [
        (&b"{\"picture\": \"0.png\"}\n{\"picture\": \"0.png\"}\n"[..], "\"0.png\" is on line 1, too"),
        (b"\n", "holds no picture"),
        (b"{\"picture\": \"0.png\"}\n\xff\n", "line 2: not UTF-8"),
    ] {
        std::fs::write(&list, content).expect("written");
        let error = read_prompts(&list).expect_err("no list").to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Windows' editors put a mark before the text.
    std::fs::write(&list, "\u{feff}{\"picture\": \"0.png\"}\n").expect("written");
    assert!(read_prompts(&list).is_ok());
    let texts = root.path().join("prompts.txt");
    std::fs::write(&texts, "\u{feff}# people\r\n\r\na cat\r\n").expect("written");
    assert_eq!(read_prompts(&texts).expect("prompts"), Prompts::Texts(vec!["a cat".into()]));
    let empty = folder();
    let error = PictureSet::open(empty.path(), None).expect_err("empty").to_string();
    assert!(error.contains("no pictures (png, jpg"), "{error}");
}

#[test]
fn a_score_is_made_once_until_its_picture_changes() {
    let root = folder();
    let pictures = root.path().join("pictures");
    for (i, shade) in [0u8, 50, 60, 70].into_iter().enumerate() {
        picture(&pictures.join(format!("{i}.png")), shade, None);
    }
    let file = root.path().join("scores.jsonl");
    let judge = Brightness::new();
    let run = |stop: bool| {
        let sets = [PictureSet::open(&pictures, None).expect("pictures")];
        let mut scores = Scores::open(&file).expect("scores");
        let found = score(&sets, &judge, &mut scores, &AtomicBool::new(stop), &mut |_| {}).expect("scored");
        if let Some(found) = &found {
            scores.finish(found).expect("written");
        }
        found.map(|found| found.into_iter().map(|score| score.score).collect::<Vec<_>>())
    };
    assert_eq!(run(true), None, "it was told to stop");
    let all = Some(vec![None, Some(50.0), Some(60.0), Some(70.0)]);
    assert_eq!(run(false), all);
    assert_eq!((run(false), judge.looks.get()), (all, 4), "nothing is scored again");
    picture(&pictures.join("2.png"), 65, None);
    assert_eq!(run(false), Some(vec![None, Some(50.0), Some(65.0), Some(70.0)]));
    assert_eq!(judge.looks.get(), 5, "one picture is new");

    // A process that was killed while it wrote leaves half a line, which is made again.
    let text = std::fs::read_to_string(&file).expect("scores");
    std::fs::write(&file, &text[..text.len() - 20]).expect("cut");
    assert_eq!(run(false), Some(vec![None, Some(50.0), Some(65.0), Some(70.0)]));
    assert_eq!(judge.looks.get(), 6);
    assert_eq!(std::fs::read_to_string(&file).expect("scores"), text);

    // Lines that somebody altered, or that have no digest, are counted and made again.
    let digest = text.rfind(",\"digest\"").expect("a digest");
    let without = format!("{}}}\n", &text[..digest]);
    for (altered, lines) in [
        (text.replace("\"score\":65.0", "\"score\":99.0"), 1),
        (text.replace("\"score\":null", "\"score\":99.0"), 1),
        (text.replace("\"picture\":\"0", "\"picture\":\"9"), 1),
        (text.replace("\"by\":\"brightness", "\"by\":\"darkness"), 4),
        (without, 1),
    ] {
        assert_ne!(altered, text);
        std::fs::write(&file, &altered).expect("altered");
        assert_eq!(Scores::open(&file).expect("scores").damaged(), lines);
        judge.looks.set(0);
        assert_eq!(run(false), Some(vec![None, Some(50.0), Some(65.0), Some(70.0)]));
        assert_eq!(judge.looks.get(), lines);
        assert_eq!(std::fs::read_to_string(&file).expect("scores"), text);
    }

    for foreign in ["a letter to my aunt\n", "{\n  \"name\": \"my aunt\"\n}\n"] {
        std::fs::write(&file, foreign).expect("written");
        assert!(Scores::open(&file).err().expect("foreign").to_string().contains("holds no scores"));
        assert_eq!(std::fs::read_to_string(&file).expect("still there"), foreign);
    }
}

#[test]
fn a_difference_is_of_prompts_and_counts_what_has_no_score() {
    let root = folder();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    for prompt in 0..10u64 {
        for index in 0..2 {
            let (name, about) = (format!("{prompt}-{index}.png"), format!("prompt {prompt}"));
            picture(&a.join(&name), 100, Some((&about, 0, index)));
            picture(&b.join(&name), 100, Some((&about, 0, index)));
        }
    }
    let [a, b] = [&a, &b].map(|folder| PictureSet::open(folder, None).expect("pictures"));
    let found = pairs(&a, &b);
    assert_eq!(found.pairs.len(), 20);
    let first: Vec<Option<f64>> = (0..20).map(|i| Some(f64::from(i))).collect();
    // Every prompt gains 1 and 3: 2 on average; one pair has no score.
    let mut second: Vec<Option<f64>> =
        (0..20).map(|i| Some(f64::from(i) + [1.0, 3.0][i as usize % 2])).collect();
    second[0] = None;
    let mut differences =
        [Better::Higher, Better::Lower].map(|better| difference((&a, &first), &second, &found, better));
    correct(differences.iter_mut());
    let [higher, lower] = &differences;
    assert_eq!((higher.pairs, higher.unscored, higher.prompts), (19, 1, 10));
    assert_eq!((higher.wins, higher.losses, lower.wins, lower.losses), (10, 0, 0, 10));
    assert!((higher.mean.expect("pairs") - 2.1).abs() < 1e-12, "{higher:?}");
    let [low, high] = higher.corrected.expect("an interval");
    assert!((2.0..=2.1).contains(&low) && (2.1..=2.5).contains(&high), "{higher:?}");
    assert!((higher.p - 2.0 / 1024.0).abs() < 1e-12 && (higher.p_holm - 4.0 / 1024.0).abs() < 1e-12);
    assert!(higher.is_significant());
    // One value for each prompt, whatever the number of its pairs.
    let prompts = [[3.0].as_slice(), &[2.0; 9]].concat();
    let intervals = bootstrap(&prompts, RESAMPLES).expect("prompts");
    for (range, interval) in
        [(higher.percentile, intervals.percentile), (higher.corrected, intervals.corrected)]
    {
        assert_eq!(range, Some([interval.low, interval.high]));
    }
    assert_eq!((higher.win_rate, higher.win_interval), (Some(1.0), wilson(10, 10).into()));
    assert_eq!(higher.detectable, Some(detectable(&prompts)));
    let level = level(&b, &second);
    assert_eq!((level.pictures, level.scored, level.prompts), (20, 19, 10));
    // A folder beside itself.
    let same = difference((&a, &first), &first, &found, Better::Higher);
    assert_eq!((same.ties, same.p, same.win_rate, same.mean), (10, 1.0, None, Some(0.0)));
}
