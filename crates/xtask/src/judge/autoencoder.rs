//! Pictures through a model's autoencoder and back.

use std::path::Path;

use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_engine::{Backend, Cpu, Params, Tape, Var};
use fairhuman_evaluate::drawn::SIDE;

/// Replaces every picture, `[SIDE, SIDE, 3]` in [-1, 1], by what the autoencoder of the folder `model` gives
/// back.
pub(super) fn through(cpu: &Cpu, model: &Path, pictures: &mut [Vec<f32>]) -> anyhow::Result<()> {
    let folder = ModelFolder::open(model)?;
    let autoencoder = AutoencoderKl::load(cpu, &folder.vae(), Trainable::None)?;
    for picture in pictures {
        let (latents, _) = autoencoder.encode_moments(cpu, &cpu.tensor(&[1, SIDE, SIDE, 3], picture))?;
        let params = Params::default();
        let mut tape = Tape::inference(cpu, &params);
        let given_back = autoencoder.decode(&mut tape, &Var::constant(latents))?;
        // As in a file: eight bits.
        let rounded = |v: f32| ((v.clamp(-1.0, 1.0) + 1.0) * 127.5).round() / 127.5 - 1.0;
        *picture = cpu.read(given_back.value()).into_iter().map(rounded).collect();
    }
    Ok(())
}
