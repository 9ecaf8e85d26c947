//! Control networks in the sampling loop: against diffusers' pipelines (reference/control_golden.py), and
//! what does not run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fairhuman_diffusion::control::Control;
use fairhuman_diffusion::generate::{self, GenerateError, Guide, Picture, Settings};
use fairhuman_diffusion::pipeline::{Parts, Pipeline};
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Cpu, Params};
use tempfile::TempDir;

use crate::golden::{assert_close, channels_last, folder, get};
use crate::pictures::copy;

/// The model of reference/sampler_golden.py and the networks for it.
struct World {
    backend: Cpu,
    pipeline: Pipeline<Cpu>,
    golden: WeightFiles,
    _folder: TempDir,
}

fn world() -> World {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let model = tempfile::tempdir().unwrap();
    copy(&data.join("sampler/sd"), model.path());
    copy(&data.join("tokenizer/tokenizer"), &model.path().join("tokenizer"));
    let backend = Cpu::new(2).unwrap();
    let pipeline = Pipeline::open(&backend, model.path()).unwrap();
    let golden = folder("control", "pictures").join("case.safetensors");
    World { backend, pipeline, golden: WeightFiles::open_file(&golden).unwrap(), _folder: model }
}

const SETTINGS: Settings = Settings {
    sampler: Sampler::Ddim,
    steps: 4,
    guidance: 3.0,
    guidance_rescale: 0.0,
    width: 20,
    height: 12,
    seed: 0,
};

impl World {
    fn network(&self, name: &str) -> Control<Cpu> {
        let path = folder("control", "pictures").join(name);
        Control::load(&self.backend, &path, &self.pipeline.folder.unet(), 2).unwrap()
    }

    /// The control image `which` for pictures 0 and 1.
    fn images(&self, which: usize) -> BTreeMap<u64, Arc<[f32]>> {
        let all = channels_last(&get(&self.golden, "images")).values;
        let each = all.len() / 2;
        let image: Arc<[f32]> = all[which * each..(which + 1) * each].into();
        BTreeMap::from([(0, image.clone()), (1, image)])
    }

    fn latents(&self, guides: &[Guide<'_, Cpu>], pictures: u64) -> Result<Vec<f32>, GenerateError> {
        let prompt = "a photo of a woman waving with an open hand";
        let picture = |index| Picture { prompt: prompt.into(), negative: None, index };
        let pictures: Vec<Picture> = (0..pictures).map(picture).collect();
        let noise = channels_last(&get(&self.golden, "noise")).values.repeat(pictures.len());
        let (parts, params) = (Parts { guides, ..self.pipeline.parts() }, Params::default());
        generate::latents(&self.backend, &parts, &params, &SETTINGS, &pictures, &noise, &mut |_| {})
    }

    fn assert_golden(&self, name: &str, guides: &[Guide<'_, Cpu>]) {
        let expected = channels_last(&get(&self.golden, name)).values;
        // Two pictures of one control image side by side are twice the same.
        for latents in self.latents(guides, 2).unwrap().chunks(expected.len()) {
            assert_close(name, latents, &expected, 1e-3);
        }
    }
}

fn guide<'a>(
    network: &'a Control<Cpu>,
    images: &'a BTreeMap<u64, Arc<[f32]>>,
    weight: f32,
    span: (f64, f64),
) -> Guide<'a, Cpu> {
    Guide { network: network.by_ref(), images, types: &[], weight, span, guess: false }
}

#[test]
fn latents_with_control_networks_are_those_of_diffusers_pipelines() {
    let world = world();
    let nets = [world.network("controlnet"), world.network("controlnet_1")];
    let (adapter, images) = (world.network("adapter"), [world.images(0), world.images(1)]);
    world.assert_golden("plain", &[]);
    world.assert_golden("span", &[guide(&nets[0], &images[0], 0.8, (0.25, 0.75))]);
    let first = guide(&nets[0], &images[0], 0.8, (0.0, 0.5));
    world.assert_golden("two", &[first, guide(&nets[1], &images[1], 0.5, (0.5, 1.0))]);
    let guess = Guide { guess: true, ..guide(&nets[0], &images[0], 0.9, (0.0, 1.0)) };
    world.assert_golden("guess", &[guess]);
    world.assert_golden("adapter", &[guide(&adapter, &images[0], 0.7, (0.0, 1.0))]);
}

#[test]
fn a_network_of_weight_zero_or_out_of_its_steps_changes_no_bit() {
    let world = world();
    let (net, adapter) = (world.network("controlnet"), world.network("adapter"));
    let (images, none) = (world.images(0), BTreeMap::new());
    let plain = world.latents(&[], 1).unwrap();
    // It is not even asked for its image.
    assert_eq!(world.latents(&[guide(&net, &none, 0.0, (0.0, 1.0))], 1).unwrap(), plain);
    assert_eq!(world.latents(&[guide(&net, &images, 1.0, (0.3, 0.4))], 1).unwrap(), plain);
    assert_eq!(world.latents(&[guide(&adapter, &images, 1.0, (0.0, 0.2))], 1).unwrap(), plain);
    assert_ne!(world.latents(&[guide(&net, &images, 1.0, (0.0, 0.25))], 1).unwrap(), plain);
}

#[test]
fn effects_of_several_networks_add_up() {
    let world = world();
    let (net, images) = (world.network("controlnet"), world.images(0));
    let halves = [guide(&net, &images, 0.5, (0.0, 1.0)), guide(&net, &images, 0.5, (0.0, 1.0))];
    let whole = world.latents(&[guide(&net, &images, 1.0, (0.0, 1.0))], 1).unwrap();
    assert_close("two halves", &world.latents(&halves, 1).unwrap(), &whole, 1e-4);
}

#[test]
fn a_picture_without_control_image_is_told_by_its_index() {
    let world = world();
    let (net, images) = (world.network("controlnet"), world.images(0));
    let error = world.latents(&[guide(&net, &images, 1.0, (0.0, 1.0))], 3).err().unwrap().to_string();
    assert!(error.contains("control image of picture 2 is absent"), "{error}");
}
