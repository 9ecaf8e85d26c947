//! Losses of held-out pictures: sums of squared errors over batches that are seen one after the other, and
//! what to divide them by; of all pictures together, and of each.
//!
//! Beside the objectives they have those of the *background*, which is what no region covers: it has no
//! weight in training, and shows who pays for what the regions gain.

use fairhuman_engine::{Backend, Params};

use crate::batch::{Batch, Inputs};
use crate::events::PictureLosses;
use crate::group::Group;
use crate::module::{LossInputs, TrainingModule, Wants};
use crate::objective::{self, Counts, Normalisation, Objective};

/// Sums over held-out pictures.
pub struct HeldOut {
    /// The recipe's, then the background where there are regions.
    objectives: Vec<Objective>,
    background: bool,
    squares: Vec<f64>,
    counts: Counts,
    present: Vec<usize>,
    /// Of each picture; none where they are not wanted.
    pictures: Option<Vec<PictureLosses>>,
}

/// The sums of one sample: a picture at a time step.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleLosses {
    /// The picture.
    pub name: String,
    /// Its time step; none for a network without.
    pub timestep: Option<usize>,
    /// Sum of squared errors of each objective, then of the background.
    pub squares: Vec<f64>,
    /// The number to divide each by; 0 without pixels.
    pub elements: Vec<f64>,
}

/// The sums of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Those of its samples.
    pub samples: Vec<SampleLosses>,
    present: Vec<usize>,
    counts: Counts,
}

impl Measured {
    /// All numbers, for another process, but the time steps.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let present = self.present.iter().map(|&lanes| lanes as f64);
        let counts = self.counts.inside.iter().copied().chain([self.counts.elements]);
        let samples = self.samples.iter().flat_map(|sample| sample.squares.iter().chain(&sample.elements));
        present.chain(counts).chain(samples.copied()).collect()
    }

    /// The sums with such numbers of `objectives` and of the pictures `names`, and the numbers after them;
    /// none where there are too few.
    pub(crate) fn read(objectives: usize, names: Vec<String>, numbers: &[f64]) -> Option<(Self, &[f64])> {
        let (present, numbers) = numbers.split_at_checked(objectives)?;
        let (inside, numbers) = numbers.split_at_checked(objectives)?;
        let (&elements, mut numbers) = numbers.split_first()?;
        let mut samples = Vec::with_capacity(names.len());
        for name in names {
            let (squares, rest) = numbers.split_at_checked(objectives)?;
            let (elements, rest) = rest.split_at_checked(objectives)?;
            let (squares, elements) = (squares.to_vec(), elements.to_vec());
            samples.push(SampleLosses { name, timestep: None, squares, elements });
            numbers = rest;
        }
        let present = present.iter().map(|&lanes| lanes as usize).collect();
        let counts = Counts { inside: inside.to_vec(), elements };
        Some((Self { samples, present, counts }, numbers))
    }
}

/// The losses over all pictures.
pub struct Losses {
    /// Of each objective; 0 without pixels.
    pub losses: Vec<f64>,
    /// Pairs of picture and noise with pixels, per objective.
    pub present: Vec<usize>,
    /// Of what no region covers; none where there are no regions.
    pub background: Option<f64>,
    /// Those of each picture, if they are wanted.
    pub pictures: Vec<PictureLosses>,
}

impl HeldOut {
    /// Nothing seen yet. `pictures`: the losses of each picture are wanted, too.
    pub fn new(objectives: &[Objective], pictures: bool) -> Self {
        let mut objectives = objectives.to_vec();
        let background = objectives.iter().any(|o| o.mask.is_some());
        if background {
            let (name, mask) = ("background".to_owned(), Some(String::new()));
            objectives.push(Objective { name, mask, scale: 1.0, normalisation: Normalisation::Image });
        }
        let k = objectives.len();
        Self {
            objectives,
            background,
            squares: vec![0.0; k],
            counts: Counts::zero(k),
            present: vec![0; k],
            pictures: pictures.then(Vec::new),
        }
    }

    /// Names of the objectives, and the background's where there are regions.
    pub fn objectives(&self) -> Vec<String> {
        self.objectives.iter().map(|objective| objective.name.clone()).collect()
    }

    /// The sums of a batch.
    ///
    /// # Errors
    /// Inputs that do not fit the network, in words.
    pub fn measure<B: Backend, M: TrainingModule<B>>(
        &self,
        backend: &B,
        network: &M,
        params: &Params<B>,
        batch: &Batch<M::Inputs>,
    ) -> Result<Measured, String> {
        let batch = &if self.background { with_background(batch) } else { batch.clone() };
        let k = self.objectives.len();
        let present = objective::present(&batch.targets, k);
        let (divisors, wants) = (&vec![1.0; k], Wants::Gradients);
        let of = LossInputs { objectives: &self.objectives, batch, divisors, present: &present, wants };
        let squares = network.losses(backend, params, &of)?;
        let sample = |n: usize| {
            let target = batch.targets.slice(n..n + 1);
            SampleLosses {
                name: target.names[0].clone(),
                timestep: batch.inputs.timesteps().get(n).copied(),
                squares: squares.iter().map(|samples| samples[n]).collect(),
                elements: Counts::of(k, [&target]).divisors(&self.objectives),
            }
        };
        let samples = (0..batch.targets.size).map(sample).collect();
        let present = present.iter().map(Vec::len).collect();
        Ok(Measured { samples, present, counts: Counts::of(k, [&batch.targets]) })
    }

    /// Adds the sums of a batch, and gives those of its samples.
    pub fn add(&mut self, measured: Measured) -> Vec<SampleLosses> {
        let Measured { samples, present, counts } = measured;
        for (i, sum) in self.squares.iter_mut().enumerate() {
            *sum += samples.iter().map(|sample| sample.squares[i]).sum::<f64>();
        }
        self.present.iter_mut().zip(&present).for_each(|(sum, lanes)| *sum += lanes);
        self.counts.inside.iter_mut().zip(&counts.inside).for_each(|(sum, inside)| *sum += inside);
        self.counts.elements += counts.elements;
        samples.iter().for_each(|sample| self.add_picture(sample));
        samples
    }

    /// The losses of these batches alone.
    pub fn of(mut self, batches: Vec<Measured>) -> Losses {
        batches.into_iter().for_each(|measured| drop(self.add(measured)));
        self.losses()
    }

    /// The losses of one sample; the draws of a picture follow each other.
    fn add_picture(&mut self, SampleLosses { name, squares, elements, .. }: &SampleLosses) {
        let Some(pictures) = &mut self.pictures else { return };
        match pictures.last_mut().filter(|last| last.name == *name) {
            Some(last) => {
                last.squares.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
                last.elements.iter_mut().zip(elements).for_each(|(sum, count)| *sum += count);
            }
            None => pictures.push(PictureLosses {
                name: name.clone(),
                squares: squares.clone(),
                elements: elements.clone(),
            }),
        }
    }

    /// The losses of all that was added.
    pub fn losses(self) -> Losses {
        let divisors = self.counts.divisors(&self.objectives);
        let quotient = |(&sum, &divisor): (&f64, &f64)| if divisor > 0.0 { sum / divisor } else { 0.0 };
        let mut losses: Vec<f64> = self.squares.iter().zip(&divisors).map(quotient).collect();
        let mut present = self.present;
        let background = if self.background { losses.pop() } else { None };
        present.truncate(losses.len());
        Losses { losses, present, background, pictures: self.pictures.unwrap_or_default() }
    }
}

/// The batches of all processes, in order, from those of this one with their numbers; none where any process
/// has none. `names`: the pictures of a batch, by its number.
///
/// # Errors
/// A process that cannot be reached, or that sends too few numbers.
pub(crate) fn gather<B: Backend>(
    group: &dyn Group<B>,
    own: Option<Vec<(usize, Measured)>>,
    objectives: usize,
    batches: usize,
    names: impl Fn(usize) -> Vec<String>,
) -> Result<Option<Vec<Measured>>, String> {
    if group.size() == 1 {
        return Ok(own.map(|own| own.into_iter().map(|(_, measured)| measured).collect()));
    }
    let mut message = vec![f64::from(u8::from(own.is_some()))];
    message.extend(own.iter().flatten().flat_map(|(_, measured)| measured.numbers()));
    let all = group.gather(bytemuck::cast_slice(&message))?;
    let all: Vec<Vec<f64>> = all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
    if all.iter().any(|one| one.first() != Some(&1.0)) {
        return Ok(None);
    }
    let mut rest: Vec<&[f64]> = all.iter().map(|one| &one[1..]).collect();
    let mut read = |number: usize| {
        let rank = number % rest.len();
        let (measured, after) = Measured::read(objectives, names(number), rest[rank])
            .ok_or_else(|| format!("rank {rank} sent too few numbers of its held-out pictures"))?;
        rest[rank] = after;
        Ok(measured)
    };
    (0..batches).map(&mut read).collect::<Result<Vec<_>, String>>().map(Some)
}

/// A batch with one more objective's masks: all that is in none of the others.
fn with_background<I: Inputs>(batch: &Batch<I>) -> Batch<I> {
    let mut batch = batch.clone();
    let targets = &mut batch.targets;
    let mut background = vec![1.0f32; targets.size * targets.height * targets.width];
    for mask in targets.masks.iter().flatten() {
        background.iter_mut().zip(mask).for_each(|(rest, m)| *rest = rest.min(1.0 - m));
    }
    targets.masks.push(Some(background));
    batch
}
