//! Distances of sets beside numpy (`reference/evaluate_golden.py`), and DINOv2 beside transformers.

use std::path::Path;

use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Cpu;
use fairhuman_evaluate::dino::Dino;
use fairhuman_evaluate::sets::{Features, cmmd, frechet, kid};

/// The matrices of the script.
fn features(n: usize, m: usize) -> (Features, Features) {
    let x = |i: usize, j: usize| {
        let (i, j) = (i as f64, j as f64);
        (0.7 * i + 1.3 * j + 0.1 * i * j).sin() as f32
    };
    let y = |k: usize, j: usize| {
        let (k, j) = (k as f64, j as f64);
        (1.2 * (0.5 * k + 0.9 * j + 0.05 * k * j).cos() + 0.1) as f32
    };
    let rows = |count: usize, value: &dyn Fn(usize, usize) -> f32| -> Features {
        (0..count).map(|i| (0..5).map(|j| value(i, j)).collect()).collect()
    };
    (rows(n, &x), rows(m, &y))
}

fn near(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-5)
}

#[test]
fn distances_are_numpys() {
    let (x, y) = features(12, 10);
    assert!(near(frechet(&x, &y), 2.232_945_933_827), "{:?}", frechet(&x, &y));
    assert!(near(kid(&x, &y).map(|kid| kid.value), 0.108_925_379_909), "{:?}", kid(&x, &y));
    assert!(near(cmmd(&x, &y), 0.460_323_612_937), "{:?}", cmmd(&x, &y));
    // More rows than columns, and fewer.
    let (high, other) = features(40, 30);
    assert!(near(frechet(&high, &other), 0.621_658_884_681));
    let few = |set: &Features| set[..4].to_vec();
    assert!(near(frechet(&few(&x), &few(&y)), 1.512_027_263_529));
}

#[test]
fn a_set_is_at_no_distance_from_itself_and_sets_of_one_have_none() {
    let (x, y) = features(12, 10);
    assert!(frechet(&x, &x).expect("a distance").abs() < 1e-9);
    assert!(cmmd(&y, &y).expect("a distance").abs() < 1e-9);
    let one = vec![x[0].clone()];
    assert_eq!((frechet(&one, &y), kid(&x, &one), cmmd(&Vec::new(), &y)), (None, None, None));
}

#[test]
fn dino_agrees_with_transformers_at_another_size_than_it_was_trained_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dino");
    let case = WeightFiles::open_file(&folder.join("case.safetensors")).expect("a case");
    let cpu = Cpu::new(1).expect("a backend");
    for side in [28, 35] {
        let dino = Dino::open(&cpu, &folder, side).expect("a model");
        let pixels = case.get_any_shape(&format!("pixels{side}")).expect("pixels").to_f32();
        let pixels: Vec<Vec<f32>> = pixels.chunks_exact(3 * side * side).map(<[f32]>::to_vec).collect();
        let found = dino.features_of_values(&pixels).concat();
        let expected = case.get_any_shape(&format!("class{side}")).expect("tokens").to_f32();
        let most = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let apart = found.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(found.len() == expected.len() && apart / most < 1e-4, "{side} pixels: {apart} of {most}");
    }
    let error = Dino::open(&cpu, &folder, 30).err().expect("refused").to_string();
    assert!(error.contains("patches of 7 do not divide 30 pixels"), "{error}");
}
