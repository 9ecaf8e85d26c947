//! Whole pictures: against diffusers' pipeline on a random model (`reference/sampler_golden.py`), and what
//! they depend on.

use std::path::Path;
use std::sync::LazyLock;

use fairhuman_diffusion::generate::{self, Picture, Progress, Rgb, Settings, attach_loras};
use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_diffusion::lora::{LoraInit, LoraSpec, merge_loras};
use fairhuman_diffusion::lora_file::{Convention, write_lora};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Cpu, DType, Params};
use tempfile::TempDir;

/// The model of reference/sampler_golden.py, made once.
static MODEL: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F32, 7, folder.path()).unwrap();
    folder
});

struct World {
    backend: Cpu,
    pipeline: Pipeline<Cpu>,
}

fn world() -> World {
    let backend = Cpu::new(2).unwrap();
    let pipeline = Pipeline::open(&backend, MODEL.path()).unwrap();
    World { backend, pipeline }
}

const SETTINGS: Settings = Settings {
    sampler: Sampler::UniPc,
    steps: 4,
    guidance: 7.5,
    guidance_rescale: 0.0,
    width: 64,
    height: 48,
    seed: 3,
};

fn picture(prompt: &str, negative: Option<&str>, index: u64) -> Picture {
    Picture { prompt: prompt.into(), negative: negative.map(Into::into), index }
}

fn make(world: &World, settings: &Settings, pictures: &[Picture]) -> Vec<Rgb> {
    let World { backend, pipeline } = world;
    generate::generate(backend, &pipeline.parts(), &Params::default(), settings, pictures, &mut |_| {})
        .unwrap()
}

/// Mean difference in units of 1/255.
fn apart(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

/// `[1, C, h, w]` to `[h, w, C]`.
fn channels_last(values: &[f32], channels: usize) -> Vec<f32> {
    let positions = values.len() / channels;
    (0..values.len()).map(|i| values[i % channels * positions + i / channels]).collect()
}

#[test]
fn pictures_are_those_of_diffusers_from_the_same_noise() {
    let World { backend, pipeline } = world();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sampler/pipeline.safetensors");
    let golden = WeightFiles::open_file(&golden).unwrap();
    let get = |name: &str| golden.get_any_shape(name).unwrap().to_f32();
    let noise = channels_last(&get("noise"), 4);
    // Both pictures in one batch: the second has zeros for its negative prompt.
    let pictures = [
        picture("a photo of a woman waving with an open hand", Some("blurry, extra fingers"), 0),
        picture("two men sitting on a bench", None, 1),
    ];
    for sampler in [Sampler::UniPc, Sampler::Ddim] {
        let settings = Settings { sampler, ..SETTINGS };
        let params = Params::default();
        let latents = generate::latents(
            &backend,
            &pipeline.parts(),
            &params,
            &settings,
            &pictures,
            &noise.repeat(2),
            &mut |_| {},
        )
        .unwrap();
        let made = generate::decode(&backend, &pipeline.parts(), &settings, &pictures, &latents).unwrap();
        for (k, (latents, made)) in latents.chunks(noise.len()).zip(made).enumerate() {
            let expected = channels_last(&get(&format!("{sampler}.{k}.latents")), 4);
            let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (found, expected) in latents.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-3 * largest, "{sampler}.{k}: {found} for {expected}");
            }
            let expected = channels_last(&get(&format!("{sampler}.{k}.picture")), 3);
            let expected: Vec<u8> = expected.iter().map(|v| (v * 255.0).round() as u8).collect();
            let distance = apart(&made.pixels, &expected);
            assert!(distance < 0.1, "{sampler}.{k}: {distance}/255 apart (2 are allowed)");
        }
    }
}

/// Copies a folder's files and folders.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => assert!(std::fs::copy(&path, &to).is_ok()),
        }
    }
}

#[test]
fn stable_diffusion_2_that_predicts_v_gives_the_pictures_of_diffusers() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let model = tempfile::tempdir().unwrap();
    copy(&data.join("sampler/sd"), model.path());
    copy(&data.join("tokenizer/tokenizer"), &model.path().join("tokenizer"));
    let backend = Cpu::new(2).unwrap();
    let pipeline = Pipeline::open(&backend, model.path()).unwrap();
    let golden = WeightFiles::open_file(&data.join("sampler/sd/case.safetensors")).unwrap();
    let get =
        |name: String, channels| channels_last(&golden.get_any_shape(&name).unwrap().to_f32(), channels);
    let pictures = [picture("a photo of a woman waving with an open hand", None, 0)];
    for sampler in [Sampler::Euler, Sampler::Heun] {
        let settings = Settings {
            sampler,
            steps: 5,
            guidance: 3.0,
            guidance_rescale: 0.0,
            width: 18,
            height: 12,
            seed: 0,
        };
        let (params, noise) = (Params::default(), get("noise".into(), 4));
        let latents = generate::latents(
            &backend,
            &pipeline.parts(),
            &params,
            &settings,
            &pictures,
            &noise,
            &mut |_| {},
        );
        let latents = latents.unwrap();
        let made = generate::decode(&backend, &pipeline.parts(), &settings, &pictures, &latents).unwrap();
        for (found, expected) in latents.iter().zip(get(format!("{sampler}.latents"), 4)) {
            assert!((found - expected).abs() < 1e-3, "{sampler}: {found} for {expected}");
        }
        let expected = get(format!("{sampler}.picture"), 3);
        let expected: Vec<u8> = expected.iter().map(|v| (v * 255.0).round() as u8).collect();
        assert!(apart(&made[0].pixels, &expected) < 0.1, "{sampler}");
    }
}

#[test]
fn a_picture_depends_on_seed_and_index_not_on_its_neighbours() {
    let world = world();
    for sampler in [Sampler::UniPc, Sampler::EulerAncestral] {
        let settings = Settings { sampler, ..SETTINGS };
        let wanted: Vec<Picture> =
            ["a woman", "two men", "a dog"].into_iter().zip(4..).map(|(p, i)| picture(p, None, i)).collect();
        let together = make(&world, &settings, &wanted);
        for (i, one) in wanted.iter().enumerate() {
            let alone = &make(&world, &settings, std::slice::from_ref(one))[0];
            assert_eq!(alone, &together[i], "{sampler}, picture {i}: small ones are made each for itself");
            assert_eq!(alone, &make(&world, &settings, std::slice::from_ref(one))[0], "the same bits again");
        }
        let mut other = wanted[0].clone();
        other.index += 100;
        let first = &together[0].pixels;
        assert!(apart(&make(&world, &settings, &[other])[0].pixels, first) > 1.0);
        let seeded = Settings { seed: 99, ..settings };
        assert!(apart(&make(&world, &seeded, &wanted[..1])[0].pixels, first) > 1.0);
    }
}

#[test]
fn large_pictures_are_made_as_one_tensor_and_are_the_same() {
    let world = world();
    let settings = Settings { steps: 2, width: 416, height: 384, ..SETTINGS };
    let batch = |threads| {
        generate::default_batch(&Cpu::new(threads).unwrap(), &world.pipeline.parts(), &settings).unwrap()
    };
    assert_eq!(batch(2), 1);
    let wanted = [picture("a woman", None, 0), picture("two men", Some("a dog"), 1)];
    let together = make(&world, &settings, &wanted);
    for (one, beside) in wanted.iter().zip(together) {
        let alone = &make(&world, &settings, std::slice::from_ref(one))[0];
        // Rounding of a product may depend on how many rows it has.
        assert!(apart(&alone.pixels, &beside.pixels) < 0.05, "picture {}", one.index);
    }
}

#[test]
fn noise_is_normal_and_of_its_own_for_every_picture() {
    let noise = generate::initial_noise(1, 2, 20_000);
    let mean = |f: fn(f64) -> f64| noise.iter().map(|&v| f(f64::from(v))).sum::<f64>() / 20_000.0;
    assert!(mean(|v| v).abs() < 0.03 && (mean(|v| v * v) - 1.0).abs() < 0.05);
    assert_eq!(noise[..9], generate::initial_noise(1, 2, 9), "a longer draw begins like a shorter one");
    assert_ne!(noise[..9], generate::initial_noise(1, 3, 9));
    assert_ne!(noise[..9], generate::initial_noise(2, 2, 9));
}

#[test]
fn progress_counts_evaluations() {
    let World { backend, pipeline } = world();
    let settings = Settings { sampler: Sampler::Heun, steps: 3, guidance: 1.0, ..SETTINGS };
    let parts = pipeline.parts();
    assert_eq!(
        generate::default_batch(&Cpu::new(2).unwrap(), &parts, &settings).unwrap(),
        2,
        "small pictures side by side"
    );
    for count in [1, 3] {
        let pictures: Vec<_> = (0..count).map(|index| picture("a man", None, index)).collect();
        let (params, mut seen) = (Params::default(), Vec::new());
        generate::generate(&backend, &parts, &params, &settings, &pictures, &mut |p| seen.push(p)).unwrap();
        assert_eq!(seen, [1, 2, 3, 4, 5].map(|done| Progress { done, of: 5 }));
    }
}

#[test]
fn a_negative_prompt_counts_only_with_guidance() {
    let world = world();
    let with = |guidance, negative| {
        let settings = Settings { guidance, ..SETTINGS };
        make(&world, &settings, &[picture("a man", negative, 0)]).remove(0).pixels
    };
    assert_eq!(with(1.0, None), with(1.0, Some("blurry")));
    assert!(apart(&with(7.5, None), &with(7.5, Some("blurry"))) > 0.05);
    assert!(apart(&with(7.5, None), &with(7.5, Some(""))) > 0.05, "zeros are not the empty text");
}

#[test]
fn rescaled_guidance_takes_contrast_back() {
    let world = world();
    let made = |guidance, guidance_rescale| {
        let settings = Settings { guidance, guidance_rescale, ..SETTINGS };
        let pictures = [picture("a man", None, 0), picture("a woman waves", None, 1)];
        make(&world, &settings, &pictures)
    };
    let plain = made(7.5, 0.0);
    for (a, b) in made(7.5, 0.7).iter().zip(&plain) {
        assert!(apart(&a.pixels, &b.pixels) > 0.01);
    }
    assert_eq!(made(1.0, 0.7), made(1.0, 0.0), "without guidance there is nothing to take back");
    // A picture is rescaled by itself, whatever it is made with.
    let alone = Settings { guidance_rescale: 0.7, ..SETTINGS };
    let alone = make(&world, &alone, &[picture("a woman waves", None, 1)]);
    assert_eq!(alone[0], made(7.5, 0.7)[1]);
    let settings = Settings { guidance_rescale: 1.5, ..SETTINGS };
    let parts = world.pipeline.parts();
    let error = generate::validate(parts.folder, parts.schedule, parts.vae, &settings).unwrap_err();
    assert!(error.to_string().contains("rescale 1.5"), "{error}");
}

/// A LoRA file for the tiny model's U-Net and first text encoder whose factors are not zero.
fn lora(world: &mut World, path: &Path) {
    let World { backend, pipeline } = world;
    let spec = |targets: &[&str]| LoraSpec {
        rank: 2,
        alpha: 2.0,
        targets: targets.iter().map(|t| (*t).into()).collect(),
        init: LoraInit::Gaussian,
        seed: 5,
    };
    let mut params = Params::default();
    let adapted =
        pipeline.unet.add_lora(backend, &mut params, &spec(&["to_q", "to_out.0", "conv1"])).unwrap();
    let encoder = pipeline.text.encoders[0].1.layers_mut();
    let in_text = encoder.add_lora(backend, &mut params, "te", &spec(&["q_proj", "fc1"])).unwrap();
    for module in adapted.iter().chain(&in_text) {
        let shape = Cpu::shape(params.get(module.up)).to_vec();
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| 0.3 * (i as f32).sin()).collect();
        params.set(module.up, backend.tensor(&shape, &values));
    }
    let mut file = pipeline.unet.export_lora(backend, &params, &adapted, DType::F32).unwrap();
    let encoder = pipeline.text.encoders[0].1.layers();
    let text = encoder.export_lora(backend, &params, "text_encoder", &in_text, DType::F32).unwrap();
    file.modules.extend(text.modules);
    write_lora(path, &file, Convention::Kohya, &pipeline.unet.config().lora_layout()).unwrap();
}

#[test]
fn loras_add_up_on_unet_and_text_encoder() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("lora.safetensors");
    lora(&mut world(), &file);
    let with = |files: &[f32]| {
        let World { backend, mut pipeline } = world();
        let files: Vec<_> = files.iter().map(|&weight| (file.clone(), weight)).collect();
        let params = attach_loras(&backend, &mut pipeline, &files).unwrap();
        assert_eq!(files.is_empty(), params.is_empty());
        let pictures = [picture("a man", None, 0)];
        generate::generate(&backend, &pipeline.parts(), &params, &SETTINGS, &pictures, &mut |_| {})
            .unwrap()
            .remove(0)
    };
    let (none, whole) = (with(&[]), with(&[0.8]));
    assert!(apart(&none.pixels, &whole.pixels) > 1.0);
    assert!(apart(&with(&[0.3, 0.5]).pixels, &whole.pixels) < 0.05);
    assert!(apart(&with(&[0.0]).pixels, &none.pixels) < 0.05);
}

#[test]
fn a_model_with_merged_loras_draws_as_with_attached_ones() {
    let place = tempfile::tempdir().unwrap();
    let (file, out) = (place.path().join("lora.safetensors"), place.path().join("merged"));
    lora(&mut world(), &file);
    let files = [(file.clone(), 0.5), (file.clone(), 0.3)];
    merge_loras(&Cpu::new(0).unwrap(), MODEL.path(), &files, &out).unwrap();
    let pictures = [picture("a man", None, 0)];
    let World { backend, mut pipeline } = world();
    let params = attach_loras(&backend, &mut pipeline, &files).unwrap();
    let attached =
        generate::generate(&backend, &pipeline.parts(), &params, &SETTINGS, &pictures, &mut |_| {}).unwrap();
    let merged = World { pipeline: Pipeline::open(&backend, &out).unwrap(), backend };
    assert!(apart(&make(&merged, &SETTINGS, &pictures)[0].pixels, &attached[0].pixels) < 0.05);
    let whole = |folder: &Path| std::fs::read(folder.join("text_encoder_2/model.safetensors")).unwrap();
    assert_eq!(whole(&out), whole(MODEL.path()), "what no LoRA is for is copied");

    let said = |weight, to: &Path| {
        merge_loras(&Cpu::new(0).unwrap(), MODEL.path(), &[(file.clone(), weight)], to)
            .unwrap_err()
            .to_string()
    };
    assert!(said(1.0, &out).contains("is there already"));
    let other = place.path().join("other");
    assert!(said(f32::NAN, &other).contains("NaN"));
    let huge = said(f32::MAX, &other);
    assert!(huge.contains("does not fit F32") && huge.contains(".weight"), "{huge}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "the LoRA and the merged model");
}

#[test]
fn refusals_name_what_is_wrong() {
    let World { backend, mut pipeline } = world();
    let params = Params::default();
    let pictures = [picture("a man", None, 0)];
    let said = |settings: Settings| {
        let made =
            generate::generate(&backend, &pipeline.parts(), &params, &settings, &pictures, &mut |_| {});
        made.unwrap_err().to_string()
    };
    let size = said(Settings { width: 100, height: 0, ..SETTINGS });
    assert!(size.contains("100x0") && size.contains("multiples of 8") && size.contains("104x8"), "{size}");
    assert!(said(Settings { steps: 0, ..SETTINGS }).contains("0 steps"));
    assert!(said(Settings { guidance: f64::NAN, ..SETTINGS }).contains("NaN"));
    let huge = said(Settings { guidance: 1e38, ..SETTINGS });
    assert!(huge.contains("picture 0") && huge.contains("not finite"), "{huge}");

    let missing = Path::new("nowhere.safetensors").to_path_buf();
    let absent = attach_loras(&backend, &mut pipeline, &[(missing.clone(), 1.0)]).err().unwrap().to_string();
    assert!(absent.contains("nowhere.safetensors"), "{absent}");
    let weight = attach_loras(&backend, &mut pipeline, &[(missing, f32::NAN)]).err().unwrap().to_string();
    assert!(weight.contains("NaN"), "{weight}");
}

#[test]
fn the_default_size_is_the_model_s_own() {
    let World { pipeline, .. } = world();
    let parts = pipeline.parts();
    assert_eq!(generate::nominal_size(parts.folder, parts.vae.config().reduction()).unwrap(), (256, 256));
}

#[test]
fn sides_beyond_every_model_are_refused_before_anything_is_allocated() {
    let World { pipeline, .. } = &world();
    let parts = pipeline.parts();
    for (width, height) in [(1 << 31, 64), (64, usize::MAX), (generate::MAX_SIDE + 8, 64)] {
        let settings = Settings { width, height, ..SETTINGS };
        let error = generate::validate(parts.folder, parts.schedule, parts.vae, &settings).unwrap_err();
        assert!(error.to_string().contains("sides of at most 16384"), "{error}");
    }
}
