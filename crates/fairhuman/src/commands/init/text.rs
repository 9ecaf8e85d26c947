//! The recipe as text.

use std::fmt::Write;

use fairhuman_dataset::Region;
use fairhuman_train::recipe::{Device, Prediction};

use crate::cli::Aim;

/// All that decides a recipe.
#[derive(Debug, Clone)]
pub struct Choices {
    pub aim: Aim,
    pub dataset: String,
    pub model: String,
    pub base: Option<String>,
    pub prediction: Option<Prediction>,
    pub device: Device,
    pub regions: Vec<Region>,
    pub pictures: usize,
    pub prompts: Vec<String>,
    /// Width and height of the model's own pictures.
    pub size: (usize, usize),
    pub fit: Fit,
}

/// Settings that decide the memory of a run.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    pub batch: usize,
    pub rank: usize,
    pub checkpointing: bool,
}

/// Pictures, with repetitions, that a run sees for each picture of the dataset; and the least and the most of
/// all together.
const VIEWS: (usize, usize, usize) = (100, 1500, 12_000);
/// Smaller datasets are trained on whole: a share of them would be too few to tell anything.
pub const HELD_OUT_FROM: usize = 20;
/// Why that is worth knowing.
const UNTOLD: &str = "nothing is held out, so nothing will tell what was learnt from what was memorised";

/// A run without held-out pictures, and when and how to have some.
pub fn nothing_held_out() -> String {
    format!("{UNTOLD}: with {HELD_OUT_FROM} pictures or more, write share = 0.1 in [validation]")
}

impl Choices {
    /// The recipe.
    pub fn write(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text).expect("a string takes all that is written");
        text
    }

    /// The objectives, by name.
    pub fn objectives(&self) -> String {
        let names = self.regions.iter().map(|region| region.name.as_str());
        ["global"].into_iter().chain(names).collect::<Vec<_>>().join(", ")
    }

    fn steps(&self) -> usize {
        let (each, least, most) = VIEWS;
        let views = (each * self.pictures).clamp(least, most);
        if self.aim == Aim::Paper { 20_000 } else { (views / self.fit.batch).div_ceil(50) * 50 }
    }

    fn write_to(&self, text: &mut String) -> std::fmt::Result {
        let steps = self.steps();
        let Fit { batch, rank, checkpointing } = self.fit;
        let (width, height) = self.size;
        writeln!(text, "# Every key, with its default: recipes/reference.toml of fairhuman's sources.\n")?;
        let about_steps = match self.aim {
            Aim::Paper => "may be raised later: the same command then goes on",
            _ => "final: the rate falls to 0 at the last step (decay = \"constant\": may be raised later)",
        };
        writeln!(text, "steps = {steps:<25} # {about_steps}")?;
        writeln!(text, "batch = {batch:<25} # pictures of one step")?;
        if checkpointing {
            writeln!(text, "activation_checkpointing = true   # a quarter more time for less memory")?;
        }
        if self.device != Device::Cpu {
            writeln!(text, "device = {}", quoted(&self.device.to_string()))?;
        }
        writeln!(text, "\n[model]\npath = {}", quoted(&self.model))?;
        if let Some(base) = &self.base {
            writeln!(text, "base = {}", quoted(base))?;
        }
        match self.prediction {
            Some(Prediction::Epsilon) => writeln!(text, "prediction = \"epsilon\"")?,
            Some(Prediction::V) => writeln!(text, "prediction = \"v\"")?,
            None => {}
        }
        writeln!(text, "\n[dataset]\npath = {}", quoted(&self.dataset))?;
        writeln!(
            text,
            "captions.dropout = 0.05           # a share of steps without caption, so that guidance keeps working"
        )?;
        writeln!(text, "\n[geometry]                        # the model's own size")?;
        writeln!(text, "width = {width}\nheight = {height}")?;
        writeln!(text, "\n# The whole picture, and every region that the dataset has masks of.")?;
        writeln!(text, "[[objective]]\nname = \"global\"")?;
        for region in &self.regions {
            writeln!(
                text,
                "\n[[objective]]\nname = {}\nmask = {}",
                quoted(&region.name),
                quoted(&region.mask)
            )?;
        }
        self.write_weighting(text)?;
        writeln!(text, "\n[lora]\nrank = {rank:<26} # larger learns more, in more memory and a larger file")?;
        let (rate, why) = match self.aim {
            Aim::Paper => ("1e-5", "the paper's"),
            _ => ("1e-4", "twice as much if nothing changes, half if pictures fall apart"),
        };
        writeln!(text, "\n[optimizer]\nlearning_rate = {rate:<17} # {why}")?;
        if self.aim != Aim::Paper {
            writeln!(
                text,
                "\n[schedule]\nwarmup = {:<24} # steps\ndecay = \"cosine\"",
                (steps / 20).min(100)
            )?;
        }
        if self.pictures >= HELD_OUT_FROM {
            let share = (8.0 / self.pictures as f64).clamp(0.02, 0.1);
            writeln!(
                text,
                "\n[validation]                      # losses of pictures that are not trained on"
            )?;
            writeln!(text, "share = {share:.2}\nevery = {}", (steps / 10).max(1))?;
        } else {
            writeln!(text, "\n# Of fewer than {HELD_OUT_FROM} pictures {UNTOLD}.")?;
            writeln!(text, "# [validation]\n# share = 0.1")?;
        }
        if !self.prompts.is_empty() {
            let prompts: Vec<String> = self.prompts.iter().map(|prompt| quoted(prompt)).collect();
            writeln!(
                text,
                "\n[samples]                         # pictures to look at while it trains: `fairhuman report`"
            )?;
            writeln!(
                text,
                "prompts = [\n    {},\n]\nevery = {}",
                prompts.join(",\n    "),
                (steps / 4).max(1)
            )?;
        }
        Ok(())
    }

    fn write_weighting(&self, text: &mut String) -> std::fmt::Result {
        let hands: Vec<&str> = self
            .regions
            .iter()
            .map(|region| region.name.as_str())
            .filter(|name| name.contains("hand"))
            .collect();
        let (names, why) = match self.aim {
            Aim::Hands if !hands.is_empty() => (hands, "hands"),
            Aim::Style if !self.regions.is_empty() => (vec!["global"], "the whole picture"),
            _ => return Ok(()),
        };
        let priorities: Vec<String> = names.iter().map(|name| format!("{} = 2", quoted(name))).collect();
        writeln!(text, "\n[weighting]                       # {why} before the rest")?;
        writeln!(text, "kind = \"alpha-fair\"\npriority = {{ {} }}", priorities.join(", "))
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
