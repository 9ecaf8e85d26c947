//! Damage in the middle of a JPEG's data, which decoders fill up with gray.

use fairhuman_pictures::Problem;

use crate::{data, jpeg, read};

/// The first byte of the first scan's data.
fn start(bytes: &[u8]) -> usize {
    let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).expect("a scan");
    scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]))
}

/// Pictures of several qualities with at least 8,000 bytes of data.
fn pictures() -> Vec<Vec<u8>> {
    (0..40).map(|seed| jpeg(300 + 7 * (seed % 5), 200, seed, 50 + (seed % 50) as u8)).collect()
}

/// A permutation's next number.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

fn assert_told(kind: &str, damaged: Vec<Vec<u8>>, at_least: usize) {
    let all = damaged.len();
    let found = damaged.iter().filter(|bytes| read(bytes).is_err()).count();
    assert!(found >= at_least, "{kind}: {found} of {all} are told, expected {at_least}");
}

#[test]
fn a_jpeg_cut_in_the_middle_with_an_end_mark_is_told() {
    let cut = |mut bytes: Vec<u8>, percent: usize| {
        let first = start(&bytes);
        bytes.truncate(first + (bytes.len() - first) * percent / 100);
        bytes.extend([0xff, 0xd9]);
        bytes
    };
    let all = pictures().into_iter().flat_map(|p| [5, 30, 99].map(|percent| cut(p.clone(), percent)));
    assert_told("cut", all.collect(), 120);
    for name in ["progressive.jpg", "progressive-restarts.jpg", "restarts.jpg", "inks.jpg", "gray-scale.jpg"]
    {
        let all = (1..20).map(|n| cut(data(name), 5 * n));
        assert_told(name, all.collect(), 19);
    }
    let error = read(&cut(pictures().remove(0), 30)).expect_err("damaged");
    assert_eq!(error.problem, Problem::NotAPicture);
    assert!(error.text.contains("its JPEG data are damaged from about"), "{error}");
}

#[test]
fn a_jpeg_with_three_thousand_bytes_zeroed_or_scrambled_is_told() {
    let mut state = 1;
    let mut places = |bytes: &[u8]| {
        let first = start(bytes);
        let at = first + next(&mut state) % (bytes.len() - first - 3002);
        at..at + 3000
    };
    let (mut zeroed, mut mixed, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for (i, bytes) in pictures().into_iter().enumerate() {
        let mut damaged = bytes.clone();
        let place = places(&bytes);
        damaged[place].fill(0);
        zeroed.push(damaged);

        let mut damaged = bytes.clone();
        let place = places(&bytes);
        let mut state = i as u64;
        for n in (1..3000).rev() {
            damaged.swap(place.start + n, place.start + next(&mut state) % (n + 1));
        }
        mixed.push(damaged);

        let mut damaged = bytes.clone();
        let place = places(&bytes);
        damaged[place].iter_mut().for_each(|b| *b = next(&mut state) as u8);
        other.push(damaged);
    }
    // Of 600 files of Pillow's: 598 zeroed, 600 mixed and 600 of random bytes.
    assert_told("zeroed", zeroed, 39);
    assert_told("mixed", mixed, 40);
    assert_told("random", other, 40);
}

#[test]
fn a_jpeg_without_its_last_scans_is_told() {
    let bytes = data("progressive.jpg");
    let scans: Vec<usize> =
        bytes.windows(2).enumerate().filter(|(_, w)| *w == [0xff, 0xda]).map(|(i, _)| i).collect();
    assert!(scans.len() > 5, "{scans:?}");
    for &scan in &scans[1..] {
        let mut cut = bytes[..scan].to_vec();
        cut.extend([0xff, 0xd9]);
        let error = read(&cut).expect_err("scans are missing");
        assert_eq!(error.problem, Problem::Truncated, "{error}");
    }
}

#[test]
fn restart_markers_out_of_their_order_are_told() {
    let bytes = data("restarts.jpg");
    let marks: Vec<usize> = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, w)| w[0] == 0xff && (0xd0..=0xd7).contains(&w[1]))
        .map(|(i, _)| i)
        .collect();
    let mut damaged = bytes.clone();
    damaged[marks[2] + 1] = 0xd7;
    assert!(read(&damaged).expect_err("damaged").text.contains("not in their order"));
    let mut shorter = bytes;
    shorter.drain(marks[1]..marks[2]);
    assert!(read(&shorter).is_err());
}

#[test]
fn a_webp_whose_data_are_scrambled_is_told() {
    // Of what has no checksum some damage cannot be told: bits of a code that lead back into step.
    for (name, chunk, at_least) in
        [("lossy.webp", b"VP8 ", 95), ("lossy-alpha.webp", b"VP8 ", 90), ("lossless.webp", b"VP8L", 60)]
    {
        let bytes = data(name);
        let first = bytes.windows(4).position(|w| w == chunk).expect("its data") + 8 + 10;
        let mut state = 1;
        let mut damaged = Vec::new();
        for kind in 0..100 {
            let length = [100, 300, 3000][kind % 3];
            let at = first + next(&mut state) % (bytes.len() - first - length);
            let mut file = bytes.clone();
            match kind % 4 {
                0 => file[at..at + length].fill(0),
                1 => file[at..at + length].reverse(),
                2 => file[at..at + length].iter_mut().for_each(|byte| *byte = next(&mut state) as u8),
                _ => file.copy_within(first..first + length, at),
            }
            damaged.push(file);
        }
        assert_told(name, damaged.clone(), at_least);
        let texts: Vec<String> = damaged.iter().filter_map(|file| Some(read(file).err()?.text)).collect();
        assert!(texts.iter().any(|text| text.contains("its WebP data are damaged")), "{name}: {texts:?}");
    }
    let bytes = data("lossy.webp");
    let mut zeroed = bytes.clone();
    zeroed[bytes.len() - 1000..].fill(0);
    assert!(read(&zeroed).is_err(), "a tail of zeros");
}
