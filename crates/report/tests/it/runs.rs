//! Made-up runs, and the page as a tree.

use fairhuman_report::{Report, Run, html};
use fairhuman_train::events::{Event, Reason, Seconds, Start, Step, StepOutcome, Validation};

/// A recipe with these objectives; the first without a mask.
pub fn recipe(objectives: &[&str], scale: f64) -> String {
    let mut text = String::from(
        "steps = 9\nseed = 0\n[model]\npath = \"m\"\n[dataset]\npath = \"d\"\n[weighting]\nkind = \"alpha-fair\"\nalpha = 2.0\n",
    );
    for (i, name) in objectives.iter().enumerate() {
        text += &format!("[[objective]]\nname = \"{name}\"\nscale = {scale}\n");
        if i > 0 {
            text += &format!("mask = \"mask_{name}\"\n");
        }
    }
    text
}

/// The beginning of a run.
pub fn start(objectives: &[&str]) -> Event {
    Event::Start(Start {
        step: 0,
        until: 9,
        objectives: objectives.iter().map(|&name| name.into()).collect(),
        training_samples: 20,
        held_out: vec!["images/1.png".into()],
        trained_values: 1_234_567,
        truncated_captions: 0,
        notes: Vec::new(),
        version: "0.1.0".into(),
        first_losses: None,
        machine: "linux x86_64, 2 cores, AVX-512".into(),
    })
}

/// A step in which every objective is there.
pub fn step(number: u64, losses: Vec<f64>) -> Step {
    let k = losses.len();
    let wave = |i: usize| (number as f64 * 0.1 + i as f64).sin();
    let cosine = |i: usize, j: usize| if i == j { 1.0 } else { 0.4 * wave(i + j) };
    let gram = |i: usize, j: usize| cosine(i, j) * 0.01 * (1 + i) as f64;
    let matrix = |of: &dyn Fn(usize, usize) -> f64| (0..k * k).map(|at| of(at / k, at % k)).collect();
    Step {
        step: number,
        outcome: StepOutcome::Updated,
        samples: vec!["a.png".into(), "b.png".into()],
        timesteps: vec![1, 2],
        weights: (0..k).map(|i| 1.5 + wave(i)).collect(),
        factor: None,
        weights_of: None,
        rates: vec![1.0; k],
        gram: matrix(&gram),
        cosines: matrix(&cosine),
        solve: None,
        present: vec![2; k],
        area: vec![0.5; k],
        losses,
        grad_norm: Some(0.3),
        clip: Some(1.0),
        learning_rate: 1e-3,
        seconds: Seconds { data: 0.01, forward: 0.1, backward: 0.2, solve: 0.01, update: 0.01, total: 0.33 },
        peak_memory_mib: Some(300.0 + number as f64),
    }
}

/// Held-out losses.
pub fn look(step: u64, losses: &[f64]) -> Event {
    let present = vec![4; losses.len()];
    let (variants, measures, background, pictures) = Default::default();
    let (losses, seconds) = (losses.to_vec(), 0.5);
    Event::Validation(Validation { step, losses, present, background, pictures, seconds, variants, measures })
}

/// A whole run: held-out losses from `first` to `last`, `steps` steps between them.
pub fn run(name: &str, objectives: &[&str], steps: u64, first: &[f64], last: &[f64]) -> Run {
    let mut events = vec![start(objectives), look(0, first)];
    for s in 1..=steps {
        let at = s as f64 / steps as f64;
        let noise = 1.0 + 0.3 * (s as f64 * 12.9898).sin();
        let losses = first.iter().zip(last).map(|(f, l)| noise * (f + at * (l - f))).collect();
        events.push(Event::Step(Box::new(step(s, losses))));
    }
    events.push(look(steps, last));
    events.push(Event::End { step: steps, reason: Reason::Done, files: Vec::new() });
    Run { name: name.into(), events, recipe: recipe(objectives, 1.0), ..Run::default() }
}

/// The page of these runs.
pub fn page(runs: Vec<Run>) -> String {
    html(&Report { runs, ..Report::new("Runs") })
}

/// The page with void elements closed, as XML: wrong nesting or missing escapes do not parse.
pub fn xml(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        // Quotes protect a `>` inside a value.
        let mut quoted = false;
        let end = tag.char_indices().find(|&(_, c)| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let end = end.map_or(tag.len() - 1, |(i, _)| i);
        let name: String = tag[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
        let void = ["meta", "img", "link", "br", "input", "hr"].contains(&name.as_str());
        text.push_str(&tag[..end]);
        text.push_str(if void { "/>" } else { ">" });
        rest = &tag[end + 1..];
        if name == "script" {
            // Not ours to read as tags.
            let end = rest.find("</script>").unwrap_or(rest.len());
            text.push_str(&rest[..end].replace('&', "&amp;").replace('<', "&lt;"));
            rest = &rest[end..];
        }
    }
    text + rest
}

/// Runs a check on the page's tree.
pub fn tree<T>(page: &str, check: impl FnOnce(&roxmltree::Document<'_>) -> T) -> T {
    let text = xml(page);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    check(&roxmltree::Document::parse_with_options(&text, options).unwrap_or_else(|e| panic!("{e}\n{text}")))
}

/// Ids of the sections, in order.
pub fn sections(page: &str) -> Vec<String> {
    tree(page, |doc| {
        let sections = doc.descendants().filter(|n| n.has_tag_name("section"));
        sections.filter_map(|n| n.attribute("id")).map(str::to_owned).collect()
    })
}

/// All text below a node.
pub fn text(node: roxmltree::Node<'_, '_>) -> String {
    node.descendants().filter_map(|n| if n.is_text() { n.text() } else { None }).collect()
}
