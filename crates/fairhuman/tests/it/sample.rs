//! `fairhuman sample` from outside, with a random model: files, their texts, and what is said when something
//! is wrong.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::LazyLock;

use assert_cmd::Command;
use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_engine::{Cpu, DType};
use serde_json::Value;
use tempfile::TempDir;

/// A random model, made once.
static MODEL: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F16, 7, &folder.path().join("tiny")).unwrap();
    folder
});

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// `fairhuman sample` with small pictures and few steps.
    fn command(&self, extra: &[&str]) -> Command {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        command.current_dir(self.0.path()).args(["sample", "--model"]).arg(MODEL.path().join("tiny"));
        command.args(["--width", "64", "--height", "48", "--steps", "2"]).args(extra);
        command
    }

    fn ok(&self, extra: &[&str]) -> String {
        String::from_utf8(self.command(extra).assert().success().get_output().stdout.clone()).unwrap()
    }

    fn fails(&self, extra: &[&str]) -> String {
        String::from_utf8(self.command(extra).assert().failure().get_output().stderr.clone()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Size, pixels and texts of a PNG file.
    fn png(&self, name: &str) -> (u32, u32, Vec<u8>, Vec<(String, String)>) {
        let bytes = std::fs::read(self.path(name)).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let info = reader.info();
        let plain = info.uncompressed_latin1_text.iter().map(|t| (t.keyword.clone(), t.text.clone()));
        let wide = info.utf8_text.iter().map(|t| (t.keyword.clone(), t.get_text().unwrap()));
        (info.width, info.height, pixels, plain.chain(wide).collect())
    }
}

#[test]
fn pictures_carry_their_settings_and_a_grid_shows_them() {
    let place = Place::new();
    std::fs::write(place.path("prompts.txt"), "\u{feff}# people\na woman waving\r\n\n zwei Männer 🙂 \n")
        .unwrap();
    let options =
        ["--prompts", "prompts.txt", "--negative", "blurry", "--count", "2", "--batch", "3", "--seed", "9"];
    let said = place.ok(&[&options[..], &["--out", "new/out", "--sampler", "dpmpp-2m"]].concat());
    assert!(said.contains("4 pictures in new/out") && said.contains("grid.png"), "{said}");

    let (width, height, _, texts) = place.png("new/out/0002.png");
    assert_eq!((width, height), (64, 48));
    let text = |key: &str| &texts.iter().find(|(keyword, _)| keyword == key).unwrap().1;
    assert_eq!(
        *text("parameters"),
        format!(
            "zwei Männer 🙂\nNegative prompt: blurry\nSteps: 2, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 9, \
             Size: 64x48, Model: tiny, Index: 2, Version: fairhuman {}",
            env!("CARGO_PKG_VERSION")
        )
    );
    let json: Value = serde_json::from_str(text("fairhuman")).unwrap();
    assert_eq!((&json["prompt"], &json["index"]), (&"zwei Männer 🙂".into(), &2.into()));

    let (width, height, ..) = place.png("new/out/grid.png");
    assert!(width > 2 * 192 && height > 2 * 144, "{width}x{height}");
    let files = std::fs::read_dir(place.path("new/out")).unwrap().count();
    assert_eq!(files, 5, "four pictures, a grid, nothing temporary");
}

#[test]
fn a_picture_of_a_longer_run_comes_again_alone() {
    let place = Place::new();
    for sampler in ["unipc", "euler-a"] {
        let common = ["--prompt", "a man", "--sampler", sampler];
        place.ok(&[&common[..], &["--count", "3", "--out", "long"]].concat());
        place.ok(&[&common[..], &["--index", "2", "--out", "alone"]].concat());
        let again = std::fs::read(place.path("alone/0002.png")).unwrap();
        assert_eq!(std::fs::read(place.path("long/0002.png")).unwrap(), again);
        assert_ne!(place.png("long/0001.png").2, place.png("long/0002.png").2);
    }
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let place = Place::new();
    std::fs::write(place.path("latin1.txt"), b"a man\na caf\xe9\n").unwrap();
    std::fs::write(place.path("empty.txt"), "# nothing\n").unwrap();
    std::fs::write(place.path("no.safetensors"), "text").unwrap();
    let prompt = ["--prompt", "a man", "--out", "out"];
    for (extra, expected) in [
        (&["--out", "out"][..], "--prompts <FILE>"),
        (&["--prompts", "nowhere.txt", "--out", "out"], "nowhere.txt"),
        (&["--prompts", "latin1.txt", "--out", "out"], "latin1.txt, line 2: not UTF-8"),
        (&["--prompts", "empty.txt", "--out", "out"], "empty.txt: holds no prompt"),
        (&[&prompt[..], &["--sampler", "plms"]].concat(), "unipc"),
        (&[&prompt[..], &["--lora-weight", "0.5"]].concat(), "0 --lora and 1 --lora-weight"),
        (&[&prompt[..], &["--lora", "no.safetensors"]].concat(), "no.safetensors"),
        (
            &[&prompt[..], &["--lora", "nowhere.safetensors"]].concat(),
            "the LoRA file, nowhere.safetensors: there",
        ),
        (&[&prompt[..], &["--vae", "nowhere"]].concat(), "the autoencoder, nowhere: there is no such"),
        (&[&prompt[..], &["--init", "nowhere.png"]].concat(), "the picture of --init, nowhere.png: there"),
        (&[&prompt[..], &["--init", "latin1.txt"]].concat(), "latin1.txt"),
        (&[&prompt[..], &["--init", "a.png", "--strength", "1.5"]].concat(), "from 0 to 1"),
        (&[&prompt[..], &["--strength", "0.5"]].concat(), "--init"),
        (&[&prompt[..], &["--index", "18446744073709551615", "--count", "2"]].concat(), "--index"),
        (&[&prompt[..], &["--sampler", "ddim", "--guidance", "nan"]].concat(), "guidance NaN"),
        (&[&prompt[..], &["--guidance-rescale", "1.5"]].concat(), "--guidance-rescale"),
        (&[&prompt[..], &["--seed", "-1"]].concat(), "there is no random seed"),
    ] {
        let said = place.fails(extra);
        assert!(said.contains(expected), "{extra:?}: {said}");
    }
    // Options given twice replace nothing silently.
    assert!(place.fails(&[&prompt[..], &["--width", "60"]].concat()).contains("--width"));
    for (width, expected) in
        [("60", "60x256 pixels: expected sides that are multiples of 8"), ("16392", "1..=16384")]
    {
        let size = Command::cargo_bin("fairhuman")
            .unwrap()
            .args(["sample", "--width", width, "--prompt", "a man", "--model"])
            .arg(MODEL.path().join("tiny"))
            .arg("--out")
            .arg(place.path("out"))
            .assert()
            .failure();
        let said = String::from_utf8_lossy(&size.get_output().stderr).into_owned();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn pictures_begin_with_another_one_as_much_as_the_strength_says() {
    let place = Place::new();
    // Twice as wide as the new pictures' shape: its outer quarters are cut off.
    let picture = image::RgbImage::from_fn(256, 96, |x, y| match (64..192).contains(&x) {
        true => image::Rgb([(x - 64) as u8, y as u8, 90]),
        false => image::Rgb([255, 0, 0]),
    });
    picture.save(place.path("wide.png")).unwrap();
    image::imageops::crop_imm(&picture, 64, 0, 128, 96).to_image().save(place.path("middle.png")).unwrap();
    let pixels = |out: &str, extra: &[&str]| {
        place.ok(&[&["--prompt", "a woman", "--out", out], extra].concat());
        place.png(&format!("{out}/0000.png"))
    };
    let none = pixels("none", &["--init", "wide.png", "--strength", "0"]).2;
    assert_eq!(none, pixels("seed", &["--init", "wide.png", "--strength", "0", "--seed", "8"]).2, "no noise");
    assert_eq!(none, pixels("middle", &["--init", "middle.png", "--strength", "0"]).2, "the middle is taken");
    let half = pixels("half", &["--init", "wide.png", "--strength", "0.5"]);
    let all = pixels("all", &["--init", "wide.png", "--strength", "1"]).2;
    let free = pixels("free", &[]).2;
    assert!(half.2 != none && half.2 != all && all != free);
    assert!(half.3.iter().any(|(_, text)| text.contains("Denoising strength: 0.5")), "{:?}", half.3);
    // A folder has a picture for each prompt, whose pictures do not depend on the others'.
    std::fs::create_dir(place.path("both")).unwrap();
    image::RgbImage::from_pixel(128, 96, image::Rgb([9, 99, 40])).save(place.path("both/a.png")).unwrap();
    std::fs::copy(place.path("wide.png"), place.path("both/b.png")).unwrap();
    place.ok(&[
        "--prompt",
        "a man",
        "--prompt",
        "a woman",
        "--init",
        "both",
        "--strength",
        "0.5",
        "--out",
        "of",
    ]);
    let alone = ["--init", "wide.png", "--strength", "0.5", "--index", "1", "--out", "alone"];
    place.ok(&[&["--prompt", "a woman"], &alone[..]].concat());
    assert_eq!(place.png("of/0001.png").2, place.png("alone/0001.png").2);
    for (extra, expected) in [
        (&["--init", "both"][..], "2 pictures for 1 prompt"),
        (&["--init", "both", "--mask", "wide.png"], "--init is one picture"),
    ] {
        let said = place.fails(&[&["--prompt", "a woman", "--out", "no"], extra].concat());
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let place = Place::new();
    image::RgbImage::new(64, 48).save(place.path("a.png")).unwrap();
    let said = |extra: &[&str]| {
        let output = place.command(&[&["--out", "out"], extra].concat()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let foreign = said(&["--prompt", "a (red hat:1.2) --n blurry", "--prompt", "a man <lora:hats:1>"]);
    for part in ["\"(red hat:1.2)\"", "\"--n\"", "\"<lora:hats:1>\""] {
        assert!(foreign.contains(&format!("note: {part} in a prompt")), "{foreign}");
    }
    let weak = ["--prompt", "a man", "--init", "a.png", "--strength"];
    assert!(said(&[&weak[..], &["0.4"]].concat()).contains("--steps 3 would be enough for one"));
    assert!(!said(&[&weak[..], &["0.5"]].concat()).contains("would be enough"));
}

#[test]
fn results_lie_in_no_folder_that_is_read_and_nothing_is_said_to_be_replaced_in_vain() {
    let place = Place::new();
    std::fs::create_dir(place.path("own")).unwrap();
    image::RgbImage::new(64, 48).save(place.path("own/a.png")).unwrap();
    for out in ["own", "own/new", "own/new/deep"] {
        let said = place.fails(&["--prompt", "a man", "--init", "own", "--out", out]);
        assert!(said.contains("lies in the picture of --init, own"), "{out}: {said}");
    }
    assert_eq!(std::fs::read_dir(place.path("own")).unwrap().count(), 1);

    let again = ["--prompt", "a man", "--steps", "1", "--out", "out"];
    let said = |extra: &[&str]| {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        command.current_dir(place.0.path()).args(["sample", "--width", "64", "--height", "48"]);
        let output = command.args(again).args(extra).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let model = MODEL.path().join("tiny");
    let model = ["--model", model.to_str().unwrap()];
    assert!(!said(&model).contains("replaced"));
    // What ends before a picture is made replaces none.
    std::fs::create_dir(place.path("other")).unwrap();
    for failed in [said(&["--model", "other"]), said(&[&model[..], &["--guidance", "nan"]].concat())] {
        assert!(failed.contains("error") && !failed.contains("replaced"), "{failed}");
    }
    assert!(said(&model).contains("2 files of an earlier command in out will be replaced"));
}
