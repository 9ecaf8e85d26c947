//! Autoencoders against diffusers. The golden files are made by reference/vae_golden.py.

use crate::golden::{assert_close, channels_last, folder, get, open, tensor};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};
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
fn a_weight_that_is_not_a_number_is_named_when_a_picture_is_encoded() {
    let (backend, base) = (Cpu::new(1).unwrap(), folder("vae", "sd").join("vae"));
    let place = tempfile::tempdir().unwrap();
    std::fs::copy(base.join("config.json"), place.path().join("config.json")).unwrap();
    let files = WeightFiles::open(&base).unwrap();
    let damaged = "encoder.conv_norm_out.bias";
    let tensors: Vec<_> = files
        .names()
        .map(|name| {
            let data = files.get_any_shape(name).unwrap();
            let mut values = data.to_f32();
            if name == damaged {
                values[1] = f32::NAN;
            }
            (name, data.shape().to_vec(), values)
        })
        .collect();
    let tensors = tensors.iter().map(|(name, s, v)| ((*name).to_owned(), TensorBytes::f32(s, v)));
    let file = place.path().join("diffusion_pytorch_model.safetensors");
    write_safetensors(&file, &tensors.collect(), &Default::default()).unwrap();
    let vae = AutoencoderKl::load(&backend, place.path(), Trainable::None).unwrap();
    let error = vae.encode_moments(&backend, &backend.zeros(&[1, 16, 16, 3])).err().unwrap().to_string();
    for word in [&file.display().to_string(), damaged, "NaN at element 1", "damaged"] {
        assert!(error.contains(word), "{error}");
    }
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
