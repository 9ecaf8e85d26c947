//! ImageReward beside its architecture in PyTorch (`reference/image_reward_golden.py`).

use std::path::Path;

use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Cpu;
use fairhuman_evaluate::image_reward::ImageReward;

#[test]
fn rewards_agree_although_texts_are_not_padded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image_reward");
    let case = WeightFiles::open_file(&folder.join("case.safetensors")).expect("a case");
    let values = |name: &str| case.get_any_shape(name).expect(name).to_f32();
    let cpu = Cpu::new(1).expect("a backend");
    let model = ImageReward::open(&cpu, &folder).expect("a model");
    let pixels: Vec<Vec<f32>> = values("pixels").chunks_exact(3 * 16 * 16).map(<[f32]>::to_vec).collect();
    let (ids, lengths) = (values("ids"), values("lengths"));
    let texts = ids.chunks_exact(ids.len() / lengths.len()).zip(&lengths);
    let texts: Vec<Vec<u32>> =
        texts.map(|(row, length)| row[..*length as usize].iter().map(|id| *id as u32).collect()).collect();
    let found = model.rewards(&pixels, &texts);
    for (found, expected) in found.iter().zip(values("rewards")) {
        assert!((found / f64::from(expected) - 1.0).abs() < 1e-4, "{found} {expected}");
    }
}
