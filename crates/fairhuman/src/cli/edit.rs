//! The words of `fairhuman edit`.

use std::path::PathBuf;

use clap::Args;
use fairhuman_dataset::Region;

/// `fairhuman edit`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman edit data/people
  fairhuman edit people.toml
  fairhuman edit data/people --region face=mask_face --region hand=mask_hand

The page shows the dataset's pictures with their masks. There a mask is painted with a brush, an eraser and \
rectangles, and a caption is written anew; what is saved is in the dataset's files at once. Files as they were before \
their first change are kept in the dataset's folder .before. `annotate` leaves masks and captions that were changed as \
they are. The page is for this machine and this user alone: it is served at 127.0.0.1, and its address holds a token. \
While a run of this recipe, or one in ./runs, trains on the dataset, saving asks first.")]
pub struct Edit {
    /// A dataset's folder or list, or a recipe, whose dataset and regions are then edited
    #[arg(value_name = "DATASET|RECIPE")]
    pub path: PathBuf,
    /// A region and its masks, as in recipes [default: found in the dataset]
    #[arg(long = "region", value_name = "NAME=MASK", value_parser = super::data::region)]
    pub regions: Vec<Region>,
    /// The port; 0 for any [default: the first free one from 7862]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}
