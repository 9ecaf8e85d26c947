//! Sinusoids of timesteps and of SDXL's sizes and crops.

/// `[values, width]`, row-major: `cos, sin` (or `sin, cos`) of each value times `10000^(-i / (half - shift))`
/// (Vaswani et al. 2017). An odd width ends in a zero.
pub(crate) fn sinusoids(values: &[f32], width: usize, flip_sin_to_cos: bool, freq_shift: f64) -> Vec<f32> {
    let half = width / 2;
    // Rounded to f32 at the same places as PyTorch: at timestep 1000 the last bit of a frequency shows.
    let scale = (half as f64 - freq_shift) as f32;
    let frequency = |i: usize| f64::from(-(10_000f64.ln()) as f32 * i as f32 / scale).exp() as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let mut out = vec![0.0; values.len() * width];
    for (row, &value) in out.chunks_exact_mut(width.max(1)).zip(values) {
        for (i, &frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = f64::from(value * frequency).sin_cos();
            let (first, second) = if flip_sin_to_cos { (cos, sin) } else { (sin, cos) };
            row[i] = first as f32;
            row[half + i] = second as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::sinusoids;

    #[test]
    fn at_time_zero_every_cosine_is_one_and_every_sine_zero() {
        assert_eq!(sinusoids(&[0.0], 4, true, 0.0), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(sinusoids(&[0.0], 5, false, 0.0), [0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn the_first_frequency_is_one_and_with_a_shift_of_one_the_last_is_a_ten_thousandth() {
        let row = sinusoids(&[0.5], 8, false, 1.0);
        assert!((row[0] - 0.5f32.sin()).abs() < 1e-7);
        assert!((row[3] - 0.5e-4).abs() < 1e-9);
    }
}
