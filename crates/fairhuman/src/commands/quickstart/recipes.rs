//! The recipes of the fine-tunings, as files that a person can run again, or copy and change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_train::recipe::Recipe;

use crate::model_path::{self, BUILTIN};

/// A way to weight the same three objectives.
pub struct Way {
    /// Of its run folder and recipe.
    pub folder: &'static str,
    /// In tables and legends.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    weighting: &'static str,
}

/// The ways; others are compared with the first.
pub const WAYS: [Way; 3] = [
    Way {
        folder: "plain",
        name: "plain",
        about: "the plain loss, a mean over the whole picture",
        weighting: "{ kind = \"fixed\", weights = [1, 0, 0] }",
    },
    Way {
        folder: "sum",
        name: "sum",
        about: "the sum of the losses of picture, faces and hands",
        weighting: "{ kind = \"linear\" }",
    },
    Way {
        folder: "mpd",
        name: "MPD",
        about: "Minimum Potential Delay over picture, faces and hands",
        weighting: "{ kind = \"alpha-fair\", alpha = 2.0 }",
    },
];

/// Writes them. Those of another quickstart, and changed ones, stay as they are, and nothing is written.
pub fn write(out: &Path, steps: u64) -> anyhow::Result<Vec<Recipe>> {
    let mut texts = Vec::new();
    for way in &WAYS {
        let path = out.join(way.folder).with_extension("toml");
        let text = text(way, steps);
        match fairhuman_files::read_to_string(&path) {
            Ok(there) if there != text => match Recipe::parse(&path, &there) {
                Ok(theirs) if theirs.steps != steps => bail!(
                    "{} holds a quickstart with --steps {}; say the same, or another --out",
                    out.display(),
                    theirs.steps
                ),
                _ => bail!(
                    "{} is not as this quickstart writes it: changed, or by another version; say another --out",
                    path.display()
                ),
            },
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        texts.push((path, text));
    }
    fairhuman_files::make_folder(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let write = |(path, text): (PathBuf, String)| {
        write_atomically(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut recipe = Recipe::parse(&path, &text)?;
        model_path::settle(&mut recipe, &path)?;
        Ok(recipe)
    };
    texts.into_iter().map(write).collect()
}

/// The text of a recipe: all but `out` and `weighting` is the same in all of them.
fn text(way: &Way, steps: u64) -> String {
    format!(
        r#"# Written by `fairhuman quickstart`: the recipes differ in `weighting` alone.
steps = {steps}
batch = 4
out = "{folder}"
cache = "cache"
weighting = {weighting}

[model]
path = "{BUILTIN}"

[dataset]
path = "people"

[geometry]
width = {size}
height = {size}

[[objective]]
name = "global"

[[objective]]
name = "face"
mask = "mask_face"

[[objective]]
name = "hand"
mask = "mask_hand"

[lora]
rank = 16
targets = ["attention", "feed_forward", "conv"]

[optimizer]
learning_rate = 5e-4

[schedule]
decay = "cosine"
warmup = {warmup}

[validation]
share = 0.2
every = {every}
draws = 4
pictures = true
"#,
        folder = way.folder,
        weighting = way.weighting,
        size = fairhuman_builtin::SIZE,
        warmup = (steps / 16).min(10),
        every = steps.div_ceil(2).max(1),
    )
}
