//! Tables of texts, as the caller has them.

use maud::{Markup, html};

use super::section;
use crate::model::Table;

/// All tables, each a section; `id` begins the names of their anchors.
pub fn tables(id: &str, tables: &[Table]) -> Markup {
    html! { @for (i, table) in tables.iter().enumerate() {
        @if !table.rows.is_empty() { (one(&format!("{id}-{}", i + 1), table)) }
    } }
}

fn one(id: &str, table: &Table) -> Markup {
    let body = html! {
        div.scroll { table.numbers.words {
            thead { tr { @for column in &table.columns { th scope="col" { (column) } } } }
            tbody { @for row in &table.rows { tr {
                @for (c, cell) in row.iter().enumerate() {
                    @if c == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                }
            } } }
        } }
    };
    section(id, &table.title, &table.text, body)
}
