//! Training whole networks: the U-Net (with the text encoders) and the autoencoder, to folders that other
//! commands read.

use fairhuman_train::recorded::read_tensors;

use crate::world::World;

const FULL: (&str, &str) = (
    "lora = { rank = 2, targets = [\"attention\", \"conv\"] }",
    "method = \"full\"\nema = 0.9\nfull = { text_encoders = true, dtype = \"f16\" }",
);
const VAE: (&str, &str) = (
    "lora = { rank = 2, targets = [\"attention\", \"conv\"] }",
    "method = \"vae\"\nvae = { kl = 1e-4, edges = 0.5 }",
);

#[test]
fn a_whole_unet_is_trained_and_its_folder_gives_pictures() {
    let world = World::new(&[FULL]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let validations = world.validations("run");
    assert_ne!(validations[0].losses, validations[2].losses);
    assert_eq!(world.files("run/model"), world.files("tiny"), "every file of the base, and no other");
    let weights = "unet/diffusion_pytorch_model.safetensors";
    assert_ne!(world.bytes(&format!("run/model/{weights}")), world.bytes(&format!("tiny/{weights}")));
    for component in ["text_encoder", "text_encoder_2"] {
        let file = format!("{component}/model.safetensors");
        assert_ne!(world.bytes(&format!("run/model/{file}")), world.bytes(&format!("tiny/{file}")));
    }
    assert_eq!(world.bytes("run/model/vae/config.json"), world.bytes("tiny/vae/config.json"));
    world.ok(&[
        "sample",
        "--model",
        "run/model",
        "--prompt",
        "a woman",
        "--steps",
        "2",
        "--width",
        "64",
        "--height",
        "64",
        "--out",
        "pictures",
    ]);
    // The folder is itself something to train.
    world.recipe("again.toml", &[("model.path = \"tiny\"", "model.path = \"run/model\"")]);
    world.ok(&["train", "again.toml", "--out", "again", "--steps", "1"]);
}

#[test]
fn whole_networks_resume_bit_for_bit_with_their_averages() {
    for method in [FULL, VAE] {
        let world = World::new(&[method]);
        world.ok(&["train", "recipe.toml", "--out", "whole"]);
        world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "4"]);
        world.ok(&["train", "recipe.toml", "--out", "parts"]);
        let last = |run: &str| {
            let path = world.path(run).join("checkpoints/step-00000006.safetensors");
            read_tensors(&path).unwrap().tensors
        };
        let tensors = last("whole");
        assert_eq!(tensors, last("parts"));
        assert_eq!(tensors.keys().any(|name| name.starts_with("ema.")), method == FULL);
        assert_eq!(world.steps("whole"), world.steps("parts"));
        assert_eq!(world.validations("whole").pop(), world.validations("parts").pop());
    }
}

#[test]
fn an_autoencoder_learns_its_pictures_and_tells_how_large_its_latents_are() {
    let world = World::new(&[VAE, ("steps = 6", "steps = 30"), ("every = 3", "every = 30")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let validations = world.validations("run");
    let (first, last) = (&validations[0], &validations[1]);
    for k in 0..3 {
        assert!(last.losses[k] < 0.8 * first.losses[k], "objective {k}: {first:?} {last:?}");
    }
    // The regions' masks are those of the pictures, not of latent cells: a face is a small share of the
    // pixels.
    let step = &world.steps("run")[0];
    assert!(step.area[1] > 0.0 && step.area[1] < 0.2, "{:?}", step.area);
    let config: serde_json::Value =
        serde_json::from_slice(&world.bytes("run/model/vae/config.json")).unwrap();
    let factor = config["scaling_factor"].as_f64().unwrap();
    assert!(factor > 0.0 && factor.is_finite() && factor != 0.13025, "{factor}");
    assert_eq!(world.bytes("run/model/unet/config.json"), world.bytes("tiny/unet/config.json"));
}

#[test]
fn a_decoder_alone_learns_and_latents_mean_what_they_meant() {
    let decoder = ("method = \"vae\"\nvae = { kl", "method = \"vae\"\nvae = { part = \"decoder\", kl");
    let world = World::new(&[VAE, decoder, ("steps = 6", "steps = 20"), ("every = 3", "every = 20")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let validations = world.validations("run");
    let (first, last) = (&validations[0], &validations[1]);
    for k in 0..3 {
        assert!(last.losses[k] < 0.9 * first.losses[k], "objective {k}: {first:?} {last:?}");
    }
    let file = "vae/diffusion_pytorch_model.safetensors";
    let tensors = |folder: &str| read_tensors(&world.path(folder).join(file)).unwrap().tensors;
    let (before, after) = (tensors("tiny"), tensors("run/model"));
    assert!(before.keys().eq(after.keys()));
    for (name, tensor) in &before {
        let decoder = name.starts_with("decoder.") || name.starts_with("post_quant_conv.");
        assert_eq!(*tensor != after[name], decoder, "{name}");
    }
    assert_eq!(world.bytes("run/model/vae/config.json"), world.bytes("tiny/vae/config.json"));
}

#[test]
fn tables_of_other_methods_are_refused() {
    let world = World::new(&[]);
    world.recipe("both.toml", &[("lora = {", "method = \"vae\"\nmin_snr_gamma = 5.0\nlora = {")]);
    let error = world.fails(&["train", "both.toml"]);
    assert!(error.contains("[lora]") && error.contains("min_snr_gamma"), "{error}");
    let refused = world.run(&["train", "recipe.toml", "--out", "run", "--record", "0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--record"));
    world.recipe("full.toml", &[FULL]);
    let error = world.fails(&["train", "full.toml", "--out", "full", "--record", "2"]);
    assert!(error.contains("\"lora\""), "{error}");
    assert!(!world.path("full").exists(), "nothing is begun");
}

#[test]
fn an_autoencoder_needs_no_captions() {
    let world = World::new(&[VAE, ("steps = 6", "steps = 1")]);
    std::fs::create_dir(world.path("pictures")).unwrap();
    for file in world.files("people/images") {
        std::fs::copy(world.path(format!("people/images/{file}")), world.path(format!("pictures/{file}")))
            .unwrap();
    }
    let plain = [
        ("dataset.path = \"people\"", "dataset.path = \"pictures\""),
        (
            "    { name = \"face\", mask = \"mask_face\" },\n    { name = \"hand\", mask = \"mask_hand\" },\n",
            "",
        ),
    ];
    world.recipe("recipe.toml", &[VAE, ("steps = 6", "steps = 1"), plain[0], plain[1]]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
}

#[test]
fn a_weight_that_is_no_number_is_named_instead_of_the_learning_rate() {
    for (method, file) in
        [(VAE, "vae/diffusion_pytorch_model.safetensors"), (FULL, "unet/diffusion_pytorch_model.safetensors")]
    {
        let world = World::new(&[method, ("validation = { share = 0.2, every = 3, draws = 2 }", "")]);
        let mut bytes = world.bytes(&format!("tiny/{file}"));
        // The last value of the file.
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(world.path(format!("tiny/{file}")), bytes).unwrap();
        let error = world.fails(&["train", "recipe.toml", "--out", "run", "--steps", "2"]);
        assert!(error.contains(file) && error.contains("holds NaN at element"), "{error}");
        assert!(
            error.contains("2 steps in a row were refused") && !error.contains("learning_rate"),
            "{error}"
        );
    }
}
