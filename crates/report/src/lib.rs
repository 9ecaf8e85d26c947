//! Training runs as one web page: a single file that loads nothing else, from the network or from disk.
//!
//! Plain data in, text out. A [`Report`] holds the contents of the page; [`html`] writes it. A [`Run`] is
//! read from a run folder ([`Run::read`]), a [`Grid`] holds sampled pictures beside each other, with the
//! places to enlarge.
//!
//! ```no_run
//! use fairhuman_report::{Advice, Crop, Grid, Picture, Report, Row, Run, html};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut report = Report::new("Plain and fair, side by side");
//! report.summary.push("Two adapters, trained from one model for the same steps on the same pictures.".into());
//! // The name is for legends and tables; the first run has the first colour.
//! report.runs = vec![Run::read("runs/plain".as_ref())?.named("Plain"), Run::read("runs/mpd".as_ref())?.named("MPD")];
//! for run in &mut report.runs {
//!     run.add_pictures(4); // some of the dataset's pictures with their masks, if it is still there
//! }
//!
//! let picture = |gray: u8| {
//!     let mut picture = Picture::new(64, 64, vec![gray; 64 * 64 * 3])?; // RGB, row by row
//!     picture.crops.push(Crop::new("face", 24, 4, 16, 16)); // left, top, width, height in pixels
//!     Some(picture)
//! };
//! report.grids.push(Grid {
//!     title: "The same prompts and seeds".into(),
//!     text: "Each row starts from the same noise.".into(),
//!     columns: vec!["Base".into(), "Plain".into(), "MPD".into()],
//!     rows: vec![Row { label: "a woman waves".into(), cells: vec![picture(90), picture(120), picture(150)] }],
//! });
//! report.next.push(Advice {
//!     text: "Train on your own photographs:".into(),
//!     command: Some("fairhuman train people.toml".into()),
//! });
//! report.about.push(("fairhuman".into(), "0.1.0".into()));
//! std::fs::write("report.html", html(&report))?;
//! # Ok(()) }
//! ```
//!
//! Runs are compared by the objectives' *names*: a run that trained only the whole picture has no curve for
//! faces. To compare a plain loss on faces too, train it with the same objectives and `weighting = { kind =
//! "fixed", weights = [1, 0, 0] }`: held-out losses are then known for all of them.
//!
//! [`live`] is the page of runs that go on, and [`dataset_page`] one where masks and captions of a dataset
//! are changed; both are for a server.
//!
//! It does not print, read the clock, or find faces (boxes come from masks or from the caller).
#![deny(missing_docs)]

mod chart;
pub mod dataset_page;
pub mod live;
mod mean_weights;
mod model;
mod number;
mod page;
mod picture;
mod read;
mod recipe;
mod samples;
mod section;
mod view;

pub use mean_weights::{mean_weights, recommendation};
pub use model::{Advice, Crop, Grid, Masked, Picture, Region, Report, Row, Run, Samples, Table};
pub use page::html;
pub use read::ReadError;
