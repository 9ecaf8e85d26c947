//! Numbers as people read them.

/// A duration: `48 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// A number with three digits that matter: `0.0123`, `12.3`, `1.23e-7`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 6);
    format!("{value:.*}", digits as usize)
}

/// A change as a share: `-6.3 %`, and `0.0 %` without a sign where it rounds to nothing.
pub fn change(share: f64, digits: usize) -> String {
    let text = format!("{:+.digits$} %", 100.0 * share);
    match text.chars().any(|c| ('1'..='9').contains(&c)) || !share.is_finite() {
        true => text,
        false => format!("{:.digits$} %", 0.0),
    }
}

/// A number and its noun: `1 step`, `160 steps`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A size in bytes: `12.3 GiB`, `340 MiB`, `1.5 MiB`.
pub fn bytes(bytes: f64) -> String {
    const MIB: f64 = 1_048_576.0;
    match bytes / MIB {
        mib if mib >= 1024.0 => format!("{:.1} GiB", mib / 1024.0),
        mib if mib >= 10.0 => format!("{mib:.0} MiB"),
        mib => format!("{mib:.1} MiB"),
    }
}

/// Names and numbers side by side: `global 0.512, face 0.0312`.
pub fn listed(names: &[String], values: &[f64]) -> String {
    let pairs = names.iter().zip(values).map(|(name, value)| format!("{name} {}", short(*value)));
    pairs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let shown: Vec<String> = [0.0, 1.0, 0.01234, 12.345, 1234.5, 1.234e-7, -0.5].map(short).to_vec();
        assert_eq!(shown, ["0", "1.00", "0.0123", "12.3", "1234", "1.23e-7", "-0.500"]);
    }

    #[test]
    fn no_change_has_no_sign() {
        let shown = [-0.0632, 0.0004, -0.0004, 0.0].map(|share| change(share, 1));
        assert_eq!(shown, ["-6.3 %", "0.0 %", "0.0 %", "0.0 %"]);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n| count(n, "step")), ["0 steps", "1 step", "2 steps"]);
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let shown = [2e5, 5e6, 4e8, 1_073_741_824.0, 7e10].map(bytes);
        assert_eq!(shown, ["0.2 MiB", "4.8 MiB", "381 MiB", "1.0 GiB", "65.2 GiB"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let shown: Vec<String> = [0.4, 48.0, 200.0, 7500.0].map(duration).to_vec();
        assert_eq!(shown, ["0 s", "48 s", "3 min 20 s", "2 h 05 min"]);
    }
}
