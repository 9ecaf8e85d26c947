//! The figure of the model: efficiency over the number of cards.

use std::fmt::Write;

use super::model::{Algorithm, CARDS, Form, Network, Work, efficiency};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 48.0;
const COLOURS: [&str; 3] = ["#0f766e", "#c2410c", "#4338ca"];

/// Two panels, a network each: with overlap as lines, without as dashes.
pub(super) fn svg(works: &[Work]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH
    );
    let panels = [
        (Network::Ethernet, "8 cards a machine, 100 Gb/s between machines"),
        (Network::NvLink, "NVLink between all cards"),
    ];
    for (panel, (network, title)) in panels.into_iter().enumerate() {
        let _ = writeln!(text, "<g transform=\"translate({},0)\">", panel as f64 * WIDTH);
        draw(&mut text, works, network, title);
        text.push_str("</g>\n");
    }
    text + "</svg>\n"
}

/// From left to right.
fn x(i: usize) -> f64 {
    MARGIN + i as f64 / (CARDS.len() - 1) as f64 * (WIDTH - 1.5 * MARGIN)
}

/// From the bottom, 0, to the top, 1.
fn y(efficiency: f64) -> f64 {
    HEIGHT - MARGIN - efficiency * (HEIGHT - 2.0 * MARGIN)
}

fn draw(text: &mut String, works: &[Work], network: Network, title: &str) {
    let _ = writeln!(text, "<text x=\"{MARGIN}\" y=\"20\" font-weight=\"bold\">{title} (estimate)</text>");
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            text,
            "<path d=\"M{MARGIN} {at:.1}H{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#666\" text-anchor=\"end\">{percent} %</text>",
            x(CARDS.len() - 1),
            MARGIN - 5.0,
            at + 4.0
        );
    }
    for (i, cards) in CARDS.iter().enumerate() {
        let at = HEIGHT - MARGIN + 15.0;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{at}\" fill=\"#666\" text-anchor=\"middle\">{cards}</text>",
            x(i)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">cards</text>",
        WIDTH / 2.0,
        HEIGHT - 12.0
    );
    for (work, colour) in works.iter().zip(COLOURS) {
        for (overlap, dashes) in [(true, "none"), (false, "5 4")] {
            let at = |(i, &cards): (usize, &u32)| {
                let efficiency =
                    efficiency(work, Form::Sharded, (network, Algorithm::Tree), cards.into(), overlap);
                format!("{:.1} {:.1}", x(i), y(efficiency))
            };
            let points: Vec<_> = CARDS.iter().enumerate().map(at).collect();
            let _ = writeln!(
                text,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\"/>",
                points.join("L")
            );
        }
    }
    for (i, (work, colour)) in works.iter().zip(COLOURS).enumerate() {
        let at = MARGIN + i as f64 * 118.0;
        let _ = writeln!(text, "<text x=\"{at:.1}\" y=\"36\" fill=\"{colour}\">{}</text>", work.name);
    }
}
