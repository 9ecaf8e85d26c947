//! Autoencoders against diffusers. The golden files are made by reference/vae_golden.py.

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, DType, Params, Tape, Var};

fn check(case: &str) {
    let (backend, folder) = (Cpu::new(2).unwrap(), folder("vae", case));
    let file = open(&folder);
    let vae = AutoencoderKl::load(&backend, &folder.join("vae"), Trainable::None).unwrap();
    let image = |name: &str| channels_last(&get(&file, name));

    let (mean, log_variance) = vae.encode_moments(&backend, &tensor(&backend, &image("pictures"))).unwrap();
    assert_eq!(Cpu::shape(&mean), image("mean").shape);
    assert_close("mean", &backend.read(&mean), &image("mean").values, 1e-4);
    assert_close("log-variance", &log_variance, &image("log_variance").values, 1e-4);

    let params = Params::default();
    let latents = Var::constant(tensor(&backend, &image("latents")));
    let decoded = vae.decode(&mut Tape::new(&backend, &params, false), &latents).unwrap();
    assert_eq!(decoded.shape(), image("decoded").shape);
    assert_close("decoded", &backend.read(decoded.value()), &image("decoded").values, 1e-4);
}

#[test]
fn an_autoencoder_of_three_stages_equals_diffusers() {
    check("sd");
}

#[test]
fn attention_layers_of_old_folders_are_found_under_their_old_names() {
    check("old");
}

#[test]
fn a_decoder_that_was_trained_in_an_old_folder_is_written_under_todays_names() {
    let (backend, base) = (Cpu::new(1).unwrap(), folder("vae", "old").join("vae"));
    let mut params = Params::default();
    let parts = Trainable::Parts(&mut params, &AutoencoderKl::<Cpu>::DECODER);
    let trained = AutoencoderKl::load(&backend, &base, parts).unwrap();
    let written = tempfile::tempdir().unwrap();
    trained
        .layers()
        .write(&backend, &params, &base, written.path(), "diffusion_pytorch_model", DType::F32)
        .unwrap();
    let files = WeightFiles::open(written.path()).unwrap();
    for half in ["encoder", "decoder"] {
        assert!(files.contains(&format!("{half}.mid_block.attentions.0.to_out.0.weight")));
        assert!(!files.contains(&format!("{half}.mid_block.attentions.0.proj_attn.weight")));
    }
    std::fs::copy(base.join("config.json"), written.path().join("config.json")).unwrap();
    AutoencoderKl::load(&backend, written.path(), Trainable::None).unwrap();
}

#[test]
fn an_autoencoder_without_attention_and_outer_convolutions_equals_diffusers_at_odd_sizes() {
    check("bare");
}

#[test]
fn pictures_and_latents_of_wrong_shape_are_refused() {
    let backend = Cpu::new(1).unwrap();
    let vae = AutoencoderKl::load(&backend, &folder("vae", "sd").join("vae"), Trainable::None).unwrap();
    let params = Params::default();
    let mut tape = Tape::new(&backend, &params, false);
    let gray = Var::constant(backend.zeros(&[1, 16, 16, 1]));
    assert!(
        vae.encode(&mut tape, &gray).err().unwrap().to_string().contains("pictures has shape [1, 16, 16, 1]")
    );
    let latents = Var::constant(backend.zeros(&[1, 2, 2, 3]));
    assert!(
        vae.decode(&mut tape, &latents).err().unwrap().to_string().contains("latents has shape [1, 2, 2, 3]")
    );
}
