//! Sources of pixels: a file, a cell of a Parquet table, the picture's own alpha channel, or shapes to draw.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::GrayImage;

/// The place where a picture, a mask or a conditioning image is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageSource {
    /// A file, relative to the dataset's folder.
    File(PathBuf),
    /// The bytes of a file in a cell of a Parquet table.
    Cell(TableCell),
}

/// A cell of a Parquet table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableCell {
    /// The table, relative to the dataset's folder.
    pub file: PathBuf,
    /// The row group, from 0.
    pub group: usize,
    /// The row in the group, from 0.
    pub row: usize,
    /// The leaf column, from 0.
    pub column: usize,
    /// The cell's name in messages: `"train.parquet#17"`, with the row in the file from 0.
    pub name: PathBuf,
}

impl ImageSource {
    /// The file's path, or the cell's name.
    pub fn name(&self) -> &Path {
        match self {
            ImageSource::File(path) => path,
            ImageSource::Cell(cell) => &cell.name,
        }
    }

    /// The file that holds it, relative to the dataset's folder.
    pub fn file(&self) -> &Path {
        match self {
            ImageSource::File(path) => path,
            ImageSource::Cell(cell) => &cell.file,
        }
    }
}

impl<T: Into<PathBuf>> From<T> for ImageSource {
    fn from(path: T) -> Self {
        ImageSource::File(path.into())
    }
}

/// The source of a region's mask.
#[derive(Debug, Clone, PartialEq)]
pub enum MaskSource {
    /// A picture of its own.
    Picture(ImageSource),
    /// The alpha channel of the picture: opaque where the region is. The picture's colours are then taken as
    /// they are, transparent or not.
    Alpha,
    /// Shapes that are drawn when the mask is needed.
    Shapes(Arc<Shapes>),
}

impl MaskSource {
    /// The mask's own file, relative to the dataset's folder, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            MaskSource::Picture(ImageSource::File(path)) => Some(path),
            _ => None,
        }
    }

    /// A text that tells this mask from others: its name, or all its numbers.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match self {
            MaskSource::Picture(source) => source.name().to_string_lossy(),
            MaskSource::Alpha => "alpha".into(),
            MaskSource::Shapes(shapes) => format!("{shapes:?}").into(),
        }
    }
}

/// Shapes in the pixels of a picture of a given size.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapes {
    /// The list that they come from, for messages.
    pub list: PathBuf,
    /// Width and height of the picture that they were made for.
    pub size: (u32, u32),
    /// The shapes; the region is all of them together.
    pub shapes: Vec<Shape>,
}

/// An area of a picture, in pixels from its upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Left, top, right, bottom. Every pixel that it touches belongs to it.
    Box([f32; 4]),
    /// Corners in order; pixels whose centre is inside (even-odd) belong to it.
    Polygon(Vec<[f32; 2]>),
}

impl Shape {
    /// Left, top, right and bottom of the box around it.
    pub(crate) fn bounds(&self) -> [f32; 4] {
        match self {
            Shape::Box(edges) => *edges,
            Shape::Polygon(corners) => corners.iter().fold(
                [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY],
                |[left, top, right, bottom], [x, y]| {
                    [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
                },
            ),
        }
    }
}

impl Shapes {
    /// Draws the shapes white on black.
    pub(crate) fn draw(&self) -> GrayImage {
        let (width, height) = self.size;
        let mut mask = GrayImage::new(width, height);
        let mut fill = |row: u32, from: f32, to: f32| {
            let (from, to) = (from.clamp(0.0, width as f32) as u32, to.clamp(0.0, width as f32) as u32);
            for column in from..to {
                mask.put_pixel(column, row, image::Luma([255]));
            }
        };
        for shape in &self.shapes {
            match shape {
                Shape::Box([left, top, right, bottom]) => {
                    let rows = |v: f32| v.clamp(0.0, height as f32) as u32;
                    for row in rows(top.floor())..rows(bottom.ceil()) {
                        fill(row, left.floor(), right.ceil());
                    }
                }
                Shape::Polygon(corners) => {
                    for row in 0..height {
                        let mut cuts = crossings(corners, row as f32 + 0.5);
                        cuts.sort_by(f32::total_cmp);
                        for pair in cuts.as_chunks::<2>().0 {
                            // The first centre at or after the cut, and the first after the next one.
                            fill(row, (pair[0] - 0.5).ceil(), (pair[1] - 0.5).ceil());
                        }
                    }
                }
            }
        }
        mask
    }
}

/// The columns at which a polygon's edges cut the horizontal line at `y`.
fn crossings(corners: &[[f32; 2]], y: f32) -> Vec<f32> {
    let next = corners.iter().cycle().skip(1);
    let edges = corners.iter().zip(next);
    let cut = |(a, b): (&[f32; 2], &[f32; 2])| {
        let crosses = (a[1] <= y) != (b[1] <= y);
        crosses.then(|| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
    };
    edges.filter_map(cut).collect()
}
