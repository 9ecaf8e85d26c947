//! Class names of a detection network, and the selection of some of them.

/// Parses class names as Ultralytics writes them into its files: a Python dictionary, `{0: 'face', 1:
/// "driver's hand"}`.
pub fn parse(dictionary: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = dictionary;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = rest[start..].chars().next().unwrap_or('\'');
        let mut name = String::new();
        let mut characters = rest[start + 1..].char_indices();
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                c if c == quote => {
                    end = start + 1 + at + 1;
                    break;
                }
                c => name.push(c),
            }
        }
        names.push(name);
        rest = &rest[end..];
    }
    names
}

/// Numbers of the `wanted` classes, given by name or number. `wanted` may be empty only for a network with
/// one class.
pub fn choose(names: &[String], wanted: &[String]) -> Result<Vec<usize>, String> {
    let listed: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} `{name}`")).collect();
    let listed = listed.join(", ");
    if wanted.is_empty() {
        return match names.len() {
            1 => Ok(vec![0]),
            n => Err(format!("say which of its {n} classes are meant, by name or number: {listed}")),
        };
    }
    let find = |class: &String| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(class));
        let number = || class.parse().ok().filter(|&i: &usize| i < names.len());
        named.or_else(number).ok_or_else(|| format!("no class `{class}`; its classes are {listed}"))
    };
    let mut numbers = wanted.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::{choose, parse};

    #[test]
    fn names_are_read_as_python_writes_them() {
        assert_eq!(parse(r#"{0: 'face', 1: "driver's hand"}"#), ["face", "driver's hand"]);
        assert_eq!(parse(r#"{0: 'both \'of\' "them"', 1: 'größe'}"#), ["both 'of' \"them\"", "größe"]);
        assert!(parse("{}").is_empty() && parse("{0: 'cut").len() == 1);
    }

    #[test]
    fn a_class_is_chosen_by_name_or_number_and_never_guessed() {
        let names = ["face", "left hand", "right hand"].map(String::from);
        let chosen =
            |wanted: &[&str]| choose(&names, &wanted.iter().map(|w| w.to_string()).collect::<Vec<_>>());
        assert_eq!(chosen(&["Right Hand", "1", "1"]), Ok(vec![1, 2]));
        assert!(chosen(&[]).expect_err("refused").contains("0 `face`, 1 `left hand`"));
        assert!(chosen(&["3"]).expect_err("refused").contains("no class `3`"));
        assert_eq!(choose(&names[..1], &[]), Ok(vec![0]));
    }
}
