//! The contents of a report as plain data, without files or formats.

use fairhuman_train::events::{Event, Start, Step, Validation};
use image::{GrayImage, RgbImage};

/// Everything on the page, in its order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The heading, and the title of the browser's tab.
    pub title: String,
    /// Paragraphs at the beginning, in plain text.
    pub summary: Vec<String>,
    /// The runs; with several, each has a colour and all are drawn on the same axes.
    pub runs: Vec<Run>,
    /// Tables of texts, before the pictures.
    pub tables: Vec<Table>,
    /// Pictures beside each other.
    pub grids: Vec<Grid>,
    /// Suggested next steps.
    pub next: Vec<Advice>,
    /// Versions and machine: name and value.
    pub about: Vec<(String, String)>,
}

impl Report {
    /// An empty report.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }
}

/// One training run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Its name on the page.
    pub name: String,
    /// Everything that happened, in order. See [`fairhuman_train::events`].
    pub events: Vec<Event>,
    /// The resolved recipe, TOML; empty if it is not known.
    pub recipe: String,
    /// Some of its pictures with their masks.
    pub pictures: Vec<Masked>,
    /// Pictures of its prompts while it trained, by step.
    pub samples: Vec<Samples>,
    /// Notes for the reader, such as the reason why something is missing.
    pub notes: Vec<String>,
}

impl Run {
    /// The same run under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The latest beginning; a resumed run has several.
    pub fn start(&self) -> Option<&Start> {
        let start = |event: &'_ Event| matches!(event, Event::Start(_));
        match self.events.iter().rfind(|event| start(event)) {
            Some(Event::Start(start)) => Some(start),
            _ => None,
        }
    }

    /// True if it has begun and not ended: a process trains, unless it was killed.
    pub fn goes_on(&self) -> bool {
        self.events.last().is_some_and(|event| !matches!(event, Event::End { .. }))
    }

    /// Names of the objectives; none before the run has begun.
    pub fn objectives(&self) -> &[String] {
        self.start().map_or(&[], |start| &start.objectives)
    }

    /// The training steps.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.events.iter().filter_map(|event| match event {
            Event::Step(step) => Some(&**step),
            _ => None,
        })
    }

    /// The validations on held-out pictures.
    pub fn validations(&self) -> impl Iterator<Item = &Validation> {
        self.events.iter().filter_map(|event| match event {
            Event::Validation(validation) => Some(validation),
            _ => None,
        })
    }
}

/// Pictures of a run's prompts after a number of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Steps done.
    pub step: u64,
    /// Prompts and pictures.
    pub pictures: Vec<(String, RgbImage)>,
}

/// A picture of the dataset and its regions.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    /// Its name in the dataset.
    pub name: String,
    /// Its caption.
    pub caption: String,
    /// True if it was held out from training.
    pub held_out: bool,
    /// The picture as the network sees it.
    pub image: RgbImage,
    /// Its regions that have pixels.
    pub regions: Vec<Region>,
}

/// A region of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The objective's name.
    pub name: String,
    /// Of the picture's size: more than 127 inside.
    pub mask: GrayImage,
}

/// A table of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Heading.
    pub title: String,
    /// A sentence about the table; may be empty.
    pub text: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, a text for each column; the first names the row.
    pub rows: Vec<Vec<String>>,
}

/// Pictures in rows and columns: a row for each prompt, a column for each model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// Heading.
    pub title: String,
    /// One sentence about the pictures; may be empty.
    pub text: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a [`Grid`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// The prompt, or whatever the row has in common.
    pub label: String,
    /// One picture per column, or none where there is none.
    pub cells: Vec<Option<Picture>>,
}

/// A picture with the places that are shown enlarged below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The picture.
    pub image: RgbImage,
    /// The places that are enlarged; may be empty.
    pub crops: Vec<Crop>,
}

impl Picture {
    /// A picture from RGB bytes, row by row; none if their number is not `3 * width * height`.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let expected = u64::from(width) * u64::from(height) * 3;
        let fits = expected > 0 && rgb.len() as u64 == expected;
        let image = fits.then(|| RgbImage::from_raw(width, height, rgb))??;
        Some(Self { image, crops: Vec::new() })
    }
}

/// A place in a picture, in pixels. It may reach beyond the picture: the part inside is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// The content: `face`, `hand`.
    pub name: String,
    /// Left edge.
    pub left: i32,
    /// Upper edge.
    pub top: i32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Crop {
    /// A place by its upper left corner and size.
    pub fn new(name: impl Into<String>, left: i32, top: i32, width: u32, height: u32) -> Self {
        Self { name: name.into(), left, top, width, height }
    }
}

/// A piece of advice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// The suggestion and its reason.
    pub text: String,
    /// The command, if there is one.
    pub command: Option<String>,
}
