//! `fairhuman control`: control images of pictures, for training a control network or for drawing with one.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use fairhuman_diffusion::generate::Rgb;
use fairhuman_engine::Backend;
use fairhuman_files::{FolderLock, Kind, MARK, ensure_apart, ensure_ours, write_atomically};
use fairhuman_vision::annotate::load_detectors;
use fairhuman_vision::detect::DetectOptions;
use fairhuman_vision::detectors::Detectors;
use fairhuman_vision::edges::{canny_edges, soft_edges};
use fairhuman_vision::pipeline::Pipeline;
use fairhuman_vision::skeleton::Skeleton;
use fairhuman_vision::{files, photo, sheet};
use image::RgbImage;
use serde_json::Value;

use super::png_names::png_names;
use super::sample::file;
use super::there::ensure_there;
use super::{drawn_pose, models};
use crate::cli::{Control, ControlImage};
use crate::interrupt::{self, INTERRUPTED};
use crate::machine;
use crate::meter::Meter;
use crate::units;

/// Folder and column of a dataset's control images.
const FOLDER: &str = "conditioning";
const COLUMN: &str = "conditioning_image";
const CONTACT_SHEET: &str = "control-sheet.png";
/// Side of a picture in the contact sheet.
const THUMBNAIL: u32 = 160;

/// A picture, and the file of its control image relative to the folder of results.
struct Job {
    picture: PathBuf,
    target: PathBuf,
    /// Exact points of a drawn person.
    keypoints: Option<PathBuf>,
}

/// Makes the control images; of a dataset also its list's column.
pub fn run(options: &Control) -> anyhow::Result<ExitCode> {
    ensure_there(&[("the pictures", &options.pictures)])?;
    if options.pictures.is_file() {
        return one(options);
    }
    let list = options.pictures.join("metadata.jsonl");
    let out = options.out.clone().unwrap_or_else(|| options.pictures.clone());
    let lines = if list.is_file() { Some(read_list(&list)?) } else { None };
    if options.out.is_none() && lines.is_none() {
        let folder = options.pictures.display();
        anyhow::bail!(
            "{folder} has no metadata.jsonl to put control images into: say where they go with --out DIR"
        );
    }
    if let Some(out) = &options.out {
        ensure_apart(std::slice::from_ref(out), &[("the pictures", &options.pictures)])?;
    }
    let mut jobs: Vec<Job> = match &lines {
        Some(lines) => lines.iter().map(|line| listed(options, line)).collect::<anyhow::Result<Vec<_>>>()?,
        None => {
            files::photographs(&options.pictures, &out)?.iter().map(|name| photo_job(options, name)).collect()
        }
    };
    ensure!(!jobs.is_empty(), "{}: no pictures", options.pictures.display());
    let targets = png_names(jobs.iter().map(|job| job.target.as_path()));
    jobs.iter_mut().zip(targets).for_each(|(job, target)| job.target = target);
    if let (Some(lines), None) = (&lines, &options.out) {
        ensure_column_is_free(&list, lines, &jobs)?;
    }
    let targets = jobs.iter().map(|job| out.join(&job.target)).chain([out.join(CONTACT_SHEET)]);
    for target in targets {
        ensure_ours(&target, Kind::Picture)?;
    }
    let _lock = FolderLock::take_for_a_while(&out)?;
    let stop = interrupt::flag_that_says("leaving after the picture in work");
    let threads = machine::backend(options.threads)?;
    let (done, skipped) = threads.scope(|| make_all(options, &jobs, &out, &stop))?;
    if stop.load(Ordering::SeqCst) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let (Some(lines), None) = (lines, &options.out) {
        write_list(&list, lines, &jobs)?;
    }
    let made = units::count(done as u64, "control image");
    let skipped = units::count(skipped as u64, "picture");
    outln!("{made} in {}; {skipped} skipped", out.display());
    Ok(if done == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The control image of a single picture, under its name in --out.
fn one(options: &Control) -> anyhow::Result<ExitCode> {
    let (Some(out), Some(name)) = (&options.out, options.pictures.file_name()) else {
        anyhow::bail!("{}: say where its control image goes with --out DIR", options.pictures.display());
    };
    let target = Path::new(name).with_extension("png");
    let path = out.join(&target);
    ensure_apart(std::slice::from_ref(&path), &[("the picture", &options.pictures)])?;
    ensure_ours(&path, Kind::Picture)?;
    let job = Job { picture: options.pictures.clone(), target, keypoints: None };
    let threads = machine::backend(options.threads)?;
    let (_, control) = threads.scope(|| {
        let detectors = detectors(options, std::slice::from_ref(&job))?;
        make(options, &job, pipeline(&detectors).as_ref())
    })?;
    files::write(&path, &png(&control)?)?;
    outln!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The detectors, where a pose must be found.
fn detectors(options: &Control, jobs: &[Job]) -> anyhow::Result<Option<Detectors>> {
    let needed = options.kind == ControlImage::Pose && jobs.iter().any(|job| job.keypoints.is_none());
    Ok(if needed { Some(load_detectors(&models::folder(options.models.as_deref())?)?) } else { None })
}

fn pipeline(detectors: &Option<Detectors>) -> Option<Pipeline<'_>> {
    detectors.as_ref().map(|detectors| Pipeline { detectors, faces: None, hands: None })
}

fn make_all(
    options: &Control,
    jobs: &[Job],
    out: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<(usize, usize)> {
    let detectors = detectors(options, jobs)?;
    let pipeline = pipeline(&detectors);
    let meter = Meter::new("pictures");
    let (mut done, mut pairs) = (0, Vec::new());
    for job in jobs {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        match make(options, job, pipeline.as_ref()) {
            Ok((picture, control)) => {
                let target = out.join(&job.target);
                if let Some(folder) = target.parent() {
                    files::folder(folder)?;
                }
                files::write(&target, &png(&control)?)?;
                if pairs.len() < SHEET {
                    pairs.push(pair(&picture, &control));
                }
                done += 1;
            }
            Err(error) => meter.say(&format!("skipped {}: {error:#}", job.picture.display())),
        }
        meter.advance(done, jobs.len(), true);
    }
    meter.finish();
    if !pairs.is_empty() {
        files::write(&out.join(CONTACT_SHEET), &png(&sheet::page(&pairs))?)?;
    }
    Ok((done, jobs.len() - done))
}

/// A PNG file with the mark of our making.
fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rgb = Rgb { width, height, pixels: picture.as_raw().clone() };
    file::encode(&rgb, &[(MARK, concat!("control ", env!("CARGO_PKG_VERSION")).to_owned())])
}

/// Fails where the list names control images that somebody else put there.
fn ensure_column_is_free(list: &Path, lines: &[Value], jobs: &[Job]) -> anyhow::Result<()> {
    for (i, (line, job)) in lines.iter().zip(jobs).enumerate() {
        let found = &line[COLUMN];
        let ours = job.target.to_str();
        ensure!(
            found.is_null() || found.as_str() == ours,
            "{}, line {}: {COLUMN} is {found} already, and would become \"{}\": write the control images elsewhere with \
             --out DIR, or take the column away",
            list.display(),
            i + 1,
            job.target.display()
        );
    }
    Ok(())
}

/// Pairs in the contact sheet at most.
const SHEET: usize = 24;

fn make(
    options: &Control,
    job: &Job,
    pipeline: Option<&Pipeline<'_>>,
) -> anyhow::Result<(RgbImage, RgbImage)> {
    let picture = photo::read(&job.picture)?;
    let control = match options.kind {
        ControlImage::Canny => canny_edges(&picture),
        ControlImage::SoftEdge => soft_edges(&picture),
        ControlImage::Pose => {
            let skeleton = match (&job.keypoints, pipeline) {
                (Some(file), _) => drawn_pose::read(file)?,
                (None, Some(pipeline)) => {
                    let found = pipeline.detect(&picture, DetectOptions { zoom: !options.no_zoom });
                    Skeleton::of(&found.map_err(anyhow::Error::msg)?)
                }
                (None, None) => anyhow::bail!("the detectors are not loaded"),
            };
            skeleton.draw(picture.width(), picture.height(), options.style.into())
        }
    };
    Ok((picture, control))
}

/// Both beside each other, small.
fn pair(picture: &RgbImage, control: &RgbImage) -> RgbImage {
    let mut both = RgbImage::new(2 * THUMBNAIL, THUMBNAIL);
    for (i, image) in [picture, control].into_iter().enumerate() {
        let scale = THUMBNAIL as f32 / image.width().max(image.height()) as f32;
        let side = |length: u32| ((length as f32 * scale) as u32).clamp(1, THUMBNAIL);
        let (width, height) = (side(image.width()), side(image.height()));
        let small = image::imageops::resize(image, width, height, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut both, &small, (i as u32 * THUMBNAIL).into(), 0);
    }
    both
}

fn photo_job(options: &Control, name: &str) -> Job {
    Job { picture: options.pictures.join(name), target: name.into(), keypoints: None }
}

fn read_list(list: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fairhuman_files::read_to_string(list).with_context(|| list.display().to_string())?;
    let lines =
        text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            let value: Value =
                serde_json::from_str(line).with_context(|| format!("{}, line {}", list.display(), i + 1))?;
            ensure!(value.is_object(), "{}, line {}: not a JSON object", list.display(), i + 1);
            Ok(value)
        })
        .collect()
}

/// The job of a line: its picture, with the key points of a drawn person where there are some.
fn listed(options: &Control, line: &Value) -> anyhow::Result<Job> {
    let name = ["image", "file_name"].iter().find_map(|key| line[*key].as_str());
    let name = name.with_context(|| format!("this line of metadata.jsonl names no image: {line}"))?;
    let mut relative = PathBuf::from(name);
    if options.pictures.join(&relative).symlink_metadata().is_err() {
        // Lists of other systems have backslashes.
        relative = name.replace('\\', "/").into();
    }
    let relative: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
    ensure!(
        relative.components().all(|part| matches!(part, Component::Normal(_))),
        "metadata.jsonl: \"{name}\" lies outside the dataset's folder"
    );
    let target = Path::new(FOLDER).join(relative.strip_prefix("images").unwrap_or(&relative));
    let keypoints = line["keypoints"].as_str().map(|file| options.pictures.join(file));
    Ok(Job { picture: options.pictures.join(relative), target, keypoints })
}

/// Writes the list with the column of control images.
fn write_list(list: &Path, mut lines: Vec<Value>, jobs: &[Job]) -> anyhow::Result<()> {
    let root = list.parent().unwrap_or(Path::new(""));
    let mut text = String::new();
    for (line, job) in lines.iter_mut().zip(jobs) {
        let there = root.join(&job.target).is_file();
        // Lists have / between folders on every system.
        let names: Vec<_> = job.target.iter().map(|name| name.to_string_lossy()).collect();
        line[COLUMN] = if there { names.join("/").into() } else { Value::Null };
        text += &format!("{line}\n");
    }
    write_atomically(list, text.as_bytes()).with_context(|| list.display().to_string())
}
