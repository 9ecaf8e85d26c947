//! The page for all kinds of runs: complete, incomplete, long, with hostile text.

use crate::runs::{look, page, recipe, run, sections, start, step, text, tree};
use fairhuman_report::{
    Advice, Crop, Grid, Masked, Picture, Region, Report, Row, Run, html, mean_weights, recommendation,
};
use fairhuman_train::events::{Event, StepOutcome};
use image::{GrayImage, Luma, RgbImage};

const THREE: [&str; 3] = ["global", "face", "hand"];

fn all_but(left_out: &[&str]) -> Vec<String> {
    let all = ["held-out", "losses", "weights", "conflict", "gradients", "regions", "cost", "details"];
    all.into_iter().filter(|id| !left_out.contains(id)).map(str::to_owned).collect()
}

/// The rows of the held-out table: name, and the cells that are marked as lowest.
fn marks(page: &str) -> Vec<(String, Vec<usize>)> {
    tree(page, |doc| {
        let section = doc.descendants().find(|n| n.attribute("id") == Some("held-out")).unwrap();
        let rows = section.descendants().filter(|n| n.has_tag_name("tr")).skip(1);
        let row = |row: roxmltree::Node<'_, '_>| {
            let cells: Vec<_> = row.children().filter(|n| n.has_tag_name("td")).collect();
            let marked = |cell: &roxmltree::Node<'_, '_>| {
                cell.descendants().any(|n| n.attribute("class") == Some("mark"))
            };
            // The first cell is the common beginning, where there is one.
            let skip = usize::from(cells.len() > 2);
            let marked =
                cells[skip..].iter().enumerate().filter(|(_, c)| marked(c)).map(|(i, _)| i).collect();
            (text(row.first_child().unwrap()), marked)
        };
        rows.map(row).filter(|(name, _)| name != "Gained least").collect()
    })
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_is_well_formed() {
    let mut report = Report::new("Everything");
    report.summary.push("What was done.".into());
    report.runs = vec![
        run("plain", &THREE, 60, &[1.0; 3], &[0.8, 0.9, 1.1]),
        run("fair", &THREE, 60, &[1.0; 3], &[0.9, 0.7, 0.8]),
    ];
    let mask = GrayImage::from_fn(40, 40, |x, y| Luma([if x > 20 && y > 30 { 255 } else { 0 }]));
    report.runs[0].pictures.push(Masked {
        name: "images/1.png".into(),
        caption: "a woman".into(),
        held_out: true,
        image: RgbImage::new(40, 40),
        regions: vec![Region { name: "hand".into(), mask }],
    });
    let mut picture = Picture::new(32, 32, vec![7; 32 * 32 * 3]).unwrap();
    picture.crops.push(Crop::new("face", 2, 2, 8, 8));
    report.grids.push(Grid {
        title: "Side by side".into(),
        text: String::new(),
        columns: vec!["base".into(), "fair".into()],
        rows: vec![Row { label: "a man".into(), cells: vec![Some(picture), None] }],
    });
    report.next.push(Advice { text: "Go on:".into(), command: Some("fairhuman train x.toml".into()) });
    let page = html(&report);
    tree(&page, |doc| {
        let mut images = 0;
        for node in doc.descendants().filter(|n| n.is_element()) {
            for attribute in node.attributes().filter(|a| ["src", "href"].contains(&a.name())) {
                assert!(attribute.value().starts_with("data:"), "{attribute:?}");
            }
            images += usize::from(node.has_tag_name("img"));
        }
        // A picture with its face; a dataset picture with its mask and its hand.
        assert_eq!(images, 5);
        assert!(doc.descendants().filter(|n| n.tag_name().name() == "svg").count() >= 12);
    });
    let expected = [
        "held-out",
        "pictures-1",
        "losses",
        "weights",
        "conflict",
        "gradients",
        "regions",
        "masks",
        "cost",
        "next",
        "details",
    ];
    assert_eq!(sections(&page), expected);
}

#[test]
fn the_lowest_is_marked_where_that_is_clear_and_means_something() {
    let plain = run("plain", &THREE, 20, &[1.0; 3], &[0.80, 0.90, 0.9000]);
    let fair = run("fair", &THREE, 20, &[1.0; 3], &[0.85, 0.70, 0.9001]);
    let lowest = |name: &str, marked: &[usize]| (name.to_owned(), marked.to_vec());
    let both = page(vec![plain.clone(), fair.clone()]);
    assert_eq!(marks(&both), [lowest("global", &[0]), lowest("face", &[1]), lowest("hand", &[])]);
    assert!(both.contains("plain for global; fair for face"), "the same in words");

    let worse = run("fair", &THREE, 20, &[1.0; 3], &[0.85, 0.95, 0.95]);
    assert!(
        page(vec![plain.clone(), worse]).contains("fair is lowest for none"),
        "a method that does not win"
    );

    // Another scale is another loss.
    let mut scaled = fair.clone();
    scaled.recipe = recipe(&THREE, 5.0);
    let apart = page(vec![plain.clone(), scaled]);
    assert!(marks(&apart).iter().all(|(_, marked)| marked.is_empty()) && apart.contains("differently"));

    // One alone is compared with itself only.
    assert!(marks(&page(vec![fair])).iter().all(|(_, marked)| marked.is_empty()));
    let single = run("single", &["global"], 20, &[1.0], &[0.7]);
    let mixed = page(vec![plain, single]);
    assert_eq!(marks(&mixed)[..2], [lowest("global", &[1]), lowest("face", &[])], "only one has a face");
}

#[test]
fn runs_with_little_in_them_have_the_sections_that_they_can_have() {
    let bare = ["losses", "weights", "conflict", "gradients", "regions", "cost"];
    let nothing = Run { name: "empty".into(), ..Run::default() };
    assert_eq!(sections(&page(vec![nothing])), all_but(&bare));
    let begun = Run { events: vec![start(&THREE)], ..Run::default() };
    assert_eq!(sections(&page(vec![begun])), all_but(&bare));
    assert_eq!(sections(&page(Vec::new())), ["details"]);

    let short = page(vec![run("short", &THREE, 1, &[1.0; 3], &[0.5; 3])]);
    assert!(short.contains("1 step, done") && !short.contains("1 steps"));

    let one = run("one", &["global"], 30, &[1.0], &[0.5]);
    assert_eq!(
        sections(&page(vec![one])),
        all_but(&["weights", "conflict"]),
        "one objective conflicts with nothing"
    );

    let names: Vec<String> = (0..10).map(|i| format!("region{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ten = page(vec![
        run("ten", &names, 30, &[1.0; 10], &[0.5; 10]),
        run("more", &names, 30, &[1.0; 10], &[0.6; 10]),
    ]);
    assert_eq!(sections(&ten), all_but(&[]));
    let matrices =
        tree(&ten, |doc| doc.descendants().filter(|n| n.attribute("class") == Some("matrix")).count());
    assert_eq!(matrices, 2, "45 pairs are a matrix for each run");
}

#[test]
fn absent_regions_refused_steps_and_numbers_that_are_none_leave_gaps() {
    let mut odd = run("odd", &THREE, 40, &[1.0, f64::NAN, 0.0], &[0.5, f64::NAN, 0.0]);
    for event in &mut odd.events {
        match event {
            Event::Step(step) => {
                step.present[2] = 0;
                (step.weights[2], step.area[2], step.losses[1]) = (0.0, 0.0, f64::NAN);
                if step.step == 7 {
                    step.outcome = StepOutcome::Refused("loss of face is NaN in a.png".into());
                    for list in [
                        &mut step.losses,
                        &mut step.weights,
                        &mut step.gram,
                        &mut step.cosines,
                        &mut step.area,
                    ] {
                        list.clear();
                    }
                    step.present.clear();
                    (step.grad_norm, step.clip) = (None, None);
                }
            }
            Event::Validation(v) => v.present[2] = 0,
            _ => {}
        }
    }
    let page = page(vec![odd]);
    assert!(page.contains("loss of face is NaN in a.png") && page.contains("No picture had hand"));
    tree(&page, |doc| {
        for node in doc.descendants() {
            let drawn = node.attribute("d").or(node.attribute("style")).unwrap_or_default();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
        let rows = doc.descendants().find(|n| n.attribute("id") == Some("held-out")).unwrap();
        let names: Vec<_> =
            rows.descendants().filter(|n| n.attribute("scope") == Some("row")).map(text).collect();
        assert_eq!(names, ["global"], "an objective without numbers has no row");
    });
}

#[test]
fn a_method_without_weights_has_its_losses_cosines_and_norms() {
    let mut elementwise = run("elementwise", &THREE, 20, &[1.0; 3], &[0.5; 3]);
    for event in &mut elementwise.events {
        if let Event::Step(step) = event {
            step.weights.clear();
            step.rates.clear();
        }
    }
    let alone = page(vec![elementwise.clone()]);
    assert_eq!(sections(&alone), all_but(&[]));
    assert!(alone.contains("This method has no weights."));

    let weighted = run("weighted", &THREE, 20, &[1.0; 3], &[0.6; 3]);
    assert!(!page(vec![weighted.clone()]).contains("element by element"));
    let both = page(vec![weighted, elementwise]);
    assert_eq!(sections(&both), all_but(&[]));
    assert!(both.contains("Without weights: elementwise."));
}

#[test]
fn steps_without_the_gradients_of_all_objectives_are_no_gaps_in_norms_and_cosines() {
    let mut sparse = run("sparse", &THREE, 40, &[1.0; 3], &[0.5; 3]);
    for event in &mut sparse.events {
        if let Event::Step(step) = event
            && step.step % 10 != 1
        {
            (step.gram, step.cosines, step.rates) = (Vec::new(), Vec::new(), Vec::new());
            step.weights_of = Some(step.step / 10 * 10 + 1);
        }
    }
    let page = page(vec![sparse]);
    assert_eq!(sections(&page), all_but(&[]));
    for id in ["gradients", "conflict"] {
        tree(&page, |doc| {
            let section = doc.descendants().find(|n| n.attribute("id") == Some(id)).unwrap();
            let drawn = section.descendants().filter(|n| n.attribute("d").is_some_and(|d| d.contains('L')));
            assert!(drawn.count() >= 3, "{id} has no lines");
        });
    }
}

#[test]
fn the_mean_of_changing_weights_is_a_line_for_a_recipe() {
    let with = |weights: &dyn Fn(u64) -> Vec<f64>| {
        let mut run = run("one", &THREE, 4, &[1.0; 3], &[0.5; 3]);
        for event in &mut run.events {
            if let Event::Step(step) = event {
                step.weights = weights(step.step);
                (0..3).for_each(|i| step.present[i] = usize::from(step.weights[i] > 0.0));
            }
        }
        run
    };
    // Shares .75 .25 0 and .5 .25 .25 by turns, of another size; hands are there every other time.
    let changing = with(&|step| {
        let size = step as f64;
        if step % 2 == 0 { vec![3.0 * size, size, 0.0] } else { vec![2.0 * size, size, size] }
    });
    let mean = mean_weights(&changing).unwrap();
    let expected = [0.625 / 1.125, 0.25 / 1.125, 0.25 / 1.125];
    assert!(mean.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{mean:?}");
    let line = "weighting = { kind = \"fixed\", weights = [0.556, 0.222, 0.222] }";
    assert_eq!(recommendation(&changing).unwrap(), line);
    assert!(page(vec![changing]).contains("weights = [0.556, 0.222, 0.222] }"));
    assert_eq!(mean_weights(&with(&|_| vec![1.0, 2.0, 0.5])), None, "they never change");
    assert_eq!(mean_weights(&with(&|step| vec![1.0, step as f64, 0.0])), None, "nothing is known of hands");
    assert_eq!(
        mean_weights(&with(&|step| vec![-1.0, step as f64, 1.0])),
        None,
        "fixed ones are not negative"
    );
}

#[test]
fn a_run_is_introduced_with_its_weighting() {
    let with = |weighting: &str| {
        let mut run = run("one", &THREE, 3, &[1.0; 3], &[0.5; 3]);
        run.recipe = run.recipe.replace("kind = \"alpha-fair\"\nalpha = 2.0", weighting);
        page(vec![run])
    };
    for (weighting, words) in [
        ("kind = \"alpha-fair\"\nalpha = 2.0", "Minimum Potential Delay (alpha 2) over global"),
        ("kind = \"alpha-fair\"\nalpha = inf", "max-min over global"),
        ("kind = \"linear\"", "plain sum over global"),
        ("kind = \"fixed\"\nweights = [1.0, 0.5, 0.0]", "fixed weights [1, 0.5, 0] over global"),
        ("kind = \"rlw\"", "random weights over global"),
        ("kind = \"graddrop\"", "GradDrop over global"),
        ("kind = \"of another program\"", "trained over global"),
    ] {
        assert!(with(weighting).contains(words), "{weighting}");
    }
}

#[test]
fn a_long_run_is_a_small_file() {
    let long = run("long", &THREE, 50_000, &[1.0; 3], &[0.5; 3]);
    let page = page(vec![long.clone().named("a"), long]);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    tree(&page, |_| ());
}

#[test]
fn text_from_files_stays_text() {
    let hostile = "<script>alert(1)</script> & \"quotes\" 'and' \u{0}\u{1b}\u{202e}</style>";
    let shown = hostile.replace(['\u{0}', '\u{1b}'], "\u{fffd}");
    let names = [hostile, "face"];
    let mut report = Report::new(hostile);
    report.summary.push(hostile.into());
    let mut run = run(hostile, &names, 12, &[1.0; 2], &[0.5; 2]);
    run.recipe = format!("# {hostile}");
    run.notes.push(hostile.into());
    run.pictures.push(Masked {
        name: hostile.into(),
        caption: hostile.into(),
        held_out: false,
        image: RgbImage::new(9, 9),
        regions: vec![Region { name: hostile.into(), mask: GrayImage::from_pixel(9, 9, Luma([255])) }],
    });
    report.runs = vec![run.clone().named("other"), run];
    let picture = Picture { image: RgbImage::new(9, 9), crops: vec![Crop::new(hostile, 0, 0, 9, 9)] };
    report.grids.push(Grid {
        title: hostile.into(),
        text: hostile.into(),
        columns: vec![hostile.into()],
        rows: vec![Row { label: hostile.into(), cells: vec![Some(picture)] }],
    });
    report.next.push(Advice { text: hostile.into(), command: Some(hostile.into()) });
    report.about.push((hostile.into(), hostile.into()));
    let page = html(&report);
    tree(&page, |doc| {
        assert_eq!(doc.descendants().filter(|n| n.has_tag_name("script")).count(), 1, "ours");
        let heading = doc.descendants().find(|n| n.has_tag_name("h1")).unwrap();
        assert_eq!(text(heading), shown);
        assert!(doc.descendants().any(|n| n.attribute("alt").is_some_and(|alt| alt.contains(&shown))));
    });
}

#[test]
fn the_held_out_losses_of_a_run_in_progress_are_there() {
    let mut events = vec![start(&THREE), look(0, &[1.0; 3])];
    events.extend((1..=3).map(|s| Event::Step(Box::new(step(s, vec![1.0; 3])))));
    let page = page(vec![Run { name: "now".into(), events, ..Run::default() }]);
    assert!(page.contains("step 3 of 9: in progress"));
    assert_eq!(sections(&page), all_but(&[]));
}
