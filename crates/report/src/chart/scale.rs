//! Axes: positions of values and of ticks.

/// An axis from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// A linear axis that shows all of `values` with a small margin; a default range without values.
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values).unwrap_or((0.0, 1.0));
        let air = if high > low { 0.06 * (high - low) } else { (0.1 * low.abs()).max(1e-9) };
        Self { low: low - air, high: high + air, logarithmic: false }
    }

    /// A linear axis from exactly `low` to `high`.
    pub fn exact(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, logarithmic: false }
    }

    /// A logarithmic axis if all values are positive and far apart, else a linear one.
    pub fn fitting(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        match range(values.iter().copied()) {
            Some((low, high)) if low > 0.0 && high / low > 5.0 => {
                let air = (high / low).powf(0.05);
                Self { low: low / air, high: high * air, logarithmic: true }
            }
            _ => Self::linear(values),
        }
    }

    /// 0 at the lower end, 1 at the upper. None for values without a position.
    pub fn position(&self, value: f64) -> Option<f64> {
        let at = |v: f64| if self.logarithmic { v.ln() } else { v };
        let position = (at(value) - at(self.low)) / (at(self.high) - at(self.low));
        position.is_finite().then_some(position)
    }

    /// About `wanted` round numbers inside.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.logarithmic {
            let ticks = self.log_ticks(wanted);
            if ticks.len() >= 2 {
                return ticks;
            }
        }
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).take(64).map(|i| i as f64 * step).collect()
    }

    /// Powers of ten, with 2 and 5 (or 3) between them where there are few.
    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let inside = |digits: &[f64], every: i32| -> Vec<f64> {
            let powers = (first..=last).filter(|p| p.rem_euclid(every) == 0);
            // Dividing gives 0.3 where multiplying with 0.1 does not.
            let at = |d: f64, p: i32| if p < 0 { d / 10f64.powi(-p) } else { d * 10f64.powi(p) };
            let all = powers.flat_map(|p| digits.iter().map(move |&d| at(d, p)));
            all.filter(|v| (self.low..=self.high).contains(v)).collect()
        };
        let fine: &[f64] = &[1.0, 2.0, 5.0];
        let candidates = [(fine, 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 5)];
        let mut all = candidates.into_iter().map(|(digits, every)| inside(digits, every));
        all.find(|ticks| ticks.len() <= wanted + 1).unwrap_or_default()
    }
}

/// Smallest and largest of the finite values.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|v| v.is_finite());
    finite.fold(None, |found, v| match found {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_inside() {
        assert_eq!(Scale::exact(0.0, 150.0).ticks(4), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(Scale::fitting([0.011, 0.9]).ticks(4), [0.01, 0.03, 0.1, 0.3, 1.0]);
        for values in
            [vec![], vec![3.0], vec![0.0, 0.0], vec![-1e-9, 1e9], vec![f64::NAN, 2.0], vec![1e-30, 1e30]]
        {
            for scale in [Scale::linear(values.clone()), Scale::fitting(values.clone())] {
                let ticks = scale.ticks(4);
                assert!(ticks.len() <= 8, "{values:?}: {ticks:?}");
                let inside = |t: &f64| scale.position(*t).is_some_and(|p| (-1e-9..=1.0 + 1e-9).contains(&p));
                assert!(ticks.iter().all(inside), "{values:?}: {ticks:?}");
            }
        }
    }

    #[test]
    fn what_has_no_place_on_an_axis_is_left_out() {
        let scale = Scale::fitting([1.0, 100.0]);
        assert_eq!([0.0, -1.0, f64::NAN].map(|v| scale.position(v)), [None; 3]);
        assert!((scale.position(10.0).unwrap() - 0.5).abs() < 1e-12);
    }
}
