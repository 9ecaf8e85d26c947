//! `fairhuman refine`: faces and hands of pictures that exist, painted again, and the better kept.

mod listed;
mod options;
mod plan;
mod prompts;
mod record;
mod regions;
mod sheet;
mod told;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use fairhuman_diffusion::control::Control;
use fairhuman_diffusion::generate::{self, Rgb};
use fairhuman_diffusion::pipeline::{ModelFolder, Pipeline};
use fairhuman_engine::Backend;
use fairhuman_files::{FolderLock, Kind, ensure_apart, ensure_ours, sha256_hex, sha256_of, write_atomically};
use fairhuman_pictures::png_texts;
use fairhuman_refine::ModelSize;
use fairhuman_vision::detect::Detections;
use fairhuman_vision::pipeline::Pipeline as Detectors;
use fairhuman_vision::{files, photo};
use image::RgbImage;
use serde_json::Value;

use super::finders::Finders;
use super::prompt_notes;
use super::sample::control::{self, Wanted};
use super::sample::init::no_step;
use super::sample::{file, lora_files, loras};
use super::there::ensure_there;
use crate::cli::{Network, Refine};
use crate::device::{self, Resources, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::memory::{self, Memory};
use crate::meter::Meter;
use crate::{clock, model_path, units};
use options::{Job, filter, jobs, model_size, reduction, settings};
use plan::Plan;
use prompts::Lists;
use record::Record;
use regions::{Found, Source, last, look};
use told::{described, summary};
use work::{Refined, Refiner};

/// Bytes for transformed filters, as in `sample`.
const FILTER_CACHE: usize = 1 << 30;

/// Says which pictures of a list of regions are not among those that are refined.
fn note_unknown(source: &Source, jobs: &[Job]) {
    let unknown = source.unknown(|name| jobs.iter().any(|job| job.name == name || last(&job.name) == name));
    if let Some(first) = unknown.first() {
        let count = units::count(unknown.len() as u64, "picture");
        errln!("note: the regions name {count} not to be found here, such as {first}");
    }
}

/// Refines the pictures, and says where they are.
pub fn run(options: &Refine) -> anyhow::Result<ExitCode> {
    let jobs = jobs(options)?;
    let loras = loras(&options.loras.lora, &options.loras.lora_weight)?;
    let controls = control::networks(&options.networks)?;
    for Wanted { path, types, .. } in &controls {
        let expected = "a region has one control image, a pose: expected --control-type openpose";
        ensure!(types.len() <= 1, "{}: {} types; {expected}", path.display(), types.len());
    }
    let mut read: Vec<(&str, &Path)> = vec![("the pictures", &options.pictures)];
    read.extend(loras.iter().map(|(file, _)| ("the LoRA file", &*file.path)));
    read.extend(options.model.read());
    read.extend(controls.iter().map(|control| ("the control network", control.path.as_path())));
    read.extend(options.regions.iter().map(|path| ("the regions", path.as_path())));
    read.extend(options.masks.iter().map(|path| ("the masks", path.as_path())));
    ensure_there(&read)?;
    ensure_apart(std::slice::from_ref(&options.out), &read)?;
    for job in &jobs {
        ensure_ours(&options.out.join(&job.file), Kind::Picture)?;
    }
    ensure_ours(&options.out.join("index.html"), Kind::Page)?;
    ensure_ours(&options.out.join("report.json"), Kind::Report)?;
    let source = Source::open(options)?;
    note_unknown(&source, &jobs);
    let model = model_path::chosen(&options.model)?;
    let folder = ModelFolder::open(&model)?;
    let size = model_size(options, &folder, &controls)?;
    control::check(&controls, &folder, reduction(&folder)?, (size.width as usize, size.height as usize))?;
    let own = &options.finders;
    let asked_for = matches!(source, Source::Detectors) || own.faces.is_some() || own.hands.is_some();
    let finders = match Finders::load(options.models.as_deref(), own) {
        Ok(finders) => Some(finders),
        Err(error) if asked_for => return Err(error),
        Err(_) => {
            errln!(
                "note: without the detectors (`fairhuman models get`) nobody checks which regions became better"
            );
            None
        }
    };
    let _lock = FolderLock::take_for_a_while(&options.out)?;
    let stop = interrupt::flag_that_says("leaving after the picture in work");
    let resources = Resources { weight_cache: FILTER_CACHE, ..options.compute.into() };
    let mut settings = settings(options, &model, (&loras, &controls))?;
    // What nobody checked is refined again once there are detectors.
    settings["checked"] = (finders.is_some() && !matches!(source, Source::Masks(_))).into();
    let refining = Refining {
        options,
        jobs: &jobs,
        loras: &loras,
        controls: &controls,
        source: &source,
        model: &model,
        size,
        detectors: finders.as_ref().map(Finders::pipeline),
        settings,
        stop: &stop,
    };
    let summary = device::run(options.compute.device, resources, refining)?;
    Ok(match () {
        () if summary.interrupted => ExitCode::from(INTERRUPTED),
        () if summary.pictures == 0 => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    })
}

const NO_PROMPT: &str = "a picture without a prompt is refined without one: --prompt \"...\" says what the pictures show, or NAME.txt beside NAME.png";

struct Summary {
    interrupted: bool,
    pictures: usize,
}

struct Refining<'a> {
    options: &'a Refine,
    jobs: &'a [Job],
    loras: &'a [(Network, f32)],
    controls: &'a [control::Wanted],
    source: &'a Source,
    model: &'a Path,
    size: ModelSize,
    detectors: Option<Detectors<'a>>,
    settings: Value,
    stop: &'a AtomicBool,
}

impl Work for Refining<'_> {
    type Output = Summary;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<Summary> {
        let Self { options, .. } = self;
        if options.dry_run {
            return self.all::<B>(None);
        }
        let mut pipeline = Pipeline::open(backend, self.model)?;
        let params = generate::attach_loras(backend, &mut pipeline, &lora_files(self.loras))
            .map_err(|error| model_path::lora_error(&options.model, error))?;
        let side = (self.size.width as usize, self.size.height as usize);
        memory::check_sampling(pipeline.parts().folder, side, 1, Memory::read())?;
        let (unet, reduction) = (pipeline.folder.unet(), pipeline.vae.config().reduction());
        let load = |control: &Wanted| Control::load(backend, &control.path, &unet, reduction);
        let networks = self.controls.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let refiner = Refiner {
            backend,
            pipeline: &pipeline,
            params: &params,
            options,
            networks,
            wanted: self.controls,
            style: options.control_style.into(),
            detectors: self.detectors.as_ref(),
        };
        self.all(Some(&refiner))
    }
}

impl Refining<'_> {
    /// All pictures, one after the other; without a model only what would be done.
    fn all<B: Backend>(&self, refiner: Option<&Refiner<'_, B>>) -> anyhow::Result<Summary> {
        let (meter, out) = (Meter::new("pictures"), &self.options.out);
        fairhuman_files::make_folder(out).with_context(|| format!("cannot make {}", out.display()))?;
        let (mut records, mut skipped, mut worked) = (Vec::new(), Vec::new(), 0);
        let mut told = BTreeSet::new();
        let mut note = |note: String| {
            if told.insert(note.clone()) {
                meter.say(&format!("note: {note}"));
            }
        };
        no_step(self.options.denoising_strength, self.options.steps).into_iter().for_each(&mut note);
        for (i, job) in self.jobs.iter().enumerate() {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let done = self.one(job, refiner, &meter);
            let is_new = match done {
                Ok((record, is_new)) => {
                    let texts = record.regions.iter().map(|region| region.prompt.as_str());
                    if is_new && texts.clone().any(str::is_empty) {
                        note(NO_PROMPT.into());
                    }
                    let texts = texts.chain(self.options.negative.as_deref()).filter(|_| is_new);
                    prompt_notes::foreign(texts.clone()).into_iter().for_each(&mut note);
                    if let Some(refiner) = refiner {
                        let pipeline = refiner.pipeline;
                        texts.filter_map(|text| prompt_notes::truncated(pipeline, text)).for_each(&mut note);
                    }
                    records.push(record);
                    is_new
                }
                Err(Failure::Picture(reason)) => {
                    meter.say(&format!("skipped {}: {reason}", job.name));
                    skipped.push((job.name.clone(), reason));
                    false
                }
                Err(Failure::All(error)) => return Err(error),
            };
            worked += usize::from(is_new);
            meter.advance(i + 1, self.jobs.len(), is_new);
        }
        let seconds = meter.finish();
        let interrupted = records.len() + skipped.len() < self.jobs.len();
        if refiner.is_some() {
            record::write_report(out, &records, &skipped, &self.settings, interrupted)?;
        }
        let page = out.join("index.html");
        write_atomically(&page, sheet::html(&records, &skipped, refiner.is_none()).as_bytes())?;
        outln!("{}", summary(&records, skipped.len(), worked, seconds));
        if interrupted {
            outln!("interrupted: the same command again continues");
        }
        outln!("to look at: {}", page.display());
        Ok(Summary { interrupted, pictures: records.len() })
    }

    /// One picture: its record, and whether it was made now.
    fn one<B: Backend>(
        &self,
        job: &Job,
        refiner: Option<&Refiner<'_, B>>,
        meter: &Meter,
    ) -> Result<(Record, bool), Failure> {
        let (options, out) = (self.options, &self.options.out);
        let of_picture = |reason: String| Failure::Picture(reason);
        let bytes = fairhuman_files::read(&job.source).map_err(|error| of_picture(error.to_string()))?;
        let (sha256, texts) = (sha256_hex(&bytes), png_texts(&bytes));
        let scene = match &options.prompt {
            Some(prompt) => prompt.clone(),
            None => files::caption(&job.source)
                .map_err(of_picture)?
                .or_else(|| prompts::of_texts(&texts))
                .unwrap_or_default(),
        };
        // A mask or annotation of its own decides the result as the options do.
        let file = self.source.file(&job.name).map_err(|error| of_picture(format!("{error:#}")))?;
        let own =
            file.as_deref().map(sha256_of).transpose().map_err(|error| of_picture(error.to_string()))?;
        let settings =
            sha256_hex(format!("{}\n{scene}\n{}", self.settings, own.unwrap_or_default()).as_bytes());
        let record_file = out.join("records").join(format!("{}.json", job.name));
        if refiner.is_some()
            && let Some(record) = record::done(&record_file, out, &sha256, &settings)
        {
            return Ok((record, false));
        }
        let clock = clock::start();
        let picture = photo::decode(&job.source, &bytes).map_err(|error| of_picture(error.reason))?;
        drop(bytes);
        // Nobody looks at what a person masked.
        let detectors = self.detectors.as_ref().filter(|_| !matches!(self.source, Source::Masks(_)));
        let before =
            look(detectors, &picture, !options.no_zoom).map_err(|error| of_picture(error.to_string()))?;
        let found = self
            .source
            .find(&picture, &job.name, before.as_ref())
            .map_err(|error| of_picture(format!("{error:#}")))?;
        let plan = self.plan(&picture, &found, &scene);
        let Refined { picture: refined, judged } =
            self.painted((job, &picture), refiner, &plan, before.as_ref(), meter)?;
        let mut record = Record {
            picture: job.name.clone(),
            file: job.file.clone(),
            sha256,
            settings,
            prompt: scene,
            width: picture.width(),
            height: picture.height(),
            mode: plan.mode.name().into(),
            regions: record::regions(&plan, &judged, !options.networks.control.is_empty()),
            made: String::new(),
            seconds: clock(),
        };
        self.write_strip(job, (&picture, &refined), &plan)?;
        if refiner.is_some() {
            record.made = self.write(job, &refined, &record.texts(texts, &self.settings))?;
            files::write(&record_file, &serde_json::to_vec(&record).map_err(anyhow::Error::from)?)
                .map_err(anyhow::Error::from)?;
        } else {
            meter.say(&described(&record));
        }
        Ok((record, true))
    }

    /// The picture with what the model paints; as it is where there is no region, or no model.
    fn painted<B: Backend>(
        &self,
        (job, picture): (&Job, &RgbImage),
        refiner: Option<&Refiner<'_, B>>,
        plan: &Plan,
        before: Option<&Detections>,
        meter: &Meter,
    ) -> Result<Refined, Failure> {
        let Some(refiner) = refiner.filter(|_| !plan.tasks.is_empty()) else {
            return Ok(Refined { picture: picture.clone(), judged: Vec::new() });
        };
        // Nothing is shrunk, so a large picture may be more than the model's size.
        let sizes = plan.sheets.iter().map(|sheet| sheet.size);
        let largest = sizes.max_by_key(|&(w, h)| u64::from(w) * u64::from(h));
        if let Some((w, h)) = largest.filter(|&(w, h)| w > self.size.width || h > self.size.height) {
            let folder = refiner.pipeline.parts().folder;
            memory::check_sampling(folder, (w as usize, h as usize), 1, Memory::read())
                .map_err(|error| Failure::Picture(format!("{error:#}; or with --mode crops")))?;
        }
        let sheets = plan.sheets.len();
        let mut show = |sheet: usize, progress: generate::Progress| {
            let generate::Progress { done, of } = progress;
            meter.detail(&format!("{}: {} of {sheets}, step {done}/{of}", job.name, sheet + 1));
        };
        Ok(refiner.refine((&job.name, picture), plan, before, &mut show)?)
    }

    /// Which regions, in which order, with which words, on which sheets.
    fn plan(&self, picture: &RgbImage, found: &Found, scene: &str) -> Plan {
        let options = self.options;
        let filter = filter(options);
        let regions = filter.select(&found.regions, picture.dimensions());
        let lists = Lists::new(&options.face_prompt, &options.hand_prompt);
        let own = |region: &fairhuman_refine::Region| {
            let at = found.regions.iter().position(|other| other == region)?;
            found.prompts.get(at).cloned().flatten()
        };
        let prompts = lists.assign(&regions, scene);
        let chosen = regions
            .into_iter()
            .zip(prompts)
            .filter_map(|(region, prompt)| {
                let prompt = own(&region).or(prompt)?;
                Some((region, prompt))
            })
            .collect();
        Plan::new(options, picture.dimensions(), self.size, found, chosen)
    }

    /// Before, after and mask, for the page.
    fn write_strip(
        &self,
        job: &Job,
        (before, after): (&RgbImage, &RgbImage),
        plan: &Plan,
    ) -> anyhow::Result<()> {
        let mask = plan.mask(before.dimensions());
        let regions: Vec<_> = plan.tasks.iter().map(|task| &task.region).collect();
        let strip = sheet::strip(before, after, &mask, &regions);
        let file = self.options.out.join("sheet").join(format!("{}.jpg", job.name));
        Ok(files::picture(&file, &strip.into())?)
    }

    /// The refined picture; returns the digest of its file.
    fn write(&self, job: &Job, refined: &RgbImage, texts: &[(String, String)]) -> anyhow::Result<String> {
        let (width, height) = (refined.width() as usize, refined.height() as usize);
        let rgb = Rgb { width, height, pixels: refined.as_raw().clone() };
        let bytes = file::encode(&rgb, texts)?;
        files::write(&self.options.out.join(&job.file), &bytes)?;
        Ok(sha256_hex(&bytes))
    }
}

/// A failure: with one picture, or with everything.
enum Failure {
    Picture(String),
    All(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::All(error)
    }
}
