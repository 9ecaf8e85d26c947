//! Tells how pictures fit the training size: how much they are enlarged, and how much of them is cut away.
//!
//! Both happen without an error, and show in what is learned: enlarged pictures teach their blur, and a
//! panorama in a square is a narrow part of itself.

use std::path::PathBuf;

use serde::Serialize;

use crate::geometry::{Crop, GeometrySpec, draw};

/// Enlargements below this factor are not worth a note of training.
const NOTED_FACTOR: f64 = 1.25;
/// Shares of a picture's area that are cut away below this are not worth a note of training.
const NOTED_SHARE: f64 = 0.5;

/// Pictures and the size that they are trained at. Crops are taken from the middle.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Fit {
    /// Pictures that were counted.
    pub pictures: usize,
    /// Pictures that are enlarged.
    pub enlarged: usize,
    /// The median factor of their sides, of those that are enlarged; 1 without any.
    pub median_factor: f64,
    /// The greatest factor, and its picture.
    pub most_enlarged: Option<(f64, PathBuf)>,
    /// The mean share of a picture's area that is cut away.
    pub cut_away: f64,
    /// The greatest share, and its picture.
    pub most_cut: Option<(f64, PathBuf)>,
    /// Pictures of which more than half is cut away.
    pub half_cut: usize,
}

impl Fit {
    /// The fit of pictures, by their names and sizes as shown.
    pub fn of<'a>(pictures: impl Iterator<Item = (&'a PathBuf, (u32, u32))>, geometry: &GeometrySpec) -> Fit {
        let middle = GeometrySpec { crop: Crop::Center, flip: 0.0, ..*geometry };
        let mut fit = Fit { median_factor: 1.0, ..Fit::default() };
        let mut factors = Vec::new();
        let mut sum = 0.0;
        let is_more =
            |found: &Option<(f64, PathBuf)>, value| found.as_ref().is_none_or(|(most, _)| value > *most);
        for (name, size) in pictures.filter(|(_, size)| size.0 > 0 && size.1 > 0) {
            let draw = draw(&middle, size, 0, 0, 0);
            let area = |(w, h): (u32, u32)| f64::from(w) * f64::from(h);
            let factor = (area(draw.resized) / area(size)).sqrt();
            let cut = (1.0 - area((draw.width, draw.height)) / area(draw.resized)).max(0.0);
            fit.pictures += 1;
            sum += cut;
            if draw.resized.0 > size.0 || draw.resized.1 > size.1 {
                factors.push(factor);
                if is_more(&fit.most_enlarged, factor) {
                    fit.most_enlarged = Some((factor, name.clone()));
                }
            }
            fit.half_cut += usize::from(cut > 0.5);
            if cut > 0.0 && is_more(&fit.most_cut, cut) {
                fit.most_cut = Some((cut, name.clone()));
            }
        }
        factors.sort_by(f64::total_cmp);
        fit.enlarged = factors.len();
        fit.median_factor = factors.get(factors.len() / 2).copied().unwrap_or(1.0);
        fit.cut_away = if fit.pictures > 0 { sum / fit.pictures as f64 } else { 0.0 };
        fit
    }

    /// The enlargement in words, if there is any.
    pub fn enlargement(&self) -> Option<String> {
        let (most, name) = self.most_enlarged.as_ref()?;
        let (half, most) = (format!("{:.1}", self.median_factor), format!("{most:.1}"));
        let half = if half == most { String::new() } else { format!("half of these {half} times or more, ") };
        Some(format!(
            "{} of {} pictures are smaller than the training size and enlarged, {half}at most {most} times ({})",
            self.enlarged,
            self.pictures,
            name.display()
        ))
    }

    /// The area that is cut away in words, if there is any.
    pub fn cropping(&self) -> Option<String> {
        let (most, name) = self.most_cut.as_ref()?;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let advice = match self.half_cut {
            0 => "",
            _ => "; [geometry.buckets] in a recipe trains each in a shape near its own",
        };
        Some(format!(
            "{} of the pictures' area is cut away, at most {} ({}); {} of {} pictures lose more than half{advice}",
            percent(self.cut_away),
            percent(*most),
            name.display(),
            self.half_cut,
            self.pictures
        ))
    }

    /// Notes for somebody who trains: none where pictures nearly have the training size and shape.
    pub fn notes(&self) -> Vec<String> {
        let noted =
            |most: &Option<(f64, PathBuf)>, least| most.as_ref().is_some_and(|(most, _)| *most >= least);
        let enlargement = self.enlargement().filter(|_| noted(&self.most_enlarged, NOTED_FACTOR));
        let cropping = self.cropping().filter(|_| noted(&self.most_cut, NOTED_SHARE));
        enlargement.into_iter().chain(cropping).collect()
    }
}
