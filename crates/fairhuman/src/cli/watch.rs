//! The words of `fairhuman watch`.

use std::path::PathBuf;

use clap::Args;

/// `fairhuman watch`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman watch runs/people
  fairhuman watch runs/plain runs/mpd --name Plain --name MPD
  ssh -L 7862:127.0.0.1:7862 there    # then open the address here

The page is for this machine and this user alone: it is served at 127.0.0.1, and its address holds a token. It has \
buttons to save, to draw the pictures of [samples] and to stop. Ctrl-C ends the page, and not the runs; started again, \
it goes on in the same browser tab.")]
pub struct Watch {
    /// Run folders; the first has the first colour
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Names for the runs, one for each, in their order [default: the folders' names]
    #[arg(long, value_name = "TEXT")]
    pub name: Vec<String>,
    /// The port; 0 for any [default: the first free one from 7862]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}
