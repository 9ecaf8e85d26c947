//! The page: its head, the order of its sections, its style.

use crate::model::Report;

/// The report as one HTML file.
pub fn html(report: &Report) -> String {
    maud::html! { title { (report.title) } }.into_string()
}
