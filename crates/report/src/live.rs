//! The page of runs that go on: parts, each drawn again when it has changed, and buttons. It is for a server:
//! its script asks for new parts, and for what a run should do.

use maud::{DOCTYPE, Markup, html};

use crate::model::Run;
use crate::number::duration;
use crate::page;
use crate::section;
use crate::view::{View, state};

/// The style sheet of reports and of this page.
pub const STYLE: &str = concat!(include_str!("page.css"), include_str!("live.css"));
/// The scripts of this page.
pub const SCRIPT: &str = concat!(include_str!("page.js"), include_str!("live.js"));
/// The parts by name, in their order.
pub const PARTS: [&str; 10] =
    ["runs", "ask", "legend", "held-out", "samples", "losses", "weights", "conflict", "gradients", "regions"];

/// Steps whose mean time the time that is left is told by.
const RECENT: usize = 20;

/// A part as HTML; empty while there is nothing to show, and for a name that is none.
pub fn part(runs: &[Run], name: &str) -> String {
    let view = View::new(runs);
    let markup = match name {
        "runs" => header(&view),
        "ask" => buttons(&view),
        "legend" => view.legend(),
        "held-out" => section::held_out(&view),
        "samples" => section::samples(&view),
        "losses" => section::losses(&view),
        "weights" => section::weights(&view),
        "conflict" => section::conflict(&view),
        "gradients" => section::gradients(&view),
        "regions" => section::regions(&view),
        _ => html! {},
    };
    page::clean(markup.into_string())
}

/// The whole page. `parts` are the names, versions and HTML of its parts; `token` is what requests to a run
/// must carry.
pub fn html(title: &str, parts: &[(&str, String, String)], token: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (page::head(title, &html! {
                meta name="fairhuman-token" content=(token);
                link rel="stylesheet" href="/page.css";
            }))
            body {
                header {
                    button.theme type="button" hidden="hidden" { "Light / dark" }
                    p.kicker { "fairhuman watch " span #connection role="status" { "connecting" } }
                    h1 { (title) }
                }
                main {
                    @for (name, version, text) in parts {
                        div id={ "part-" (name) } data-version=(version) { (maud::PreEscaped(text)) }
                    }
                }
                script src="/page.js" {}
            }
        }
    };
    page::clean(page.into_string())
}

/// The runs with their states, and notes.
fn header(view: &View<'_>) -> Markup {
    html! {
        ul.runs {
            @for (r, run) in view.runs.iter().enumerate() {
                li {
                    b { @if view.compares() { i class={ "chip s" (r % 10) } {} } (run.name) }
                    span.sub { (state(run)) @if let Some(left) = left(run) { ", " (left) " left" } }
                    a.sub href={ "/data/" (r) } { "masks and captions" }
                }
            }
        }
        (section::notes(view))
    }
}

/// Requests to a run that goes on. It is drawn apart from the states, which change with every step.
fn buttons(view: &View<'_>) -> Markup {
    html! {
        @for (r, run) in view.runs.iter().enumerate().filter(|(_, run)| run.goes_on()) {
            div.ask {
                @if view.compares() { b { i class={ "chip s" (r % 10) } {} (run.name) } }
                @for (action, words) in [("save", "Save now"), ("sample", "Sample now"), ("stop", "Stop")] {
                    button type="button" data-run=(r) data-action=(action) { (words) }
                }
                output data-run=(r) {}
            }
        }
    }
}

/// The time that a run will take to its end, if it goes on.
fn left(run: &Run) -> Option<String> {
    let start = run.start().filter(|_| run.goes_on())?;
    let steps: Vec<_> = run.steps().collect();
    let recent = &steps[steps.len().saturating_sub(RECENT)..];
    let last = recent.last()?.step;
    let mean = recent.iter().map(|step| step.seconds.total).sum::<f64>() / recent.len() as f64;
    Some(duration(mean * start.until.saturating_sub(last) as f64))
}
