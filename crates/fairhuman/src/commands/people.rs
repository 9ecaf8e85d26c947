//! `fairhuman people`: a drawn dataset.

use std::io::IsTerminal;
use std::process::ExitCode;

use fairhuman_people::{Options, write_dataset};
use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::cli::People;
use crate::units;

/// Draws, and says what there is.
pub fn run(options: &People) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(options.count);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let People { count, size, seed, figures, near, style, .. } = *options;
    let what = Options { count, size, seed, figures, near, style };
    let summary = write_dataset(what, &options.out, &mut |done| bar.set_position(done))?;
    bar.finish_and_clear();
    outln!(
        "{} in {} ({} drawn now): {} with a face, {} with a hand",
        units::count(summary.pictures, "picture"),
        options.out.display(),
        summary.drawn,
        summary.with_face,
        summary.with_hand
    );
    Ok(ExitCode::SUCCESS)
}
