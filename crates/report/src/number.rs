//! Numbers in a readable form.

/// Three significant digits: `0.0123`, `12.3`, `1.23e-7`; a dash for values that are not finite.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 6);
    minus(format!("{value:.*}", digits as usize))
}

/// A tick of an axis, without trailing zeros.
pub fn tick(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    // Products such as 3 * 0.1 have rounding errors in the last digits.
    let size = value.abs();
    if (1e3..1e6).contains(&size) && value % 100.0 == 0.0 {
        return minus(format!("{}k", value / 1e3));
    }
    if !(1e-4..1e6).contains(&size) {
        let rounded: f64 = format!("{value:.9e}").parse().unwrap_or(value);
        return minus(format!("{rounded:e}"));
    }
    minus(format!("{}", (value * 1e8).round() / 1e8))
}

/// A share: `12.3 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { minus(format!("{:.1}\u{a0}%", 100.0 * share)) } else { "–".into() }
}

/// A change with its sign: `−12.3 %`, `+0.04 %`.
pub fn change(share: f64) -> String {
    if !share.is_finite() {
        return "–".into();
    }
    let value = 100.0 * share;
    let digits = if value.abs() < 1.0 { 2 } else { 1 };
    minus(format!("{value:+.digits$}\u{a0}%"))
}

/// A duration: `0.31 s`, `48 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".into();
    }
    if seconds < 10.0 {
        return format!("{} s", short(seconds.max(0.0)));
    }
    let s = seconds.round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Memory from MiB: `312 MiB`, `5.4 GiB`.
pub fn memory(mib: f64) -> String {
    match mib {
        m if !m.is_finite() => "–".into(),
        m if m < 1024.0 => format!("{m:.0} MiB"),
        m => format!("{:.1} GiB", m / 1024.0),
    }
}

/// A number and its noun.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The sign that is as wide as a plus.
fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        assert_eq!([0.0, 0.01234, 12.345, -0.5, f64::NAN].map(short), ["0", "0.0123", "12.3", "−0.500", "–"]);
        assert_eq!([0.1 * 3.0, 2000.0, 1500.0, 5.0, 1e-7].map(tick), ["0.3", "2k", "1.5k", "5", "1e-7"]);
        assert_eq!([-0.1234, 0.0004, f64::INFINITY].map(change), ["−12.3\u{a0}%", "+0.04\u{a0}%", "–"]);
        assert_eq!(
            [0.312, 48.0, 200.0, 7500.0].map(duration),
            ["0.312 s", "48 s", "3 min 20 s", "2 h 05 min"]
        );
    }
}
