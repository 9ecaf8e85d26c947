//! Classifier-free guidance.

/// Classifier-free guidance (Ho and Salimans 2022) of a batch of predictions: g = u + scale (c - u), where u
/// is without and c with the prompt.
///
/// A large scale also enlarges the prediction, so that pictures are too bright and their colours too strong,
/// most of all by models whose schedule ends in pure noise. `rescale`, from 0 to 1, is the share in which g
/// is replaced by one with the standard deviation of c: phi of Lin et al. 2024 ("Common diffusion noise
/// schedules and sample steps are flawed", equations 15 and 16), `guidance_rescale` in diffusers.
pub(super) fn guided(
    (without, with): (&[f32], &[f32]),
    pictures: usize,
    scale: f64,
    rescale: f64,
) -> Vec<f32> {
    let pair = |(&u, &c): (&f32, &f32)| (f64::from(u) + scale * (f64::from(c) - f64::from(u))) as f32;
    let mut all: Vec<f32> = without.iter().zip(with).map(pair).collect();
    if rescale > 0.0 {
        let each = (with.len() / pictures.max(1)).max(1);
        for (g, c) in all.chunks_exact_mut(each).zip(with.chunks_exact(each)) {
            let (guided, prompted) = (deviation(g), deviation(c));
            // One without any contrast has none that could be given to it.
            if guided > 0.0 {
                let factor = rescale * (prompted / guided) + (1.0 - rescale);
                g.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
            }
        }
    }
    all
}

/// The standard deviation of all values of a picture.
fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Two pictures of four values.
    const WITHOUT: [f32; 8] = [0.0, 1.0, -1.0, 0.5, 2.0, 2.0, 1.0, 0.0];
    const WITH: [f32; 8] = [0.5, 1.5, -1.0, 0.0, 1.0, 3.0, 1.0, 0.5];

    #[test]
    fn without_rescaling_it_is_the_formula() {
        let plain = guided((&WITHOUT, &WITH), 2, 3.0, 0.0);
        assert_eq!(plain, [1.5, 2.5, -1.0, -1.0, -1.0, 5.0, 1.0, 1.5]);
    }

    #[test]
    fn each_picture_is_given_the_deviation_of_its_own_prediction() {
        let plain = guided((&WITHOUT, &WITH), 2, 3.0, 0.0);
        let whole = guided((&WITHOUT, &WITH), 2, 3.0, 1.0);
        let part = guided((&WITHOUT, &WITH), 2, 3.0, 0.7);
        for at in [0..4, 4..8] {
            assert!((deviation(&whole[at.clone()]) - deviation(&WITH[at.clone()])).abs() < 1e-6);
            for i in at {
                assert!((part[i] - (0.7 * whole[i] + 0.3 * plain[i])).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_prediction_without_contrast_stays() {
        assert_eq!(guided((&[1.0; 4], &[2.0; 4]), 1, 2.0, 0.7), [3.0; 4]);
    }
}
