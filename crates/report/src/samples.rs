//! The pictures that a run made of its recipe's prompts while it trained.

use std::path::{Path, PathBuf};

use fairhuman_train::events::Event;

use crate::model::{Run, Samples};

impl Run {
    /// Adds the pictures that the run in `folder` made of its prompts, at most `most` (2 or more) steps, the
    /// first and the last among them. A picture that cannot be read gives a note.
    pub fn add_samples(&mut self, folder: &Path, most: usize) {
        let taken = self.events.iter().filter_map(|event| match event {
            Event::Samples { step, files, .. } => Some((*step, files)),
            _ => None,
        });
        let taken: Vec<(u64, &Vec<PathBuf>)> = taken.collect();
        let prompts = prompts(&self.recipe);
        let (mut samples, mut problem) = (Vec::new(), None);
        for (step, files) in spread(taken.len(), most).into_iter().map(|i| taken[i]) {
            let mut pictures = Vec::new();
            for (i, file) in files.iter().enumerate() {
                let prompt = prompts.get(i).cloned().unwrap_or_else(|| format!("prompt {}", i + 1));
                match inside(folder, file).and_then(|path| image::open(path).map_err(|e| e.to_string())) {
                    Ok(picture) => pictures.push((prompt, picture.to_rgb8())),
                    Err(error) => problem = Some(format!("{} cannot be shown: {error}.", file.display())),
                }
            }
            samples.push(Samples { step, pictures });
        }
        self.samples = samples;
        self.notes.extend(problem);
    }
}

/// The path of a run's file. Pages are passed on: no file from elsewhere gets into one because a log names
/// it.
fn inside(folder: &Path, file: &Path) -> Result<PathBuf, String> {
    let real = |path: &Path| path.canonicalize().map_err(|e| e.to_string());
    let path = real(&folder.join(file))?;
    match path.starts_with(real(folder)?) {
        true => Ok(path),
        false => Err("it lies outside of the run folder".into()),
    }
}

fn prompts(recipe: &str) -> Vec<String> {
    let recipe: toml::Table = recipe.parse().unwrap_or_default();
    let list = recipe.get("samples").and_then(|samples| samples.get("prompts")?.as_array());
    list.into_iter().flatten().filter_map(|prompt| prompt.as_str().map(str::to_owned)).collect()
}

/// At most `most` of the indices below `count`, the first and the last among them, evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let (wanted, last) = (most.min(count), count.saturating_sub(1));
    (0..wanted).map(|i| i * last / wanted.saturating_sub(1).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{inside, spread};

    #[test]
    fn first_and_last_are_always_shown() {
        assert_eq!(spread(0, 5), [0; 0]);
        assert_eq!(spread(1, 5), [0]);
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(9, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(100, 2), [0, 99]);
    }

    #[test]
    fn pictures_from_outside_of_the_run_folder_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir_all(run.join("samples")).unwrap();
        for file in [folder.path().join("private.png"), run.join("samples/0.png")] {
            std::fs::write(file, b"png").unwrap();
        }
        assert!(inside(&run, Path::new("samples/0.png")).is_ok());
        for outside in [Path::new("../private.png"), &folder.path().join("private.png")] {
            assert!(inside(&run, outside).unwrap_err().contains("outside"), "{outside:?}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("private.png"), run.join("link.png")).unwrap();
            assert!(inside(&run, Path::new("link.png")).is_err());
        }
    }
}
