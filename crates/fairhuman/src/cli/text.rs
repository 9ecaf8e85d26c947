//! The words of the commands that print texts about this program.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `fairhuman completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman completions bash \\
      > ~/.local/share/bash-completion/completions/fairhuman
  fairhuman completions zsh > ~/.zfunc/_fairhuman    # a folder in $fpath
  fairhuman completions fish \\
      > ~/.config/fish/completions/fairhuman.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `fairhuman man`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman man --out ~/.local/share/man/man1; man fairhuman-train")]
pub struct Man {
    /// The folder of the pages, one for each command
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
