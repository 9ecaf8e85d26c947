//! `[log] tensorboard`: the files are read back, record by record, by a reader of the format; and `[on_end]`.

use std::collections::BTreeMap;

use fairhuman_files::FolderLock;

use crate::world::World;

const LOG: &str =
    "batch = 2\nlog.tensorboard = true\nsamples = { prompts = [\"a man\"], every = 3, steps = 1 }";

/// CRC-32C bit by bit, and TensorFlow's mask.
fn checksum(data: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(number(&bytes[8..]), checksum(&bytes[..8]));
        let data = &bytes[12..12 + length];
        assert_eq!(number(&bytes[12 + length..]), checksum(data));
        records.push(data);
        bytes = &bytes[16 + length..];
    }
    records
}

/// A field of a message: a number, or bytes.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(number) => panic!("the number {number}"),
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let number = bytes[..length].iter().rev().fold(0, |n, byte| n << 7 | u64::from(byte & 0x7f));
        *bytes = &bytes[length..];
        number
    }
    let mut list = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                list.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        list.push((key >> 3, Field::Bytes(bytes[..length].to_vec())));
        bytes = &bytes[length..];
    }
    list
}

/// The steps of each tag's values, as a reader has them that forgets what is made again.
fn steps_by_tag(world: &World) -> BTreeMap<String, Vec<u64>> {
    let mut files = world.files("runs/recipe/tensorboard");
    files.sort();
    let mut tags: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for file in files {
        let bytes = world.bytes(&format!("runs/recipe/tensorboard/{file}"));
        for (i, record) in records(&bytes).into_iter().enumerate() {
            let event = fields(record);
            let field = |number| event.iter().find(|(n, _)| *n == number).map(|(_, field)| field.clone());
            assert!(matches!(field(1), Some(Field::Bytes(time)) if time.len() == 8));
            assert_eq!(field(3).is_some_and(|f| f.bytes() == b"brain.Event:2"), i == 0);
            let step = match field(2) {
                Some(Field::Number(step)) => step,
                _ => 0,
            };
            if field(7).is_some() {
                tags.values_mut().for_each(|steps| steps.retain(|before| *before < step));
            }
            for (_, value) in fields(field(5).map_or(Vec::new(), |f| f.bytes().to_vec()).as_slice()) {
                let value = fields(value.bytes());
                let tag = String::from_utf8(value[0].1.bytes().to_vec()).unwrap();
                match value[1].0 {
                    2 => {
                        let number = f32::from_le_bytes(value[1].1.bytes().try_into().unwrap());
                        assert!(number.is_finite(), "{tag}");
                    }
                    4 => {
                        let image = fields(value[1].1.bytes());
                        assert_eq!(image[0], (1, Field::Number(64)));
                        assert!(image[3].1.bytes().starts_with(b"\x89PNG"));
                    }
                    other => panic!("{tag}: field {other}"),
                }
                tags.entry(tag).or_default().push(step);
            }
        }
    }
    tags
}

#[test]
fn tensorboards_files_hold_every_step_once_also_after_a_resume() {
    let world = World::new(&[("batch = 2", LOG), ("share = 0.2, every = 3", "share = 0.2, every = 3")]);
    world.ok(&["train", "recipe.toml", "--steps", "3"]);
    // The checkpoint of step 3 is lost: the step is made again.
    let newest = world.files("runs/recipe/checkpoints").pop().unwrap();
    std::fs::remove_file(world.path("runs/recipe/checkpoints").join(newest)).unwrap();
    world.ok(&["train", "recipe.toml"]);
    let tags = steps_by_tag(&world);
    assert_eq!(tags["loss/global"], [1, 2, 3, 4, 5, 6]);
    assert_eq!(tags["lr/unet"], [1, 2, 3, 4, 5, 6]);
    assert_eq!(tags["held_out/global"], [0, 3, 6]);
    assert_eq!(tags["samples/a man"], [0, 3, 6]);
    assert!(
        tags.contains_key("weight/face") && tags.contains_key("conflict/global-face"),
        "{:?}",
        tags.keys()
    );
}

#[test]
fn there_is_no_such_folder_where_nobody_asks() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    world.ok(&["train", "recipe.toml"]);
    assert!(!world.path("runs/recipe/tensorboard").exists());
}

#[test]
#[cfg(unix)]
fn a_command_is_run_when_training_ends_however_it_ends() {
    let world = World::new(&[]);
    let tell = r#"["sh", "-c", "echo $STATUS $STEP $RUN >> told"]"#;
    let with = format!("steps = 2\non_end.command = {tell}");
    world.recipe("recipe.toml", &[("steps = 6", &with)]);
    let said = world.ok(&["train", "recipe.toml"]);
    assert!(said.contains("when it ends: sh -c"), "{said}");
    assert_eq!(String::from_utf8(world.bytes("told")).unwrap(), "done 2 runs/recipe\n");
    // A run that fails, and a command that does.
    std::fs::remove_file(world.path("people/images/00001.png")).unwrap();
    world.fails(&["train", "recipe.toml", "--out", "other"]);
    assert!(String::from_utf8(world.bytes("told")).unwrap().ends_with("failed 0 other\n"));
    // A run that another process trains has not ended.
    let _training = FolderLock::take(&world.path("runs/recipe")).unwrap();
    let before = world.bytes("told");
    assert!(world.fails(&["train", "recipe.toml"]).contains("in use"));
    assert_eq!(world.bytes("told"), before);
    let world = World::new(&[("steps = 6", "steps = 1\non_end.command = [\"./absent\"]")]);
    let output = world.run(&["train", "recipe.toml"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("on_end: ./absent"), "{error}");
    world.recipe("recipe.toml", &[("steps = 6", "steps = 1\non_end.command = []")]);
    assert!(world.fails(&["train", "recipe.toml"]).contains("on_end.command: expected a program"));
}
