//! `fairhuman init-control` and `sample --control` from outside, with a random model and random networks.

use std::path::PathBuf;
use std::sync::LazyLock;

use assert_cmd::Command;
use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_engine::{Cpu, DType};
use fairhuman_files::sha256_hex;
use tempfile::TempDir;

/// A random model, and networks for it.
static MODELS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(0).unwrap(), Preset::Tiny, DType::F16, 7, &folder.path().join("tiny")).unwrap();
    for (name, options) in [
        ("zero", &["--kind", "controlnet"][..]),
        ("net", &["--kind", "controlnet", "--random", "--file", "net.safetensors"]),
        ("xl", &["--kind", "t2i-xl", "--dtype", "f16"]),
    ] {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        command.current_dir(folder.path()).args(["init-control", "--model", "tiny", "--out", name]);
        command.args(options).assert().success();
    }
    folder
});

/// A folder with control images.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, of) in [("a.png", 3), ("b.png", 5)] {
            let shade = |x: u32, y: u32| image::Rgb([(x * of) as u8, (y * of) as u8, 90]);
            image::RgbImage::from_fn(64, 48, shade).save(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn command(&self, extra: &[&str]) -> Command {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        command.current_dir(self.0.path()).args(["sample", "--model"]).arg(MODELS.path().join("tiny"));
        command.args(["--height", "48", "--steps", "2", "--prompt", "a man", "--out", "out"]).args(extra);
        command
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The bytes of the first picture's pixels, and its settings.
    pub fn picture(&self, extra: &[&str]) -> (Vec<u8>, String) {
        self.command(&[&["--width", "64"], extra].concat()).assert().success();
        let bytes = std::fs::read(self.0.path().join("out/0000.png")).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let text = |t: &png::text_metadata::TEXtChunk| format!("{}: {}\n", t.keyword, t.text);
        let about = reader.info().uncompressed_latin1_text.iter().map(text).collect();
        (image::load_from_memory(&bytes).unwrap().to_rgb8().into_raw(), about)
    }

    pub fn fails(&self, extra: &[&str]) -> String {
        String::from_utf8(self.command(extra).assert().failure().get_output().stderr.clone()).unwrap()
    }
}

/// The path of a network for the random model.
pub fn network(name: &str) -> String {
    MODELS.path().join(name).display().to_string()
}

#[test]
fn pictures_follow_control_networks_and_say_so() {
    let place = Place::new();
    let (zero, net, file, xl) = (network("zero"), network("net"), network("net.safetensors"), network("xl"));
    let (plain, about) = place.picture(&[]);
    assert!(!about.contains("ControlNet"), "{about}");
    let with = |control: &str, extra: &[&str]| {
        place.picture(&[&["--control", control, "--control-image", "a.png"], extra].concat())
    };
    assert!(with(&zero, &[]).0 == plain, "an untrained ControlNet changes nothing");
    assert!(with(&xl, &["--control-weight", "0"]).0 == plain);
    let never = ["--control-start", "0.6", "--control-end", "0.7"];
    assert!(with(&net, &never).0 == plain);
    let never = [&["--width", "64", "--control", &net, "--control-image", "a.png"], &never[..]].concat();
    let said = place.command(&never).output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&said).contains("net has no part in the pictures"));
    let (followed, about) = with(&net, &["--control-weight", "0.5", "--control-end", "0.5"]);
    assert!(followed != plain);
    let line = "ControlNet 0: \"Model: net, Weight: 0.5, Guidance Start: 0, Guidance End: 0.5\"";
    assert!(about.contains(line) && about.contains("\"controls\":[{"), "{about}");
    let (same, about_file) = with(&file, &["--control-weight", "0.5", "--control-end", "0.5"]);
    assert!(same == followed);
    // The hashes of the files that were read: of one file, of a folder's settings and weights.
    let hash = |path: &str, file: &str| {
        let hash = sha256_hex(&std::fs::read(PathBuf::from(path).join(file)).unwrap());
        format!("\"{}\":\"{hash}\"", file.rsplit('/').next().unwrap())
    };
    let models = MODELS.path().display().to_string();
    let of_file = format!("\"sha256\":{{{}}}", hash(&models, "net.safetensors"));
    assert!(about_file.contains(&of_file), "{about_file}");
    let weights = "diffusion_pytorch_model.safetensors";
    let of_folder = format!("\"sha256\":{{{},{}}}", hash(&net, "config.json"), hash(&net, weights));
    assert!(about.contains(&of_folder), "{about}");
    assert!(with(&net, &["--guess"]).0 != with(&net, &[]).0);
    assert!(with(&net, &["--control", &xl]).0 != with(&net, &[]).0, "both count");
    let other = ["--control", &net, "--control-image", "b.png"];
    assert!(place.picture(&other).0 != with(&net, &[]).0, "the image counts");
}

#[test]
fn a_folder_of_control_images_has_one_for_each_prompt() {
    let place = Place::new();
    std::fs::create_dir(place.0.path().join("poses")).unwrap();
    for name in ["a.png", "b.png"] {
        std::fs::copy(place.0.path().join(name), place.0.path().join("poses").join(name)).unwrap();
    }
    let net = network("net");
    let folder = ["--control", &net, "--control-image", "poses"];
    let told = place.fails(&folder);
    assert!(told.contains("poses: 2 pictures for 1 prompt"), "{told}");
    let (first, _) = place.picture(&[&folder[..], &["--prompt", "a woman"]].concat());
    assert!(first == place.picture(&["--control", &net, "--control-image", "a.png"]).0);
}

#[test]
fn mistakes_are_answered_before_anything_is_loaded() {
    let place = Place::new();
    let (net, xl) = (network("net"), network("xl"));
    let image = ["--control-image", "a.png"];
    let control =
        |name: &str, extra: &[&str]| place.fails(&[&["--control", name], &image[..], extra].concat());
    let size = control(&xl, &["--width", "56"]);
    assert!(size.contains("multiples of 16; the nearest are 48 or 64 wide and 48 high"), "{size}");
    let count = control(&net, &["--control-weight", "1", "--control-weight", "2"]);
    assert!(count.contains("1 --control and 2 --control-weight"), "{count}");
    let order = control(&net, &["--control-start", "0.8", "--control-end", "0.2"]);
    assert!(order.contains("--control-start 0.8 is after"), "{order}");
    assert!(control("nowhere", &[]).contains("nowhere: there is no such file or folder"));
    let model = control(&network("tiny/unet"), &[]);
    assert!(model.contains("UNet2DConditionModel"), "{model}");
    let whole = control(&network("tiny"), &[]);
    assert!(whole.contains("the folder of a whole model"), "{whole}");
    assert!(place.fails(&["--control", &net]).contains("--control-image"));
    let absent = place.fails(&["--control", &net, "--control-image", "absent.png"]);
    assert!(absent.contains("absent.png"), "{absent}");
}

#[test]
fn control_networks_are_not_written_over_others_nor_under_names_that_mean_others() {
    let init = |extra: &[&str]| {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        command.current_dir(MODELS.path()).args(["init-control", "--model", "tiny"]).args(extra);
        String::from_utf8(command.assert().failure().get_output().stderr.clone()).unwrap()
    };
    let there = init(&["--out", "net"]);
    assert!(there.contains("holds config.json already"), "{there}");
    let name = init(&["--out", "new", "--file", "shuffle.safetensors"]);
    assert!(name.contains("shuffle"), "{name}");
    let inside = init(&["--out", "tiny/controlnet"]);
    assert!(inside.contains("the model"), "{inside}");
    let kind = init(&["--out", "new", "--kind", "t2i-full"]);
    assert!(kind.contains("the model needs"), "{kind}");
    assert!(!PathBuf::from(network("new")).exists());
}
