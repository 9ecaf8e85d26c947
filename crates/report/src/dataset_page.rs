//! The page of a dataset whose masks and captions are changed by hand. It is for a server: its script asks
//! for pictures, and sends what was changed.

use fairhuman_dataset::check::COLOURS;
use maud::{DOCTYPE, Markup, html};

use crate::page;

/// The style sheet of this page.
pub const STYLE: &str = concat!(include_str!("page.css"), include_str!("dataset_page.css"));
/// The scripts of this page.
pub const SCRIPT: &str = concat!(include_str!("page.js"), include_str!("dataset_page.js"));

/// The content of the page: one part of a dataset's pictures.
#[derive(Debug, Clone, Default)]
pub struct DatasetPage {
    /// The heading.
    pub title: String,
    /// The beginning of the addresses of pictures: `/data/0`.
    pub address: String,
    /// Names of the regions, in the order of their colours.
    pub regions: Vec<String>,
    /// Names and captions of the pictures.
    pub cards: Vec<(String, String)>,
    /// Number of the first of them in the dataset, from 0.
    pub first: usize,
    /// Number of all pictures.
    pub count: usize,
    /// Most pictures of a page.
    pub most: usize,
    /// Things to know before something is changed.
    pub notes: Vec<String>,
    /// The address to go back to, if there is one.
    pub back: Option<String>,
    /// The token that requests must carry to change something.
    pub token: String,
}

/// The colour of a region, as HTML writes it.
pub fn colour(region: usize) -> String {
    let [red, green, blue] = COLOURS[region % COLOURS.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The page as HTML.
pub fn html(of: &DatasetPage) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (page::head(&of.title, &html! {
                meta name="fairhuman-token" content=(of.token);
                meta name="fairhuman-address" content=(of.address);
                meta name="fairhuman-count" content=(of.count);
                link rel="stylesheet" href="/data.css";
            }))
            body {
                header {
                    button.theme type="button" hidden="hidden" { "Light / dark" }
                    p.kicker { "masks and captions" @if let Some(back) = &of.back { " · " a href=(back) { "back to the run" } } }
                    h1 { (of.title) }
                    p.lead { "Choose a picture to paint its masks and to change its caption. What is saved is in the dataset at once; files as they were before are kept in its folder " code { ".before" } "." }
                    @for note in &of.notes { p.note { (note) } }
                    @if !of.regions.is_empty() {
                        ul.legend {
                            @for (r, name) in of.regions.iter().enumerate() {
                                li { i style={ "background:" (colour(r)) } {} (name) }
                            }
                        }
                    }
                    (pages(of))
                }
                main.album {
                    @for (i, (name, caption)) in of.cards.iter().enumerate() {
                        @let index = of.first + i;
                        button.card type="button" data-index=(index) {
                            img loading="lazy" src={ (of.address) "/small/" (index) } alt="cannot be read";
                            span.name { (name) }
                            span.sub { @if caption.is_empty() { "no caption" } @else { (caption) } }
                        }
                    }
                    @if of.cards.is_empty() { p { "There are no pictures here." } }
                }
                (editor())
                script src="/data.js" {}
            }
        }
    };
    page::clean(page.into_string())
}

/// Links to the pages of a dataset that has more pictures than one page.
fn pages(of: &DatasetPage) -> Markup {
    let most = of.most.max(1);
    html! {
        @if of.count > most {
            nav aria-label="pages" {
                @if let Some(before) = of.first.checked_sub(1) {
                    a href={ "?from=" (before / most * most) } { "earlier pictures" }
                }
                span { (of.first + 1) " to " (of.first + of.cards.len()) " of " (of.count) }
                @if of.first + of.cards.len() < of.count {
                    a href={ "?from=" (of.first + of.cards.len()) } { "later pictures" }
                }
            }
        }
    }
}

/// One picture with its tools, which the script fills in.
fn editor() -> Markup {
    html! {
        dialog #editor aria-labelledby="editor-name" {
            div.stage { div #canvas { img #picture alt=""; } }
            div.tools {
                div.row { b #editor-name {} span.sub #editor-size {} }
                fieldset #regions { legend { "Mask" } }
                fieldset #brushes {
                    legend { "Tool" }
                    @for (tool, words) in [("brush", "Brush"), ("erase", "Eraser"), ("box", "Rectangle"), ("hole", "Erase rectangle")] {
                        label { input type="radio" name="tool" value=(tool) checked[tool == "brush"]; (words) }
                    }
                    label.row { "Size" input #size type="range" min="1" max="100" value="30"; output #size-words {} }
                }
                div.row {
                    button #undo type="button" title="Ctrl+Z" { "Undo" }
                    button #redo type="button" title="Ctrl+Shift+Z" { "Redo" }
                    button #clear type="button" { "Clear mask" }
                }
                label { "Caption" textarea #caption rows="4" spellcheck="true" {} }
                p.note #why {}
                div.row {
                    button #save.strong type="button" title="Ctrl+S" { "Save" }
                    button #before type="button" title="Page up" { "Previous" }
                    button #after type="button" title="Page down" { "Next" }
                    button #close type="button" title="Esc" { "Close" }
                }
                output #told role="status" {}
                p.note { "Keys: B brush, E eraser, R rectangle, 1 to 9 masks, [ and ] size of the brush." }
            }
        }
    }
}
