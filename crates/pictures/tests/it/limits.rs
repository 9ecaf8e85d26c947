//! Small files that unpack to much: nothing beyond the bounds is unpacked.

use fairhuman_pictures::{MAX_PIXELS, Problem, ProfileUse, png_texts};
use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::{data, read};

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [&kind[..], content].concat();
    let crc = !body.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    });
    [&(content.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// A PNG file with a chunk more, before its pixels.
fn with_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = data("turned-ztxt.png");
    bytes.splice(33..33, chunk(kind, content));
    bytes
}

#[test]
fn a_profile_that_unpacks_to_more_than_the_bound_is_left_packed() {
    let packed = compress_to_vec_zlib(&vec![0; 100 << 20], 6);
    assert!(packed.len() < 1 << 20);
    let found = read(&with_chunk(b"iCCP", &[&b"huge\0\0"[..], &packed].concat())).expect("a picture");
    let ProfileUse::Unusable(reason) = found.profile else { panic!("{:?}", found.profile) };
    assert_eq!(reason, "it unpacks to more than 8 MiB");
    for (kind, before) in [
        (b"zTXt", &b"Raw profile type exif\0\0"[..]),
        (b"zTXt", b"Comment\0\0"),
        (b"iTXt", b"Raw profile type exif\0\x01\0\0\0"),
    ] {
        read(&with_chunk(kind, &[before, &packed].concat())).expect("a picture");
    }
}

#[test]
fn a_chunk_that_claims_more_than_the_file_has_is_named_with_its_claim() {
    for kind in [b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"prVt", b"IDAT"] {
        let mut bytes = with_chunk(kind, b"Comment\0x");
        for claim in [1u32 << 31, u32::MAX, 1 << 20] {
            bytes[33..37].copy_from_slice(&claim.to_be_bytes());
            let error = read(&bytes).expect_err("refused");
            assert_eq!(error.problem, Problem::Truncated, "{error}");
            let name = kind.escape_ascii();
            let expected = format!("its {name} chunk at byte 33 claims {claim} bytes");
            assert!(error.text.contains(&expected), "{error}");
            assert!(png_texts(&bytes).is_empty(), "{name}");
        }
    }
}

#[test]
fn texts_are_read_packed_and_plain_before_and_after_the_pixels_within_the_bounds() {
    let mut bytes = data("turned-ztxt.png");
    let end = bytes.len() - 12;
    let packed = compress_to_vec_zlib(b"b\xe9", 6);
    let huge = compress_to_vec_zlib(&vec![b' '; 100 << 20], 6);
    for (at, kind, content) in [
        (end, b"tEXt", &b"Comment\0after"[..]),
        (33, b"iTXt", "wide\0\0\0en\0\0\u{7206}".as_bytes()),
        (33, b"zTXt", &[&b"packed\0\0"[..], &packed].concat()),
        (33, b"zTXt", &[&b"huge\0\0"[..], &huge].concat()),
        (33, b"tEXt", b"\0without a keyword"),
        (33, b"iTXt", b"no text\0\0\0en\0\0\xff"),
    ] {
        bytes.splice(at..at, chunk(kind, content));
    }
    let found = png_texts(&bytes);
    let found: Vec<(&str, &str)> = found.iter().map(|(key, text)| (&**key, &**text)).collect();
    // The EXIF data of the file itself are no text.
    assert_eq!(found, [("packed", "b\u{e9}"), ("wide", "\u{7206}"), ("Comment", "after")]);
    assert!(png_texts(b"GIF89a").is_empty());
    for cut in (0..bytes.len()).step_by(bytes.len() / 50) {
        assert!(png_texts(&bytes[..cut]).len() <= 3);
    }
}

#[test]
fn more_pixels_than_allowed_are_refused_by_the_header() {
    let mut bytes = data("baseline.jpg");
    let frame = bytes.windows(2).position(|mark| mark == [0xff, 0xc0]).expect("the frame's header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = read(&bytes).expect_err("too large");
    assert_eq!(error.problem, Problem::TooLarge);
    assert!(error.text.contains("65535 x 65535 pixels are more than the 100000000 allowed"), "{error}");
    assert!(fairhuman_pictures::read(&data("baseline.jpg"), 101 * 75 - 1).is_err());
    assert!(fairhuman_pictures::read(&data("baseline.jpg"), MAX_PIXELS).is_ok());
}

#[test]
fn a_jpeg_of_thousands_of_scans_is_refused() {
    let bytes = data("progressive.jpg");
    let scans: Vec<usize> =
        bytes.windows(2).enumerate().filter(|(_, w)| *w == [0xff, 0xda]).map(|(i, _)| i).collect();
    let first = bytes[scans[0]..].windows(2).position(|w| w == [0xff, 0xc4]).expect("the next table");
    let scan = bytes[scans[0]..scans[0] + first].to_vec();
    let mut many = bytes.clone();
    many.splice(scans[0]..scans[0], scan.repeat(1000));
    let error = read(&many).expect_err("too many");
    assert_eq!(error.problem, Problem::TooLarge, "{error}");
}
