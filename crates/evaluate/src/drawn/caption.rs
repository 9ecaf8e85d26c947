//! The gesture that a caption asks for.

/// The gesture that a caption of one person names, of [`GESTURES`](super::GESTURES); none where the hands
/// rest, hold something, or lie on a hip or a chin.
pub fn gesture(caption: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 9] = [
        ("open hand", "open"),
        ("open palm", "open"),
        ("hands up", "open"),
        ("raises a fist", "fist"),
        ("points ", "pointing"),
        ("thumb up", "thumb up"),
        ("thumbs up", "thumb up"),
        ("peace sign", "peace"),
        ("three fingers", "three"),
    ];
    NAMES.into_iter().find(|(words, _)| caption.contains(words)).map(|(_, name)| name)
}
