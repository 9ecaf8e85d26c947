//! The page: head, introduction, sections in order.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::Report;
use crate::section;
use crate::view::{View, state};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The browser refuses to load anything from elsewhere.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'";

/// The report as one HTML file.
pub fn html(report: &Report) -> String {
    clean(page(report).into_string())
}

/// HTML without characters that have no place in it.
pub(crate) fn clean(page: String) -> String {
    // Names of files and pictures may hold anything; control characters have no place in HTML.
    let misplaced =
        |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
    if page.contains(misplaced) { page.replace(misplaced, "\u{fffd}") } else { page }
}

/// The head of a page: what all of ours have, and `more`.
pub(crate) fn head(title: &str, more: &Markup) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            (more)
            title { (title) }
            link rel="icon" href="data:,";
        }
    }
}

fn page(report: &Report) -> Markup {
    let view = View::new(&report.runs);
    let title = if report.title.is_empty() { "Training report" } else { &report.title };
    let sections = [
        section::held_out(&view),
        section::tables("tables", &report.tables),
        section::grids("pictures", &report.grids),
        section::samples(&view),
        section::losses(&view),
        section::weights(&view),
        section::conflict(&view),
        section::gradients(&view),
        section::regions(&view),
        section::masks(&view),
        section::cost(&view),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, &html! {
                // The mark of `fairhuman_files::Kind::Page`: such a page may be replaced.
                meta name="generator" content=(concat!("fairhuman ", env!("CARGO_PKG_VERSION")));
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                style { (PreEscaped(STYLE)) }
            }))
            body {
                header {
                    button.theme type="button" hidden="hidden" { "Light / dark" }
                    p.kicker { "fairhuman report" }
                    h1 { (title) }
                    @for text in &report.summary { p.intro { (text) } }
                    (runs(&view))
                    (section::notes(&view))
                }
                main {
                    @if report.runs.is_empty() && report.tables.is_empty() { p.lead { "There are no runs in this report." } }
                    (view.legend())
                    @if !report.runs.is_empty() { (sections[0]) }
                    @for section in &sections[1..] { (section) }
                    (section::next(&report.next))
                    (section::details(report, &view))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The runs: name, state, weighting and objectives.
fn runs(view: &View<'_>) -> Markup {
    html! {
        @if !view.runs.is_empty() { ul.runs {
            @for (r, run) in view.runs.iter().enumerate() {
                li {
                    b { @if view.compares() { i class={ "chip s" (r % 10) } {} } (run.name) }
                    span.sub { (state(run)) }
                    @if !run.objectives().is_empty() { span.sub { (weighting(run)) @if run.objectives().len() > 1 { " over" } " " (run.objectives().join(", ")) } }
                }
            }
        } }
    }
}

/// The weighting in words, from the recipe.
fn weighting(run: &crate::model::Run) -> String {
    match crate::recipe::weighting(run) {
        _ if run.objectives().len() == 1 => "one objective,".into(),
        Some(weighting) => weighting.label(),
        None => "trained".into(),
    }
}
