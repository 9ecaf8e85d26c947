//! The state of a weighting in a checkpoint: the same bits, or an error.

use fairhuman_fairness::State;

#[test]
fn every_number_is_read_as_it_was() {
    let mut state = State::default();
    assert!(state.is_empty());
    let values = vec![0.1, -0.0, 5e-324, f64::MAX, f64::NAN, f64::NEG_INFINITY];
    state.set("previous", values.clone());
    state.set("empty", Vec::new());
    assert!(!state.is_empty());

    let written = serde_json::to_string(&state).unwrap();
    let read: State = serde_json::from_str(&written).unwrap();
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(read.get("previous").unwrap()), bits(&values), "{written}");
    assert_eq!(read.get("empty"), Some(&[][..]));
    assert_eq!(read.get("other"), None);
    assert_eq!(serde_json::to_string(&State::default()).unwrap(), "{}");
}

#[test]
fn what_is_no_bit_pattern_is_refused_with_its_name() {
    for word in ["1.0", "3ff", "3ff00000000000000", "+ff0000000000000"] {
        let text = format!("{{\"sum\": \"{word}\"}}");
        let error = serde_json::from_str::<State>(&text).unwrap_err().to_string();
        assert!(error.contains("\"sum\"") && error.contains(word), "{error}");
    }
}
