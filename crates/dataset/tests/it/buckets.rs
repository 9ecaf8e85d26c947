//! Buckets: known sizes, nearest shapes, batches of one size, and masks that follow their picture.

use std::collections::BTreeSet;

use crate::common::{Scene, put, spec, write};
use fairhuman_dataset::buckets::{BucketList, BucketSpec, assign, batches, bucketed_order, list};
use fairhuman_dataset::{Dataset, GeometrySpec, Region, Wanted, draw};
use proptest::prelude::*;
use tempfile::TempDir;

fn sdxl() -> BucketSpec {
    BucketSpec { list: BucketList::Sdxl, ..BucketSpec::default() }
}

#[test]
fn sdxls_list_has_its_sizes() {
    let sizes = list(&sdxl(), 1024, 1024);
    assert_eq!(sizes.len(), 41, "20 tall, 20 wide and the square");
    assert_eq!((sizes[0], sizes[20], sizes[40]), ((512, 2048), (1024, 1024), (2048, 512)));
    assert!(sizes.iter().all(|(w, h)| w % 64 == 0 && h % 64 == 0));
    let megapixels = sizes.iter().map(|(w, h)| f64::from(w * h) / 1048576.0);
    assert!(megapixels.into_iter().all(|m| (0.89..=1.01).contains(&m)));
}

#[test]
fn sizes_by_area_fill_it_in_steps() {
    let spec = BucketSpec { step: 64, ..BucketSpec::default() };
    let sizes = list(&spec, 512, 512);
    assert_eq!(sizes.first(), Some(&(256, 1024)));
    assert!(sizes.contains(&(512, 512)) && sizes.contains(&(448, 576)) && sizes.contains(&(576, 448)));
    for &(w, h) in &sizes {
        assert!(w % 64 == 0 && h % 64 == 0 && w * h <= 512 * 512, "{w} x {h}");
        let grown = (w + 64) * h > 512 * 512 || w + 64 > 1024;
        assert!(grown || w * (h + 64) > 512 * 512, "{w} x {h} has room");
    }
    let narrow = BucketSpec { min_side: Some(448), max_side: Some(576), ..spec };
    assert_eq!(list(&narrow, 512, 512), [(448, 576), (512, 512), (576, 448)]);
}

#[test]
fn pictures_go_to_the_nearest_shape() {
    let sizes = list(&sdxl(), 1024, 1024);
    for (original, expected) in [
        ((3000, 3000), (1024, 1024)),
        ((640, 480), (1152, 896)),
        ((480, 640), (896, 1152)),
        ((1920, 1080), (1344, 768)),
        ((100, 4000), (512, 2048)),
    ] {
        assert_eq!(assign(&sizes, original), Some(expected), "{original:?}");
    }
    assert_eq!(assign(&[], (3, 4)), None);
}

proptest! {
    #[test]
    fn an_epoch_has_every_entry_once_in_batches_of_one_bucket(
        kinds in prop::collection::vec(0u32..5, 0..60),
        batch in 1usize..7,
        seed: u64,
    ) {
        let buckets: Vec<(u32, u32)> = kinds.iter().map(|k| (64 * k, 64)).collect();
        let order = bucketed_order(seed, 3, &buckets, batch);
        prop_assert_eq!(order.len(), batches(&buckets, batch));
        let mut all: Vec<usize> = order.concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..buckets.len()).collect::<Vec<_>>());
        for entries in &order {
            prop_assert!((1..=batch).contains(&entries.len()));
            let of: BTreeSet<_> = entries.iter().map(|&i| buckets[i]).collect();
            prop_assert_eq!(of.len(), 1);
        }
        prop_assert_eq!(&order, &bucketed_order(seed, 3, &buckets, batch));
    }
}

#[test]
fn seeds_and_epochs_shuffle_anew() {
    let buckets = vec![(64, 64); 40];
    let one = bucketed_order(1, 0, &buckets, 4);
    assert_ne!(one, bucketed_order(1, 1, &buckets, 4));
    assert_ne!(one, bucketed_order(2, 0, &buckets, 4));
}

#[test]
fn masks_and_conditioning_follow_their_picture_into_its_bucket() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::lopsided(200, 100).shown();
    for name in ["a.png", "m/a.png", "pose/a.png"] {
        write(&dir.path().join(name), &scene, None);
    }
    put(&dir, "a.txt", "x");
    let data =
        Dataset::open(dir.path(), &spec("path = \".\"\nconditioning = \"pose\""), &[Region::new("r", "m")])
            .unwrap();
    let geometry: GeometrySpec =
        toml::from_str("width = 64\nheight = 64\nflip = 1.0\n[buckets]\nstep = 8").unwrap();
    geometry.check(8).unwrap();
    let d = draw(&geometry, data.item(0).size, 0, 0, 0);
    assert_eq!((d.width, d.height), (88, 40), "of about 64 x 64 pixels, the nearest to 2 : 1");
    let s = data.load(0, &d, 1, Wanted::ALL).unwrap();
    assert_eq!((s.width, s.height, s.image.len()), (88, 40, 88 * 40 * 3));
    let (mask, control) = (s.masks[0].as_ref().unwrap(), s.conditioning.as_ref().unwrap());
    let agree = (0..88 * 40)
        .filter(|&i| {
            (s.image[3 * i] > 0.0) == (control[3 * i] > 0.5)
                && (s.image[3 * i] > 0.0) == (mask.cells[i] > 0.5)
        })
        .count();
    assert!(agree as f64 > 0.9 * 88.0 * 40.0, "{agree} of {} pixels agree", 88 * 40);
}

#[test]
fn impossible_buckets_are_named() {
    let check =
        |text: &str| toml::from_str::<GeometrySpec>(text).unwrap().check(8).map_err(|e| e.to_string());
    assert!(check("buckets.list = \"sdxl\"").is_ok());
    assert!(check("width = 512\nbuckets.list = \"sdxl\"").unwrap_err().contains("for 1024 x 1024"));
    assert!(check("buckets.step = 12").unwrap_err().contains("latent cells of 8 x 8"));
    assert!(check("buckets.min_side = 1500").unwrap_err().contains("there is no bucket"));
    assert!(toml::from_str::<GeometrySpec>("buckets.steps = 64").is_err());
}
