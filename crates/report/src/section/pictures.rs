//! Grids of pictures: rows and columns, with places enlarged.

use maud::{Markup, html};

use super::section;
use crate::model::{Grid, Picture, Row};
use crate::picture::{cut, data};

/// All grids, each a section; `id` begins the names of their anchors.
pub fn grids(id: &str, grids: &[Grid]) -> Markup {
    html! { @for (i, grid) in grids.iter().enumerate() { (one(&format!("{id}-{}", i + 1), grid)) } }
}

fn one(id: &str, grid: &Grid) -> Markup {
    if grid.rows.iter().all(|row| row.cells.iter().all(Option::is_none)) {
        return html! {};
    }
    let columns = grid.rows.iter().map(|row| row.cells.len()).chain([grid.columns.len()]).max().unwrap_or(0);
    let body = html! {
        div.scroll {
            div.grid style={ "--columns:" (columns) } role="table" aria-label=(grid.title) {
                div.columns role="row" {
                    @for c in 0..columns { div role="columnheader" { (grid.columns.get(c).map_or("", String::as_str)) } }
                }
                @for row in &grid.rows { (line(grid, row, columns)) }
            }
        }
    };
    section(id, &grid.title, &grid.text, body)
}

fn line(grid: &Grid, row: &Row, columns: usize) -> Markup {
    html! {
        div.label { (row.label) }
        div.cells role="row" {
            @for c in 0..columns {
                div.cell role="cell" {
                    @let name = grid.columns.get(c).map_or("", String::as_str);
                    @match row.cells.get(c).and_then(Option::as_ref) {
                        Some(picture) => (cell(picture, &format!("{name}: {}", row.label))),
                        None => div.missing { "no picture" },
                    }
                }
            }
        }
    }
}

fn cell(picture: &Picture, spoken: &str) -> Markup {
    let crops: Vec<_> =
        picture.crops.iter().filter_map(|crop| Some((&crop.name, cut(&picture.image, crop)?))).collect();
    let coarse = picture.image.width().max(picture.image.height()) < 192;
    html! {
        img.coarse[coarse] src=(data(&picture.image)) alt=(spoken)
            width=(picture.image.width()) height=(picture.image.height());
        @if !crops.is_empty() { div.crops {
            @for (name, crop) in &crops { figure {
                img src=(data(crop)) alt={ (name) ", enlarged. " (spoken) };
                figcaption { (name) }
            } }
        } }
    }
}
