//! The Inception network of FID beside pytorch-fid's architecture (`reference/inception_golden.py`), with a
//! sixteenth of its channels.

use std::path::Path;

use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Cpu;
use fairhuman_evaluate::inception::{Inception, clean};

use crate::clip::{deviation, picture};

#[test]
fn features_and_clean_pictures_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inception");
    let case = WeightFiles::open_file(&folder.join("case.safetensors")).expect("a case");
    let values = |name: &str| case.get_any_shape(name).expect(name).to_f32();
    let cpu = Cpu::new(1).expect("a backend");
    let model = Inception::open(&cpu, &folder.join("model.safetensors")).expect("a model");
    let pixels: Vec<Vec<f32>> = values("pixels").chunks_exact(79 * 79 * 3).map(<[f32]>::to_vec).collect();
    let found = model.features_of_values(&pixels, 79).concat();
    assert!(deviation(&found, &values("features")) < 1e-4);
    assert!(deviation(&clean(&picture(), 40), &values("clean")) < 1e-5);
}
