//! The machine's memory, and what a run will need of it: told before anything is read.

use std::fmt::Write;
use std::path::Path;

use anyhow::bail;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_train::memory::{Estimate, Networks, Sizes, Trained, estimate, sampling};
use fairhuman_train::recipe::{Device, GradientUse, Recipe};

use crate::libtorch;
use crate::units::bytes;

/// An estimate that is this many times what the machine has in all is an error.
const FAR_BEYOND: f64 = 2.0;
/// Parts of an estimate that are named.
const NAMED: usize = 3;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Memory that this process may have now.
    pub available: f64,
    /// All that there is for it.
    pub total: f64,
}

impl Memory {
    /// The machine's, or what its control group allows, if that is less; none where the system does not tell.
    pub fn read() -> Option<Memory> {
        let text = fairhuman_files::read_to_string("/proc/meminfo").ok()?;
        let mut memory =
            Memory { available: field(&text, "MemAvailable:")?, total: field(&text, "MemTotal:")? };
        for (limit, used) in [
            ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        ] {
            if let (Some(limit), Some(used)) = (number(limit), number(used)) {
                memory.available = memory.available.min((limit - used).max(0.0));
                memory.total = memory.total.min(limit);
            }
        }
        Some(memory)
    }
}

impl Memory {
    /// That of a device: of the machine, or of a card.
    pub fn of(device: Device) -> Option<Memory> {
        let Device::Cuda(card) = device else { return Self::read() };
        let (available, total) = libtorch::open().ok()?.cuda_memory(card)?;
        Some(Memory { available: available as f64, total: total as f64 })
    }
}

/// MiB of a card that are taken; none of other devices. libtorch keeps what it once took, so that this is its
/// peak.
pub fn taken_mib(device: Device) -> Option<f64> {
    let Device::Cuda(_) = device else { return None };
    let Memory { available, total } = Memory::of(device)?;
    Some((total - available) / f64::from(1 << 20))
}

/// The estimate of a recipe's run on its device, part by part, and what there is.
///
/// # Errors
/// A model folder whose configurations cannot be read.
pub fn table(recipe: &Recipe, memory: Option<Memory>) -> anyhow::Result<String> {
    let networks = Networks::open(&ModelFolder::open(recipe.model.folder())?)?;
    let needed = estimate(&networks, &Sizes::of(recipe));
    let mut text = format!("memory on {}, {} (an estimate):\n", recipe.device, recipe.precision().name());
    for (name, size) in needed.parts().into_iter().filter(|(_, size)| *size > 0.0) {
        writeln!(text, "  {name:18}{:>10}", bytes(size))?;
    }
    writeln!(text, "  {:18}{:>10}  (not all of it at once)", "peak", bytes(needed.peak()))?;
    match memory {
        Some(memory) => write!(text, "{} of {} are available", bytes(memory.available), bytes(memory.total))?,
        None => write!(text, "how much {} has is not known here", recipe.device)?,
    }
    Ok(text)
}

/// A field of /proc/meminfo in bytes.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// The number in a file; none for `max`.
fn number(path: &str) -> Option<f64> {
    fairhuman_files::read_to_string(Path::new(path)).ok()?.trim().parse().ok()
}

/// Settles which gradients are kept where the recipe leaves it open: all, or only their products where the
/// machine has not the memory for all.
pub fn settle_gradients(recipe: &mut Recipe, memory: Option<Memory>) {
    if recipe.gradients != GradientUse::Auto {
        return;
    }
    recipe.gradients = GradientUse::Kept;
    let networks = ModelFolder::open(recipe.model.folder()).and_then(|folder| Networks::open(&folder));
    let (Some(memory), Ok(networks)) = (memory, networks) else { return };
    let kept = estimate(&networks, &Sizes::of(recipe)).peak();
    // Of all the memory, not of what is free at this moment: the next start takes the same way.
    if kept <= memory.total || !recipe.can_go_twice() {
        return;
    }
    recipe.gradients = GradientUse::Twice;
    let twice = estimate(&networks, &Sizes::of(recipe)).peak();
    errln!(
        "gradients = \"twice\": kept, they would need about {} of {}; this way about {}, and half as much time again",
        bytes(kept),
        bytes(memory.total),
        bytes(twice)
    );
}

/// True if a recipe's run is known to need more than is available.
pub fn is_short(recipe: &Recipe, memory: Option<Memory>) -> bool {
    let networks = ModelFolder::open(recipe.model.folder()).and_then(|folder| Networks::open(&folder));
    let (Some(memory), Ok(networks)) = (memory, networks) else { return false };
    estimate(&networks, &Sizes::of(recipe)).peak() > memory.available
}

/// Compares what a recipe's run will need with what there is: a warning where it is more than is available.
///
/// # Errors
/// Far more than the machine has.
pub fn check(recipe: &Recipe, memory: Option<Memory>) -> anyhow::Result<()> {
    let networks = ModelFolder::open(recipe.model.folder()).and_then(|folder| Networks::open(&folder));
    // What is wrong with a model is told by its own reader.
    let (Some(memory), Ok(networks)) = (memory, networks) else { return Ok(()) };
    let sizes = Sizes::of(recipe);
    let needed = estimate(&networks, &sizes);
    let peak = needed.peak();
    let told = || {
        format!(
            "this run will need about {} of memory ({}), and {} of {} are available; {}",
            bytes(peak),
            named(&needed),
            bytes(memory.available),
            bytes(memory.total),
            advice(&needed, &sizes)
        )
    };
    if peak > FAR_BEYOND * memory.total {
        bail!("{}", told());
    }
    if peak > memory.available {
        errln!("warning: {}", told());
    }
    Ok(())
}

/// The same for pictures of a size (width, height) that are sampled, `batch` at a time.
///
/// # Errors
/// Far more than the machine has.
pub fn check_sampling(
    folder: &ModelFolder,
    (width, height): (usize, usize),
    batch: usize,
    memory: Option<Memory>,
) -> anyhow::Result<()> {
    let (Some(memory), Ok(networks)) = (memory, Networks::open(folder)) else { return Ok(()) };
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    let peak = sampling(&networks, size, batch);
    let told = || {
        format!(
            "{batch} at a time, pictures of {width} x {height} will need about {} of memory, and {} of {} are \
             available; less is needed with smaller --width and --height{}",
            bytes(peak),
            bytes(memory.available),
            bytes(memory.total),
            if batch > 1 { ", or a smaller --batch" } else { "" }
        )
    };
    if peak > FAR_BEYOND * memory.total {
        bail!("{}", told());
    }
    if peak > memory.available {
        errln!("warning: {}", told());
    }
    Ok(())
}

fn named(needed: &Estimate) -> String {
    let parts = needed.parts().into_iter().take(NAMED).filter(|(_, size)| *size > 0.0);
    parts.map(|(name, size)| format!("{name} {}", bytes(size))).collect::<Vec<_>>().join(", ")
}

/// Changes that need less, those that help most first.
fn advice(needed: &Estimate, sizes: &Sizes) -> String {
    let mut advice = Vec::new();
    let of_training = needed.values + needed.gradients + needed.moments;
    if needed.activations > of_training {
        if !sizes.checkpointing {
            advice.push("activation_checkpointing = true".to_owned());
        }
        if sizes.batch > 1 {
            advice.push(format!(
                "a smaller batch than {}, with more accumulation for the same mathematics",
                sizes.batch
            ));
        }
    }
    if needed.data > needed.activations {
        advice.push(format!("less accumulation than {}", sizes.accumulation));
    }
    match &sizes.trained {
        Trained::Adapter(rank, _) if *rank > 1 => advice.push(format!("a smaller rank than {rank}")),
        Trained::UNet { .. } => advice.push("method = \"lora\"".to_owned()),
        _ => {}
    }
    let (width, height) = sizes.size;
    advice.push(format!("smaller pictures than {width} x {height}"));
    format!("less is needed with {}", advice.join(", or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe for the built-in model's ControlNet, with the lines `more`.
    fn controlnet(more: &str) -> Recipe {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin/model");
        let text = format!(
            "method = \"controlnet\"\nsteps = 1\n{more}\nmodel.path = {model:?}\n\
             dataset = {{ path = \"people\", conditioning = \"conditioning_image\" }}\n\
             geometry = {{ width = 96, height = 96 }}\nobjective = [{{ name = \"global\" }}, \
             {{ name = \"face\", mask = \"mask_face\" }}, {{ name = \"hand\", mask = \"mask_hand\" }}]\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).unwrap();
        Recipe::read(&path).unwrap()
    }

    #[test]
    fn gradients_are_made_twice_where_they_do_not_fit_and_can_be() {
        let settled = |more: &str, total: f64| {
            let mut recipe = controlnet(more);
            settle_gradients(&mut recipe, Some(Memory { available: total, total }));
            recipe.gradients
        };
        let kept = {
            let recipe = controlnet("gradients = \"kept\"");
            let networks = Networks::open(&ModelFolder::open(recipe.model.folder()).unwrap()).unwrap();
            estimate(&networks, &Sizes::of(&recipe)).peak()
        };
        assert_eq!(settled("", 1.01 * kept), GradientUse::Kept);
        assert_eq!(settled("", 0.99 * kept), GradientUse::Twice);
        assert_eq!(settled("gradients = \"kept\"", 0.99 * kept), GradientUse::Kept);
        assert_eq!(settled("accumulation = 2", 0.5 * kept), GradientUse::Kept, "it cannot be made twice");
    }

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "MemTotal:       24555288 kB\nMemFree: 1 kB\nMemAvailable:   22555288 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(22_555_288.0 * 1024.0));
        assert_eq!(field(text, "MemNone:"), None);
    }
}
