//! Long exchanges in pieces: of every process's part a range at a time.

use std::ops::Range;

/// Ranges of every process's part, such that those of one turn have `most` values at most in all. Every
/// process finds the same ones. None if there are no values.
pub fn pieces(lengths: &[usize], most: usize) -> Vec<Vec<Range<usize>>> {
    let total: usize = lengths.iter().sum();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let step = if total <= most { longest } else { (most / lengths.len()).max(1) };
    let turn = |from: usize| {
        lengths.iter().map(move |&length| from.min(length)..(from + step).min(length)).collect()
    };
    (0..longest).step_by(step.max(1)).map(turn).collect()
}

/// The values of one turn.
pub fn piece(values: &[f32], lengths: &[usize], turn: &[Range<usize>]) -> Vec<f32> {
    let mut begin = 0;
    let mut piece = Vec::with_capacity(turn.iter().map(ExactSizeIterator::len).sum());
    for (range, length) in turn.iter().zip(lengths) {
        piece.extend_from_slice(&values[begin + range.start..begin + range.end]);
        begin += length;
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_part_once_and_in_order() {
        for lengths in [vec![5, 0, 9, 2], vec![0, 0], vec![3], vec![7, 7, 7]] {
            let values: Vec<f32> = (0..lengths.iter().sum()).map(|i: usize| i as f32).collect();
            for most in [1, 4, 7, 100] {
                let turns = pieces(&lengths, most);
                let mut parts = vec![Vec::new(); lengths.len()];
                for turn in &turns {
                    let piece = piece(&values, &lengths, turn);
                    assert!(piece.len() <= most.max(lengths.len()), "{lengths:?} {most}");
                    let mut rest = &piece[..];
                    for (part, range) in parts.iter_mut().zip(turn) {
                        let (own, others) = rest.split_at(range.len());
                        part.extend_from_slice(own);
                        rest = others;
                    }
                }
                assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
                assert_eq!(parts.concat(), values, "{lengths:?} {most}");
            }
            assert_eq!(pieces(&lengths, 100).len(), usize::from(!values.is_empty()));
        }
    }
}
