//! The sections of the page, one file each: a heading, a sentence that explains it, the figures.

mod conflict;
mod cost;
mod curves;
mod details;
mod held_out;
mod pictures;
mod regions;
mod samples;
mod tables;

use maud::{Markup, html};

pub use conflict::conflict;
pub use cost::cost;
pub use curves::{gradients, losses, weights};
pub use details::{details, next, notes};
pub use held_out::held_out;
pub use pictures::grids;
pub use regions::{masks, regions};
pub use samples::samples;
pub use tables::tables;

/// A section with its heading and its sentence.
fn section(id: &str, title: &str, lead: &str, body: Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            @if !lead.is_empty() { p.lead { (lead) } }
            (body)
        }
    }
}
