//! `xtask small-model`: a small model in SDXL's layout that has learnt to draw people, from nothing: draws
//! the people, makes a random model, trains its autoencoder, in four parts, its U-Net and text encoders, in
//! four, then both once more on people drawn larger, and last a ControlNet that follows their poses.

use std::process::Command;

use anyhow::ensure;

use crate::{SmallModel, ours};

/// Every step is a command of the program; a step that is done, or was interrupted, goes on where it was.
const STEPS: [&str; 18] = [
    "people --count 12000 --size 96 --seed 1 --figures 1 --out data/small-model",
    "people --count 12000 --size 96 --seed 1 --figures 1 --near 80 --out data/small-model-near",
    "init-model --preset small --dtype f16 --out models/small-random",
    "train recipes/small-model/vae.toml --out runs/small-vae",
    "train recipes/small-model/vae-fine.toml --out runs/small-vae-fine",
    "train recipes/small-model/vae-colours.toml --out runs/small-vae-colours",
    "train recipes/small-model/vae-faces.toml --out runs/small-vae-faces",
    "train recipes/small-model/unet.toml --out runs/small-unet",
    "train recipes/small-model/unet-near.toml --out runs/small-unet-near",
    "train recipes/small-model/unet-snr.toml --out runs/small-unet-snr",
    "train recipes/small-model/unet-last.toml --out runs/small-unet-last",
    "people --count 4000 --size 96 --seed 2 --figures 1 --near 90 --out data/small-model-hands",
    "people --count 16000 --size 96 --seed 1 --figures 1 --near 90 --out data/small-model-bold",
    "train recipes/small-model/vae-hands.toml --out runs/small-vae-hands",
    "train recipes/small-model/unet-bold.toml --out runs/small-unet-bold",
    "train recipes/small-model/unet-settled.toml --out runs/small-unet-settled",
    "control data/small-model-bold",
    "train recipes/small-model/pose.toml --out runs/small-pose",
];

/// Runs what is not done yet.
pub(crate) fn run(options: &SmallModel) -> anyhow::Result<()> {
    let root = xtask::root()?;
    let binary = ours::binary(options.binary.as_deref(), &root)?;
    for step in STEPS {
        let words: Vec<_> = step.split(' ').collect();
        if words[0] == "init-model" && root.join("models/small-random/model_index.json").exists() {
            continue;
        }
        eprintln!("fairhuman {step}");
        let status = Command::new(&binary).args(&words).current_dir(&root).status()?;
        ensure!(status.success(), "fairhuman {} failed ({status})", words[0]);
    }
    println!("the model is in {}", root.join("runs/small-unet-settled/model").display());
    println!("its ControlNet is in {}", root.join("runs/small-pose/controlnet").display());
    Ok(())
}
