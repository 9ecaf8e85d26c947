//! `fairhuman sample`: pictures of prompts, as PNG files that say how they were made, and a grid of all.

mod about;
pub mod control;
pub mod file;
mod grid;
pub mod init;
pub mod inpaint;
pub mod made_with;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use fairhuman_diffusion::generate::{self, Picture, Rgb, Settings};
use fairhuman_diffusion::pipeline::{ModelFolder, Parts, Pipeline};
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_engine::Backend;
use fairhuman_files::{Kind, MARK, ensure_apart, ensure_ours};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::{MOST_MADE, Network, Sample};
use crate::commands::prompt_notes;
use crate::commands::there::ensure_there;
use crate::device::{self, Resources, Work};
use crate::memory::{self, Memory};
use crate::{clock, model_path, units};
use about::About;
use grid::Grid;
use inpaint::Canvas;
use made_with::Hashes;

/// Seconds between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// The file of all pictures side by side, in their folder.
pub const GRID: &str = "grid.png";

/// Bytes for transformed filters: a picture passes through the same weights sixty times.
const FILTER_CACHE: usize = 1 << 30;

/// Makes the pictures, and says where they are.
pub fn run(options: &Sample) -> anyhow::Result<ExitCode> {
    let prompts = prompts(options)?;
    let loras = loras(&options.loras.lora, &options.loras.lora_weight)?;
    let pictures = pictures(options, &prompts)?;
    let controls = control::wanted(options, prompts.len())?;
    let inits = inits(options, prompts.len())?;
    let out = options.out.clone().unwrap_or_else(free_folder);
    let mut written: Vec<PathBuf> = pictures.iter().map(|p| out.join(file_name(p))).collect();
    written.push(out.join(GRID));
    let mut read: Vec<(&str, &Path)> = loras.iter().map(|(file, _)| ("the LoRA file", &*file.path)).collect();
    read.extend(options.model.read());
    read.extend(options.init.iter().map(|path| ("the picture of --init", path.as_path())));
    read.extend(inits.iter().map(|file| ("the picture of --init", file.as_path())));
    read.extend(options.mask.iter().map(|file| ("the mask", file.as_path())));
    read.extend(options.prompts.iter().map(|file| ("the file of prompts", file.as_path())));
    read.extend(controls.iter().map(|control| ("the control network", control.path.as_path())));
    let images = controls.iter().flat_map(|control| &control.images);
    read.extend(images.flatten().map(|file| ("the control image", file.as_path())));
    read.extend(options.control_image.iter().map(|path| ("the control image", path.as_path())));
    ensure_there(&read)?;
    ensure_apart(&written, &read)?;
    written.iter().try_for_each(|file| ensure_ours(file, Kind::Picture))?;
    let resources = Resources { weight_cache: FILTER_CACHE, ..options.compute.into() };
    let sampling = Sampling {
        options,
        out: &out,
        written: &written,
        prompts: &prompts,
        loras: &loras,
        pictures: &pictures,
        controls: &controls,
        inits: &inits,
    };
    device::run(options.compute.device, resources, sampling)?;
    Ok(ExitCode::SUCCESS)
}

/// The beginning of a picture.
enum Start {
    /// Nothing but noise.
    Noise,
    /// Clean latents of another picture for each prompt.
    Pictures(Vec<Vec<f32>>),
    /// Another picture, of which a part is painted.
    Part(inpaint::Latents),
}

/// The folder of pictures for which the command line names none: a new one.
fn free_folder() -> PathBuf {
    let numbered = (2_u64..).map(|number| PathBuf::from(format!("pictures-{number}")));
    let is_free = |folder: &PathBuf| folder.symlink_metadata().is_err();
    // There are more numbers than folders.
    [PathBuf::from("pictures")].into_iter().chain(numbered).find(is_free).unwrap_or_default()
}

/// A picture's file in the folder.
fn file_name(picture: &Picture) -> String {
    format!("{:04}.png", picture.index)
}

struct Sampling<'a> {
    options: &'a Sample,
    out: &'a Path,
    /// All files that are written.
    written: &'a [PathBuf],
    prompts: &'a [String],
    loras: &'a [(Network, f32)],
    pictures: &'a [Picture],
    controls: &'a [control::Wanted],
    /// The picture that those of each prompt begin with; none of all without `--init`.
    inits: &'a [PathBuf],
}

impl Work for Sampling<'_> {
    type Output = ();

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<()> {
        make(backend, self)
    }
}

fn make(backend: &impl Backend, sampling: Sampling<'_>) -> anyhow::Result<()> {
    let Sampling { options, out, written, prompts, loras, pictures, controls, inits } = sampling;
    let model = model_path::chosen(&options.model)?;
    let folder = ModelFolder::open(&model)?;
    let reduction = VaeConfig::open(&folder.vae().join("config.json"))?.reduction();
    let (width, height) = generate::nominal_size(&folder, reduction)?;
    let (width, height) = (options.width.unwrap_or(width), options.height.unwrap_or(height));
    let canvas = match (inits, &options.mask) {
        ([init, ..], Some(mask)) => {
            let asked = options.width.is_some() || options.height.is_some();
            Some(Canvas::read(init, mask, asked.then_some((width, height)), reduction)?)
        }
        _ => None,
    };
    let (width, height) = canvas.as_ref().map_or((width, height), |canvas| canvas.size);
    let shown = canvas.as_ref().map_or((width, height), Canvas::shown);
    control::check(controls, &folder, reduction, (width, height))?;
    let mut pipeline = Pipeline::open(backend, &model)?;
    let params = generate::attach_loras(backend, &mut pipeline, &lora_files(loras))
        .map_err(|error| model_path::lora_error(&options.model, error))?;
    let settings = Settings {
        sampler: options.sampler,
        steps: options.steps,
        guidance: options.guidance,
        guidance_rescale: options.guidance_rescale,
        width,
        height,
        seed: options.seed,
    };
    let parts = pipeline.parts();
    generate::validate(parts.folder, parts.schedule, parts.vae, &settings)?;
    note_prompts(&pipeline, prompts, options.negative.as_deref());
    let batch = match options.batch {
        Some(batch) => usize::try_from(batch)?,
        None => generate::default_batch(backend, &pipeline.parts(), &settings)?,
    };
    let together = batch.min(pictures.len());
    memory::check_sampling(
        pipeline.parts().folder,
        (settings.width, settings.height),
        together,
        Memory::read(),
    )?;
    let mut grid = Grid::new(pictures.len(), shown.0, shown.1);
    let start = match (&canvas, inits) {
        (Some(canvas), _) => Start::Part(canvas.latents(backend, &pipeline, options.strength)?),
        (None, []) => Start::Noise,
        (None, files) => Start::Pictures(init::latents_of_all(backend, &pipeline, files, &settings)?),
    };
    let each = usize::try_from(options.count)?;
    let loaded = control::Loaded::new(backend, &pipeline, controls, (&settings, shown), (pictures, each))?;
    let hashes = Hashes::new(loras, controls)?;
    // Now that all has been read: what fails replaces nothing, and leaves no empty folder.
    note_replaced(written, out);
    fairhuman_files::make_folder(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let guides = loaded.guides(controls);
    let (parts, clock) = (Parts { guides: &guides, ..pipeline.parts() }, clock::start());
    let steps = match &start {
        Start::Noise => options.steps,
        _ => (options.strength * options.steps as f64) as usize,
    };
    if !matches!(start, Start::Noise) {
        init::no_step(options.strength, options.steps).iter().for_each(|note| errln!("note: {note}"));
    }
    let evaluations = settings.sampler.evaluations(steps);
    for (control, guide) in controls.iter().zip(&guides).filter(|(control, _)| control.weight != 0.0) {
        if evaluations > 0 && !(0..evaluations).any(|i| guide.runs((i, evaluations))) {
            let (named, (start, end)) = (control.named.display(), control.span);
            let of = units::count(evaluations as u64, "evaluation");
            errln!(
                "note: {named} has no part in the pictures: none of {of} of the model lies between \
                 --control-start {start} and --control-end {end}"
            );
        }
    }
    let mut screen = Screen::new(pictures.len(), evaluations);
    let prompt_of = |picture: &Picture| (picture.index - options.index) as usize / each;
    let mut first = 0;
    for batch in pictures.chunks(batch) {
        let last = first + batch.len();
        let mut progress = |p: generate::Progress| screen.show(first, last, p.done);
        let show = &mut progress;
        let made = match &start {
            Start::Noise => generate::generate(backend, &parts, &params, &settings, batch, show)?,
            Start::Pictures(latents) => {
                let clean: Vec<f32> =
                    batch.iter().flat_map(|picture| &latents[prompt_of(picture)]).copied().collect();
                let begin = (clean.as_slice(), options.strength);
                generate::image_to_image(backend, &parts, &params, &settings, batch, begin, show)?
            }
            Start::Part(latents) => {
                let latents = latents.repeated(batch.len());
                generate::inpaint(backend, &parts, &params, &settings, batch, &latents.inpainting(), show)?
            }
        };
        let made: Vec<Rgb> = match &canvas {
            Some(canvas) => made.iter().map(|made| canvas.paste(made)).collect(),
            None => made,
        };
        for (picture, rgb) in batch.iter().zip(&made) {
            let prompt = prompt_of(picture);
            let init = inits.get(prompt).map(|file| (file.as_path(), options.strength));
            let about = About {
                settings: &settings,
                picture,
                model: &options.model,
                loras,
                hashes: &hashes,
                controls: (controls, prompt),
                init,
                mask: options.mask.as_deref(),
                shown,
            };
            write(&out.join(file_name(picture)), rgb, &about.chunks())?;
            grid.add(rgb)?;
        }
        first = last;
    }
    let time = clock();
    screen.bar.finish_and_clear();
    let sheet = out.join(GRID);
    let about = json!({"version": env!("CARGO_PKG_VERSION"), "prompts": prompts}).to_string();
    write(&sheet, &grid.draw(prompts, each), &[(MARK, about)])?;
    let count = units::count(pictures.len() as u64, "picture");
    let each = units::short(time / pictures.len() as f64);
    outln!("{count} in {} ({}, {each} s each)", out.display(), units::duration(time));
    outln!("  {}", sheet.display());
    Ok(())
}

/// The prompts of the command line, then those of the file.
fn prompts(options: &Sample) -> anyhow::Result<Vec<String>> {
    let mut prompts = options.prompt.clone();
    if let Some(path) = &options.prompts {
        prompts.extend(fairhuman_evaluate::prompt_lines(path)?);
    }
    Ok(prompts)
}

/// The picture of `--init` for each prompt.
fn inits(options: &Sample, prompts: usize) -> anyhow::Result<Vec<PathBuf>> {
    let Some(path) = &options.init else { return Ok(Vec::new()) };
    ensure!(
        options.mask.is_none() || !path.is_dir(),
        "{} is a folder: with --mask, --init is one picture",
        path.display()
    );
    init::one_for_each(path, prompts)
}

/// LoRA files with their weights.
pub(super) fn loras(files: &[Network], weights: &[f32]) -> anyhow::Result<Vec<(Network, f32)>> {
    if !weights.is_empty() && weights.len() != files.len() {
        bail!(
            "{} --lora and {} --lora-weight: give a weight for each file, or none at all",
            files.len(),
            weights.len()
        );
    }
    let weight = |i: usize| weights.get(i).copied().unwrap_or(1.0);
    Ok(files.iter().enumerate().map(|(i, file)| (file.clone(), weight(i))).collect())
}

/// The same by where they are.
pub(super) fn lora_files(loras: &[(Network, f32)]) -> Vec<(PathBuf, f32)> {
    loras.iter().map(|(file, weight)| (file.path.clone(), *weight)).collect()
}

fn pictures(options: &Sample, prompts: &[String]) -> anyhow::Result<Vec<Picture>> {
    let total = options.count.saturating_mul(prompts.len() as u64);
    if total > MOST_MADE {
        bail!(
            "--count {} of {} prompts: expected at most {MOST_MADE} pictures",
            options.count,
            prompts.len()
        );
    }
    let Some(end) = options.index.checked_add(total) else {
        bail!("--index {} and --count {}: too large", options.index, options.count);
    };
    let picture = |index| {
        let prompt = prompts[((index - options.index) / options.count) as usize].clone();
        Picture { prompt, negative: options.negative.clone(), index }
    };
    Ok((options.index..end).map(picture).collect())
}

/// Says how many files of an earlier command are replaced.
fn note_replaced(written: &[PathBuf], out: &Path) {
    let replaced = written.iter().filter(|file| file.symlink_metadata().is_ok()).count();
    if replaced > 0 {
        let files = units::count(replaced as u64, "file");
        errln!("note: {files} of an earlier command in {} will be replaced", out.display());
    }
}

/// Says which prompts are not read as they are meant.
fn note_prompts<B: Backend>(pipeline: &Pipeline<B>, prompts: &[String], negative: Option<&str>) {
    let prompts = prompts.iter().map(String::as_str).chain(negative);
    let truncated = prompts.clone().filter_map(|prompt| prompt_notes::truncated(pipeline, prompt));
    for note in prompt_notes::foreign(prompts).into_iter().chain(truncated) {
        errln!("note: {note}");
    }
}

fn write(path: &Path, rgb: &Rgb, chunks: &[(&str, String)]) -> anyhow::Result<()> {
    let bytes = file::encode(rgb, chunks).with_context(|| format!("cannot encode {}", path.display()))?;
    write_atomically(path, &bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A bar on a terminal, a line now and then elsewhere.
struct Screen {
    bar: ProgressBar,
    terminal: bool,
    pictures: usize,
    evaluations: usize,
    spoke: Instant,
}

impl Screen {
    fn new(pictures: usize, evaluations: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new((pictures * evaluations) as u64);
        if !terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The template is constant and valid; the default style is as good a reaction as any.
        let style = ProgressStyle::with_template("{bar:24} {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, terminal, pictures, evaluations, spoke: Instant::now() }
    }

    /// Pictures `first..last` have `done` evaluations behind them.
    fn show(&mut self, first: usize, last: usize, done: usize) {
        let which = if last - first == 1 { format!("{last}") } else { format!("{} to {last}", first + 1) };
        let line = format!("picture {which} of {}, step {done}/{}", self.pictures, self.evaluations);
        self.bar.set_position((first * self.evaluations + (last - first) * done) as u64);
        if !self.terminal && self.spoke.elapsed() >= PAUSE {
            self.spoke = Instant::now();
            errln!("{line}");
        }
        self.bar.set_message(line);
    }
}
