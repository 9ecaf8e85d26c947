//! `sample --control` with a ControlNetUnion: one network for several types of control images.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_json, write_safetensors};
use serde_json::Value;

use crate::control::{Place, network};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// A random union of six types around the ControlNet in `from`: diffusers makes none at random, and neither
/// does `init-control`.
fn union(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let config = std::fs::read(from.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let (c, time) = (number(&config["block_out_channels"][0]), number(&config["addition_time_embed_dim"]));
    config["_class_name"] = "ControlNetUnionModel".into();
    config["num_trans_channel"] = c.into();
    config["num_proj_channel"] = c.into();
    write_json(&to.join("config.json"), &config).unwrap();

    let block = "transformer_layes.0";
    let mut shapes = vec![("task_embedding".to_owned(), vec![6, c])];
    shapes.push((format!("{block}.attn.in_proj_weight"), vec![3 * c, c]));
    shapes.push((format!("{block}.attn.in_proj_bias"), vec![3 * c]));
    for (name, inputs, outputs) in [
        (format!("{block}.attn.out_proj"), c, c),
        (format!("{block}.mlp.c_fc"), c, 4 * c),
        (format!("{block}.mlp.c_proj"), 4 * c, c),
        ("spatial_ch_projs".to_owned(), c, c),
        ("control_add_embedding.linear_1".to_owned(), 6 * time, 4 * c),
        ("control_add_embedding.linear_2".to_owned(), 4 * c, 4 * c),
    ] {
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    }
    for end in ["ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"] {
        shapes.push((format!("{block}.{end}"), vec![c]));
    }
    let values = |shape: &Vec<usize>| -> Vec<f32> {
        (0..shape.iter().product())
            .map(|i: usize| 0.3 * (i as f32 * 1.7 + shape.len() as f32).sin())
            .collect()
    };
    let own: Vec<_> = shapes.iter().map(|(name, shape)| (name, shape, values(shape))).collect();
    let files = WeightFiles::open(from).unwrap();
    let copied: Vec<_> = files.names().map(|name| (name, files.get_any_shape(name).unwrap())).collect();
    let mut tensors: BTreeMap<String, TensorBytes<'_>> =
        copied.iter().map(|(name, data)| ((*name).to_owned(), TensorBytes::stored(data))).collect();
    tensors
        .extend(own.iter().map(|(name, shape, values)| ((*name).clone(), TensorBytes::f32(shape, values))));
    write_safetensors(&to.join(WEIGHTS), &tensors, &BTreeMap::new()).unwrap();
}

#[test]
fn a_union_follows_images_of_one_or_several_types_at_once() {
    let place = Place::new();
    union(Path::new(&network("net")), &place.path("union"));
    let (net, images) = (network("net"), ["--control-image", "a.png", "--control-image", "b.png"]);
    let of = |control: &str, more: &[&str]| place.picture(&[&["--control", control], more].concat()).0;
    let one = |kind: &str| of("union", &["--control-type", kind, "--control-image", "a.png"]);
    let (pose, depth) = (one("openpose"), one("depth"));
    assert!(pose != depth, "the type counts");
    assert!(one("0") == pose, "a type's number is its name");
    let both = |types: &[&str]| of("union", &[types, &images].concat());
    let two = both(&["--control-type", "openpose", "--control-type", "depth"]);
    assert!(two != pose && two != depth, "both images count");
    assert!(both(&["--control-type", "openpose,depth"]) == two);
    let turned = ["--control-type", "depth,openpose", "--control-image", "b.png", "--control-image", "a.png"];
    assert!(of("union", &turned) == two, "their order does not");
    // One file of the same tensors is told as a union, too.
    let file = format!("union/{WEIGHTS}");
    assert!(of(&file, &[&["--control-type", "openpose,depth"][..], &images].concat()) == two);
    let networks =
        ["--control", "union", "--control-type", "pose,depth", "--control", &net, "--control-type"];
    let more = ["none", "--control-image", "a.png"];
    let (with_net, about) = place.picture(&[&networks[..], &more[..1], &images, &more[1..]].concat());
    assert!(with_net != two, "and another network beside it");
    assert!(
        about.contains("\"types\":[0,1]") && about.contains("\"images\":[\"a.png\",\"b.png\"]"),
        "{about}"
    );
}

#[test]
fn mistakes_about_types_are_answered_with_those_that_there_are() {
    let place = Place::new();
    union(Path::new(&network("net")), &place.path("union"));
    let told = |more: &[&str]| place.fails(&[&["--control-image", "a.png"], more].concat());
    let none = told(&["--control", "union"]);
    assert!(none.contains("--control-type") && none.contains("has 6: openpose/pose, depth"), "{none}");
    let later = told(&["--control", "union", "--control-type", "tile"]);
    assert!(later.contains("number 6") && later.contains("has 6"), "{later}");
    let unknown = told(&["--control", "union", "--control-type", "deep"]);
    assert!(unknown.contains("openpose") && unknown.contains("repaint"), "{unknown}");
    let plain = told(&["--control", &network("net"), "--control-type", "depth"]);
    assert!(plain.contains("no ControlNetUnion"), "{plain}");
    let adapter = told(&["--control", &network("xl"), "--control-type", "depth"]);
    assert!(adapter.contains("T2I-Adapter: it has one type"), "{adapter}");
    let images = ["--control-image", "a.png", "--control-image", "b.png"];
    let three = place.fails(&[&["--control", "union", "--control-type", "0,1,2"][..], &images].concat());
    assert!(three.contains("1 --control and 2 --control-image") && three.contains("here 3"), "{three}");
    let networks = ["--control", "union", "--control", "union", "--control-type", "0"];
    let networks = place.fails(&[&networks[..], &images].concat());
    assert!(networks.contains("2 --control and 1 --control-type"), "{networks}");
}
