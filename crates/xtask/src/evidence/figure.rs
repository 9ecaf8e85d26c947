//! The figure of a world: what each arm gains for regions beside what it costs the whole picture.

use std::fmt::Write;

use fairhuman_evaluate::statistics::mean;

use super::Found;
use super::outcome::{K, LOSSES};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 340.0;
const MARGIN: f64 = 52.0;

/// Two panels, faces and hands: the front of static weights as a line, the other arms as points.
pub(super) fn svg(world: &Found) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH
    );
    for (panel, k) in [1, 2].into_iter().enumerate() {
        let _ = writeln!(text, "<g transform=\"translate({},0)\">", panel as f64 * WIDTH);
        draw(&mut text, world, k);
        text.push_str("</g>\n");
    }
    text + "</svg>\n"
}

/// An arm's name, if it is static, and its mean changes.
type Point = (&'static str, bool, [f64; K]);

fn draw(text: &mut String, world: &Found, k: usize) {
    let over = |row: &super::Row, k: usize| {
        mean(&row.runs.iter().map(|run| run.change()[k]).collect::<Vec<_>>()).mean
    };
    let point = |row: &super::Row| (row.arm.name, row.arm.front, std::array::from_fn(|k| over(row, k)));
    let points: Vec<Point> = world.rows.iter().map(point).collect();
    let range = |k: usize| {
        let values = points.iter().map(|point| point.2[k]).chain([0.0]);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let room = 0.06 * (high - low).max(0.1);
        (low - room, high + room)
    };
    let ((left, right), (low, high)) = (range(0), range(k));
    let x = |value: f64| MARGIN + (value - left) / (right - left) * (WIDTH - 1.5 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - 1.7 * MARGIN);

    let vertical = format!("M{:.1} {:.1}V{:.1}", x(0.0), y(low), y(high));
    let horizontal = format!("M{:.1} {:.1}H{:.1}", x(left), y(0.0), x(right));
    for line in [vertical, horizontal] {
        let _ = writeln!(text, "<path d=\"{line}\" stroke=\"#ccc\" fill=\"none\"/>");
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">change of the global loss, %</text>\n\
         <text x=\"{:.1}\" y=\"18\" font-weight=\"bold\">{}: change of its loss, %</text>",
        WIDTH / 2.0,
        HEIGHT - 12.0,
        MARGIN,
        LOSSES[k]
    );
    for value in [left, right] {
        let anchor = if value == left { "start" } else { "end" };
        let (x, y) = (x(value), HEIGHT - 30.0);
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y}\" fill=\"#666\" text-anchor=\"{anchor}\">{value:+.1}</text>"
        );
    }
    for value in [low, high] {
        let (x, y) = (MARGIN - 6.0, y(value) + 4.0);
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"{y:.1}\" fill=\"#666\" text-anchor=\"end\">{value:+.1}</text>"
        );
    }
    let mut front: Vec<&Point> = points.iter().filter(|point| point.1).collect();
    front.sort_by(|a, b| a.2[0].total_cmp(&b.2[0]));
    let path: Vec<String> = front.iter().map(|p| format!("{:.1} {:.1}", x(p.2[0]), y(p.2[k]))).collect();
    if !path.is_empty() {
        let _ = writeln!(text, "<path d=\"M{}\" stroke=\"#888\" fill=\"none\"/>", path.join("L"));
    }
    for (name, fixed, change) in &points {
        let (x, y) = (x(change[0]), y(change[k]));
        let colour = if *fixed { "#888" } else { "#c2410c" };
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            x + 5.0,
            y + 3.5
        );
    }
}
