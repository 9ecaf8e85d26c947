//! `fairhuman sample --mask` from outside: sizes, and what stays byte for byte.

use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::world::World;

/// A picture in which every pixel differs from its neighbours, and a mask: white, gray and black.
fn pictures(world: &World, (width, height): (u32, u32)) -> (RgbImage, GrayImage) {
    let byte = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8;
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| byte(c + 3 * x + 1009 * y))));
    let mask = GrayImage::from_fn(width, height, |x, _| Luma([[0, 255, 100][(x * 3 / width) as usize]]));
    picture.save(world.path("picture.png")).unwrap();
    mask.save(world.path("mask.png")).unwrap();
    (picture, mask)
}

fn world() -> World {
    let world = World::empty();
    world.ok(&["init-model", "--preset", "tiny", "--out", "tiny"]);
    world
}

const SAMPLE: [&str; 13] = [
    "sample",
    "--model",
    "tiny",
    "--prompt",
    "a hand",
    "--steps",
    "3",
    "--init",
    "picture.png",
    "--mask",
    "mask.png",
    "--strength",
    "0.7",
];

fn sampled(world: &World, out: &str, more: &[&str]) -> RgbImage {
    world.ok(&[&SAMPLE[..], &["--out", out], more].concat());
    image::open(world.path(out).join("0000.png")).unwrap().into_rgb8()
}

#[test]
fn what_a_mask_leaves_black_keeps_its_bytes_in_any_size() {
    let world = world();
    let size = (101, 75);
    let (picture, mask) = pictures(&world, size);
    let made = sampled(&world, "out", &["--count", "2"]);
    assert_eq!(made.dimensions(), size);
    let mut changed = 0;
    for ((old, new), mask) in picture.pixels().zip(made.pixels()).zip(mask.pixels()) {
        match mask.0[0] {
            0 => assert_eq!(old, new),
            255 => changed += usize::from(old != new),
            _ => {}
        }
    }
    assert!(changed > 2000, "{changed}");
    // The other picture of the batch has noise of its own, and the same pixels where the mask is black.
    let other = image::open(world.path("out/0001.png")).unwrap().into_rgb8();
    assert_ne!(made, other);
    assert_eq!(made.get_pixel(3, 70), other.get_pixel(3, 70));
    let text = String::from_utf8_lossy(&world.bytes("out/0000.png")).into_owned();
    assert!(text.contains("\"mask\":\"mask.png\"") && text.contains("Size: 101x75"), "settings in the file");

    let sized = sampled(&world, "sized", &["--width", "64", "--height", "48"]);
    assert_eq!(sized.dimensions(), (64, 48));
}

#[test]
fn a_mask_that_is_black_gives_the_picture_back() {
    let world = world();
    let (picture, _) = pictures(&world, (40, 33));
    GrayImage::new(40, 33).save(world.path("mask.png")).unwrap();
    assert_eq!(sampled(&world, "out", &[]), picture);
}

#[test]
fn masks_that_do_not_fit_are_told() {
    let world = world();
    pictures(&world, (40, 33));
    GrayImage::new(40, 32).save(world.path("mask.png")).unwrap();
    let said = world.fails(&[&SAMPLE[..], &["--out", "out"]].concat());
    assert!(said.contains("mask.png has 40x32 pixels, picture.png 40x33"), "{said}");
    GrayImage::from_pixel(40, 33, Luma([1])).save(world.path("mask.png")).unwrap();
    let said = world.fails(&[&SAMPLE[..], &["--out", "out"]].concat());
    assert!(said.contains("mask.png: its brightest value is 1 of 255"), "{said}");
    let said = world.run(&["sample", "--prompt", "a", "--mask", "mask.png", "--out", "out"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("--init"));
}

/// A LoRA file and a pose network change what is painted, and nothing else.
#[test]
fn loras_and_control_networks_paint_inside_the_mask_alone() {
    let world =
        World::new(&[("steps = 6", "steps = 1"), ("validation = { share = 0.2, every = 3, draws = 2 }", "")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    world.ok(&["init-control", "--model", "tiny", "--kind", "controlnet", "--random", "--out", "pose"]);
    let (picture, mask) = pictures(&world, (64, 48));
    RgbImage::from_fn(64, 48, |x, y| Rgb([(4 * x) as u8, (5 * y) as u8, 90]))
        .save(world.path("skeleton.png"))
        .unwrap();
    let plain = sampled(&world, "plain", &[]);
    let lora = ["--lora", "run/lora.safetensors", "--lora-weight", "60"];
    let control = ["--control", "pose", "--control-image", "skeleton.png"];
    let by_lora = sampled(&world, "lora", &lora);
    let by_control = sampled(&world, "control", &control);
    let by_both = sampled(&world, "both", &[&lora[..], &control].concat());
    for made in [&by_lora, &by_control, &by_both] {
        assert_ne!(made, &plain, "it has a part in what is painted");
        for ((old, new), mask) in picture.pixels().zip(made.pixels()).zip(mask.pixels()) {
            assert!(mask.0[0] > 0 || old == new, "what is black keeps its bytes");
        }
    }
    assert!(by_both != by_lora && by_both != by_control);
    assert_eq!(sampled(&world, "off", &["--lora", "run/lora.safetensors", "--lora-weight", "0"]), plain);
}
