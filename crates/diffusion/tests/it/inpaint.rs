//! Inpainting: against diffusers' pipelines and a loop in PyTorch (reference/inpaint_golden.py), and what
//! stays.

use std::path::Path;

use fairhuman_diffusion::generate::{self, GenerateError, Inpainting, Picture, Settings};
use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, DType, Params};
use tempfile::TempDir;

use crate::golden::{assert_close, channels_last, folder, get};
use crate::pictures::copy;

struct World {
    _place: TempDir,
    backend: Cpu,
    pipeline: Pipeline<Cpu>,
    golden: WeightFiles,
    clean: Vec<f32>,
    noise: Vec<f32>,
    /// Of pixels.
    mask: Vec<f32>,
    blanked: Vec<f32>,
}

const SETTINGS: Settings = Settings {
    sampler: Sampler::Ddim,
    steps: 5,
    guidance: 3.0,
    guidance_rescale: 0.0,
    width: 18,
    height: 12,
    seed: 0,
};

impl World {
    /// The small model, with its U-Net or the one for inpainting.
    fn new(nine: bool) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let place = tempfile::tempdir().unwrap();
        copy(&data.join("sampler/sd"), place.path());
        copy(&data.join("tokenizer/tokenizer"), &place.path().join("tokenizer"));
        if nine {
            copy(&data.join("inpaint/unet"), &place.path().join("unet"));
        }
        let backend = Cpu::new(2).unwrap();
        let pipeline = Pipeline::open(&backend, place.path()).unwrap();
        let golden = WeightFiles::open_file(&folder("inpaint", "case.safetensors")).unwrap();
        let values = |name: &str| channels_last(&get(&golden, name)).values;
        let (noise, mask) = (values("noise"), values("mask"));
        let picture: Vec<f32> = values("picture").iter().map(|v| 2.0 * v - 1.0).collect();
        let encode = |pixels: &[f32]| {
            let tensor = backend.tensor(&[1, 12, 18, 3], pixels);
            generate::encode(&backend, &pipeline.vae, &tensor).unwrap()
        };
        let (clean, blanked) = (encode(&picture), encode(&generate::blank(&picture, &mask)));
        Self { _place: place, backend, pipeline, golden, clean, noise, mask, blanked }
    }

    fn latents(
        &self,
        settings: &Settings,
        mask: &[f32],
        strength: f64,
        count: usize,
    ) -> Result<Vec<f32>, GenerateError> {
        let prompt = "a photo of a woman waving with an open hand".to_owned();
        let picture = |index| Picture { prompt: prompt.clone(), negative: None, index };
        let pictures: Vec<Picture> = (0..count as u64).map(picture).collect();
        let (clean, blanked) = (self.clean.repeat(count), self.blanked.repeat(count));
        let inpainting =
            Inpainting { clean: &clean, mask: &mask.repeat(count), blanked: Some(&blanked), strength };
        let (parts, params) = (self.pipeline.parts(), Params::default());
        let noise = self.noise.repeat(count);
        let given = (&inpainting, noise.as_slice());
        generate::inpaint_latents(&self.backend, &parts, &params, settings, &pictures, given, &mut |_| {})
    }

    fn assert_golden(&self, name: &str, found: &[f32]) {
        assert_close(name, found, &channels_last(&get(&self.golden, name)).values, 1e-3);
    }

    fn latent_mask(&self) -> Vec<f32> {
        generate::latent_mask(&self.mask, (18, 12), 2)
    }
}

#[test]
fn latents_are_those_of_diffusers_pipeline_where_the_mask_is_zero_or_one() {
    let world = World::new(false);
    world.assert_golden("ddim", &world.latents(&SETTINGS, &world.latent_mask(), 0.75, 1).unwrap());
}

#[test]
fn a_model_for_inpainting_sees_mask_and_blanked_picture() {
    let world = World::new(true);
    assert!(generate::inpaints(&world.pipeline.parts()));
    world.assert_golden("nine", &world.latents(&SETTINGS, &world.latent_mask(), 0.75, 1).unwrap());
    // Without a mask there is nothing to show it.
    let (parts, params) = (world.pipeline.parts(), Params::default());
    let pictures = [Picture { prompt: "a man".into(), negative: None, index: 0 }];
    let made =
        generate::generate(&world.backend, &parts, &params, &SETTINGS, &pictures, &mut |_| {}).unwrap_err();
    assert!(made.to_string().contains("--mask"), "{made}");
}

#[test]
fn soft_masks_follow_the_loop_of_pytorch_with_multistep_samplers() {
    let world = World::new(false);
    let soft = channels_last(&get(&world.golden, "soft")).values;
    for sampler in [Sampler::UniPc, Sampler::DpmPp2m, Sampler::Euler] {
        let settings = Settings { sampler, steps: 6, ..SETTINGS };
        world.assert_golden(&format!("loop.{sampler}"), &world.latents(&settings, &soft, 0.7, 1).unwrap());
    }
}

#[test]
fn latents_are_the_pictures_own_where_the_mask_is_zero() {
    let world = World::new(false);
    let mask = world.latent_mask();
    for sampler in Sampler::ALL {
        let found = world.latents(&Settings { sampler, ..SETTINGS }, &mask, 0.9, 1).unwrap();
        let mut painted = 0;
        for (i, (found, clean)) in found.iter().zip(&world.clean).enumerate() {
            match mask[i / 4] {
                0.0 => assert!((found - clean).abs() < 1e-5, "{sampler}: {found} for {clean}"),
                _ => painted += usize::from((found - clean).abs() > 1e-3),
            }
        }
        assert!(painted > 50, "{sampler}: {painted} values changed");
    }
    assert_eq!(world.latents(&SETTINGS, &mask, 0.0, 1).unwrap(), world.clean, "nothing is walked");
}

#[test]
fn several_pictures_are_painted_as_each_alone() {
    let world = World::new(false);
    let alone = world.latents(&SETTINGS, &world.latent_mask(), 0.75, 1).unwrap();
    assert_eq!(world.latents(&SETTINGS, &world.latent_mask(), 0.75, 3).unwrap(), alone.repeat(3));
}

#[test]
fn a_mask_of_another_size_is_told() {
    let world = World::new(false);
    let error = world.latents(&SETTINGS, &[1.0; 7], 0.75, 1).unwrap_err().to_string();
    assert!(error.contains("mask") && error.contains("has 7 values, expected 54"), "{error}");
}

#[test]
fn sdxl_is_inpainted_as_by_diffusers_pipeline() {
    let model = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F32, 7, model.path()).unwrap();
    let backend = Cpu::new(2).unwrap();
    let pipeline = Pipeline::open(&backend, model.path()).unwrap();
    let golden = WeightFiles::open_file(&folder("inpaint", "sdxl.safetensors")).unwrap();
    let values = |name: &str| channels_last(&get(&golden, name)).values;
    let picture: Vec<f32> = values("picture").iter().map(|v| 2.0 * v - 1.0).collect();
    let pixels = backend.tensor(&[1, 48, 64, 3], &picture);
    let clean = generate::encode(&backend, &pipeline.vae, &pixels).unwrap();
    let mask = generate::latent_mask(&values("mask"), (64, 48), 8);
    let inpainting = Inpainting { clean: &clean, mask: &mask, blanked: None, strength: 0.6 };
    let settings = Settings {
        sampler: Sampler::Ddim,
        steps: 5,
        guidance: 7.5,
        guidance_rescale: 0.0,
        width: 64,
        height: 48,
        seed: 0,
    };
    let pictures = [Picture {
        prompt: "a photo of a woman waving with an open hand".into(),
        negative: Some("blurry, extra fingers".into()),
        index: 0,
    }];
    let (params, noise) = (Params::default(), values("noise"));
    let given = (&inpainting, noise.as_slice());
    let (parts, show) = (pipeline.parts(), &mut |_| {});
    let found =
        generate::inpaint_latents(&backend, &parts, &params, &settings, &pictures, given, show).unwrap();
    assert_close("ddim", &found, &values("ddim"), 1e-3);
}
