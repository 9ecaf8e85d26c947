//! Lines over steps: every step faint, smoothed on top, dots where something was measured.

use maud::{Markup, html};

use super::{Point, Scale};
use crate::number::tick;

/// The drawing's own units, both ways.
const SIDE: f64 = 1000.0;
/// Readings under the pointer across a chart.
const READINGS: usize = 60;

/// One chart.
#[derive(Debug, Clone)]
pub struct LineChart {
    /// The heading.
    pub title: String,
    /// The unit or scale of the values; may be empty.
    pub unit: String,
    /// Steps, from left to right.
    pub x: Scale,
    /// Values, from the bottom to the top.
    pub y: Scale,
    /// A boundary, drawn as a horizontal line.
    pub reference: Option<f64>,
    /// The lines.
    pub series: Vec<Series>,
    /// Writes a value.
    pub value: fn(f64) -> String,
    /// Writes a tick of the value axis.
    pub tick: fn(f64) -> String,
}

/// One run, or one objective.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its colour's number.
    pub colour: usize,
    /// Every step, drawn faintly.
    pub faint: Vec<Point>,
    /// The line.
    pub line: Vec<Point>,
    /// Measured points, joined by a line.
    pub dots: Vec<Point>,
}

impl LineChart {
    /// True if there is anything to draw.
    pub fn has_data(&self) -> bool {
        let points = |s: &Series| s.line.iter().chain(&s.dots).any(|p| self.place(p).is_some());
        self.series.iter().any(points)
    }

    /// The chart as HTML.
    pub fn draw(&self) -> Markup {
        let percent = |position: f64| format!("{:.2}%", 100.0 * position);
        let places = |scale: &Scale, wanted| -> Vec<(f64, f64)> {
            let ticks = scale.ticks(wanted).into_iter();
            ticks.filter_map(|v| Some((v, scale.position(v)?))).collect()
        };
        let (x_ticks, y_ticks) = (places(&self.x, 4), places(&self.y, 5));
        html! {
            figure.chart {
                figcaption { b { (self.title) } @if !self.unit.is_empty() { " " span { (self.unit) } } }
                div.plot {
                    div.y { @for (value, at) in &y_ticks { span style={ "bottom:" (percent(*at)) } { ((self.tick)(*value)) } } }
                    svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 1000" preserveAspectRatio="none"
                        role="img" aria-label=(self.spoken()) {
                        @for (_, at) in &y_ticks { path.rule d=(level(*at)) {} }
                        @if let Some(at) = self.reference.and_then(|v| self.y.position(v)) {
                            path.reference d=(level(at)) {}
                        }
                        @for series in &self.series { (self.lines(series)) }
                        @for reading in self.readings() { (reading) }
                    }
                    div.x { @for (i, (value, at)) in x_ticks.iter().enumerate() { span style={ "left:" (percent(*at)) } { @if i == 0 { "step " } (tick(*value)) } } }
                }
            }
        }
    }

    fn lines(&self, series: &Series) -> Markup {
        let path = |points: &[Point]| self.path(points);
        html! {
            g class={ "s" (series.colour % 10) @if series.line.is_empty() { " only-dots" } } {
                @if !series.faint.is_empty() { path.faint d=(path(&series.faint)) {} }
                @if !series.line.is_empty() { path.line d=(path(&series.line)) {} }
                @if !series.dots.is_empty() {
                    path.joined d=(path(&series.dots)) {}
                    path.dots d=(self.dots(&series.dots)) {}
                }
            }
        }
    }

    /// The position of a point; none for a gap.
    fn place(&self, &(x, y): &Point) -> Option<(f64, f64)> {
        // Points outside the axes are drawn outside, but clamped so that numbers stay short.
        let y = self.y.position(y)?.clamp(-1.0, 2.0);
        Some((SIDE * self.x.position(x)?, SIDE * (1.0 - y)))
    }

    /// A path through the points, interrupted at gaps; a point alone between gaps is a dot.
    fn path(&self, points: &[Point]) -> String {
        let mut path = String::new();
        let (mut open, mut alone) = (false, false);
        for point in points {
            let Some((x, y)) = self.place(point) else {
                if alone {
                    path.push_str("h0");
                }
                (open, alone) = (false, false);
                continue;
            };
            path.push_str(&format!("{}{} {}", if open { 'L' } else { 'M' }, unit(x), unit(y)));
            alone = !open;
            open = true;
        }
        if alone {
            path.push_str("h0");
        }
        path
    }

    /// Lines without length: their round ends stay circles when the drawing is stretched.
    fn dots(&self, points: &[Point]) -> String {
        points
            .iter()
            .filter_map(|p| self.place(p))
            .map(|(x, y)| format!("M{} {}h0", unit(x), unit(y)))
            .collect()
    }

    /// Invisible stripes with the values at the pointer as tooltips.
    fn readings(&self) -> Vec<Markup> {
        let told =
            |series: &Series| if series.line.is_empty() { series.dots.clone() } else { series.line.clone() };
        let all: Vec<(&str, Vec<Point>)> = self.series.iter().map(|s| (s.name.as_str(), told(s))).collect();
        let Some(longest) = all.iter().map(|(_, points)| points).max_by_key(|points| points.len()) else {
            return Vec::new();
        };
        let stations = super::thin(longest, READINGS);
        let places: Vec<f64> =
            stations.iter().filter_map(|p| self.x.position(p.0)).map(|x| x * SIDE).collect();
        let edge = |i: usize| match i {
            0 => 0.0,
            i if i == places.len() => SIDE,
            i => 0.5 * (places[i - 1] + places[i]),
        };
        let stripe = |(i, (x, _)): (usize, &Point)| {
            let at = *places.get(i)?;
            let value = |(name, points): &(&str, Vec<Point>)| {
                let near = points.iter().filter(|p| p.1.is_finite());
                let near = near.min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs()))?;
                Some(format!("\n{name} {}", (self.value)(near.1)))
            };
            let text: String = all.iter().filter_map(value).collect();
            Some(html! {
                g.reading {
                    rect x=(unit(edge(i))) y="0" height="1000"
                        width=(unit((edge(i + 1) - edge(i)).max(0.0))) {}
                    path d={ "M" (unit(at)) " 0V1000" } {}
                    title { "step " (x) (text) }
                }
            })
        };
        stations.iter().enumerate().filter_map(stripe).collect()
    }

    /// The chart in words, for screen readers.
    fn spoken(&self) -> String {
        let ends = self.series.iter().filter_map(|series| {
            let points = if series.line.is_empty() { &series.dots } else { &series.line };
            let mut finite = points.iter().filter(|p| p.1.is_finite());
            let first = finite.next()?;
            let last = finite.next_back().unwrap_or(first);
            Some(format!("{} from {} to {}", series.name, (self.value)(first.1), (self.value)(last.1)))
        });
        format!("{} over steps: {}", self.title, ends.collect::<Vec<_>>().join("; "))
    }
}

fn level(at: f64) -> String {
    format!("M0 {}H1000", unit(SIDE * (1.0 - at)))
}

/// A coordinate, to a tenth.
fn unit(value: f64) -> String {
    format!("{}", (10.0 * value).round() / 10.0)
}
