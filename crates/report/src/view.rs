//! The runs as the sections use them: objectives by name, series of all steps, colours.

use fairhuman_train::events::{Event, Reason, Step};
use maud::{Markup, html};

use crate::chart::{LineChart, Point, Scale, Series, bulk, envelope, smooth, thin};
use crate::model::Run;
use crate::number::{count, short, tick};

/// The colour of series that belong to no run and no objective.
pub const NEUTRAL: usize = 7;
/// Points that a line keeps, and stretches that a faint line keeps.
const LINE: usize = 300;
const FAINT: usize = 250;

/// All runs of a report.
pub struct View<'a> {
    /// The runs.
    pub runs: &'a [Run],
    /// Names of all objectives, in the order in which they come.
    pub objectives: Vec<String>,
    /// From 0 to the last step of any run.
    pub x: Scale,
}

/// A series per run, for one chart.
pub struct Lines {
    /// The chart's heading.
    pub title: String,
    /// The unit of the values; may be empty.
    pub unit: &'static str,
    /// One series for each run that has it.
    pub series: Vec<Raw>,
}

/// The value axes of charts beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// Each its own.
    Own,
    /// The same for all.
    Shared,
}

/// A series of all steps.
pub struct Raw {
    /// Its name.
    pub name: String,
    /// Its colour's number.
    pub colour: usize,
    /// All steps.
    pub points: Vec<Point>,
    /// Points that are measured every few steps.
    pub dots: Vec<Point>,
    /// True if steps are noise around a trend, to be smoothed.
    pub noisy: bool,
}

impl<'a> View<'a> {
    /// Collects the objectives and the last step of the runs.
    pub fn new(runs: &'a [Run]) -> Self {
        let mut objectives: Vec<String> = Vec::new();
        for name in runs.iter().flat_map(Run::objectives) {
            if !objectives.contains(name) {
                objectives.push(name.clone());
            }
        }
        let last = runs.iter().flat_map(|run| &run.events).map(Event::step).max().unwrap_or(0);
        // A little room at both ends, for the first and the last dot.
        let last = last.max(1) as f64;
        Self { runs, objectives, x: Scale::exact(-0.02 * last, 1.02 * last) }
    }

    /// True if colours stand for runs; with one run they stand for objectives.
    pub fn compares(&self) -> bool {
        self.runs.len() > 1
    }

    /// The legend of the colours.
    pub fn legend(&self) -> Markup {
        let names: Vec<&String> = if self.compares() {
            self.runs.iter().map(|r| &r.name).collect()
        } else {
            self.objectives.iter().collect()
        };
        html! {
            @if names.len() > 1 {
                ul.legend.colours aria-label="Colours" {
                    @for (i, name) in names.iter().enumerate() { li class={ "s" (i % 10) } { i {} (name) } }
                }
            }
        }
    }

    /// The colour of an objective's line in a run.
    pub fn colour(&self, run: usize, objective: usize) -> usize {
        if self.compares() { run } else { objective }
    }

    /// The colour of a run's line in charts that are not of one objective.
    pub fn run_colour(&self, run: usize) -> usize {
        if self.compares() { run } else { NEUTRAL }
    }

    /// The objectives with their series: a line for each run that has the objective. Steps that `of` leaves
    /// out are no gaps. `value` gets the index of the objective in the run.
    pub fn per_objective(
        &self,
        unit: &'static str,
        of: impl Fn(&Step) -> bool,
        value: impl Fn(&Step, usize) -> Option<f64>,
        dots: impl Fn(&Run, usize) -> Vec<Point>,
    ) -> Vec<Lines> {
        let lines = |(o, name): (usize, &String)| {
            let series = self.runs.iter().enumerate().filter_map(|(r, run)| {
                let k = run.objectives().iter().position(|other| other == name)?;
                let steps = run.steps().filter(|step| of(step));
                let points = steps.map(|step| (step.step as f64, value(step, k).unwrap_or(f64::NAN)));
                let (points, dots) = (points.collect(), dots(run, k));
                let name = if self.compares() { run.name.clone() } else { name.clone() };
                Some(Raw { name, colour: self.colour(r, o), points, dots, noisy: true })
            });
            Lines { title: name.clone(), unit, series: series.collect() }
        };
        self.objectives.iter().enumerate().map(lines).collect()
    }

    /// One series for each run.
    pub fn per_run(
        &self,
        title: &str,
        unit: &'static str,
        noisy: bool,
        value: impl Fn(&Step) -> Option<f64>,
    ) -> Lines {
        let series = self.runs.iter().enumerate().map(|(r, run)| {
            let points = run.steps().map(|step| (step.step as f64, value(step).unwrap_or(f64::NAN)));
            Raw {
                name: run.name.clone(),
                colour: self.run_colour(r),
                points: points.collect(),
                dots: Vec::new(),
                noisy,
            }
        });
        Lines { title: title.to_owned(), unit, series: series.collect() }
    }

    /// Charts of lines. Series without noise keep a linear axis.
    pub fn charts(&self, lines: &[Lines], axes: Axes) -> Markup {
        let drawn: Vec<(&Lines, Vec<Series>)> =
            lines.iter().map(|l| (l, l.series.iter().map(Raw::draw).collect())).collect();
        let fit = |series: &mut dyn Iterator<Item = &Series>| {
            let mut values = Vec::new();
            for s in series {
                values.extend(bulk(&s.faint));
                values.extend(s.line.iter().chain(&s.dots).map(|p| p.1));
            }
            values
        };
        let all = Scale::fitting(fit(&mut drawn.iter().flat_map(|(_, series)| series)));
        let chart = |(lines, series): &(&Lines, Vec<Series>)| {
            let noisy = lines.series.iter().any(|raw| raw.noisy);
            let y = match axes {
                Axes::Shared => all,
                Axes::Own if noisy => Scale::fitting(fit(&mut series.iter())),
                Axes::Own => Scale::linear(fit(&mut series.iter())),
            };
            LineChart {
                title: lines.title.clone(),
                unit: lines.unit.to_owned(),
                x: self.x,
                y,
                reference: None,
                series: series.clone(),
                value: short,
                tick,
            }
        };
        grid(drawn.iter().map(chart))
    }
}

impl Raw {
    /// True if there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        !self.points.iter().chain(&self.dots).any(|p| p.1.is_finite())
    }

    /// As a chart draws it: every step faint, the running mean on top.
    pub fn draw(&self) -> Series {
        let memory = if self.noisy { (self.points.len() / 30).clamp(1, 400) } else { 1 };
        let smoothed = smooth(&self.points, memory);
        let known = self.points.iter().any(|p| p.1.is_finite());
        let faint = if known && memory > 1 { envelope(&self.points, FAINT) } else { Vec::new() };
        let line = if known { thin(&smoothed, LINE) } else { Vec::new() };
        Series { name: self.name.clone(), colour: self.colour, faint, line, dots: thin(&self.dots, LINE) }
    }
}

/// Charts beside each other, as many as fit.
pub fn grid(charts: impl IntoIterator<Item = LineChart>) -> Markup {
    html! { div.charts { @for chart in charts { @if chart.has_data() { (chart.draw()) } } } }
}

/// A value of a list of a step, if it is there and a number. Refused steps have no lists.
pub fn value(list: &[f64], k: usize) -> Option<f64> {
    list.get(k).copied().filter(|v| v.is_finite())
}

/// A value of an objective that had pixels in this step.
pub fn present(step: &Step, list: &[f64], k: usize) -> Option<f64> {
    value(list, k).filter(|_| step.present.get(k).is_some_and(|&lanes| lanes > 0))
}

/// The run's held-out losses of its objective `k`; gaps where no held-out picture has the region.
pub fn held_out(run: &Run, k: usize) -> Vec<Point> {
    let loss = |v: &fairhuman_train::events::Validation| {
        let seen = v.present.get(k).is_none_or(|&n| n > 0);
        (v.step as f64, value(&v.losses, k).filter(|_| seen).unwrap_or(f64::NAN))
    };
    run.validations().map(loss).collect()
}

/// First and last of the finite points.
pub fn ends(points: &[Point]) -> Option<(Point, Point)> {
    let mut finite = points.iter().filter(|p| p.1.is_finite());
    let first = *finite.next()?;
    Some((first, finite.next_back().copied().unwrap_or(first)))
}

/// The state of a run in words: its last step, and how it ended if it did.
pub fn state(run: &Run) -> String {
    let Some(start) = run.start() else { return "not begun".into() };
    let step = run.events.last().map_or(0, Event::step);
    let resumed_or_running = || format!("step {step} of {}: in progress, or cut off", start.until);
    match run.events.last() {
        Some(Event::End { reason: Reason::Done, .. }) => format!("{}, done", count(step as usize, "step")),
        Some(Event::End { reason: Reason::Stopped, .. }) => {
            format!("stopped after step {step} of {}", start.until)
        }
        Some(Event::End { reason: Reason::TooManyBadSteps, .. }) => {
            format!("ended after step {step}: too many steps in a row were refused")
        }
        _ => resumed_or_running(),
    }
}
