//! Downloads: what is fetched, how it goes on, what is refused, and what the cache then looks like.

use std::fs;
use std::path::{Path, PathBuf};

use fairhuman_hub::{Cache, HubError, Name, Progress, Settings, download};

use crate::server::{COMMIT, Server};

const WEIGHTS: &str = "unet/diffusion_pytorch_model.fp16.safetensors";

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |n: usize| (0..n).map(|i| (i * 7 % 251) as u8).collect::<Vec<u8>>();
    vec![
        ("README.md", b"no".to_vec()),
        ("model_index.json", br#"{"_class_name": "StableDiffusionXLPipeline"}"#.to_vec()),
        ("unet/config.json", b"{}".to_vec()),
        (WEIGHTS, bytes(300_000)),
        ("unet/diffusion_pytorch_model.safetensors", bytes(500_000)),
        ("whole.safetensors", bytes(1000)),
    ]
}

fn settings(server: &Server, cache: &Path) -> Settings {
    Settings {
        endpoint: server.endpoint.clone(),
        cache: cache.into(),
        token: Some("secret".into()),
        offline: false,
    }
}

fn name(text: &str) -> Name {
    Name::parse(text, "").expect("a name")
}

fn get(settings: &Settings, text: &str) -> Result<PathBuf, HubError> {
    download(settings, &name(text), &mut |_| {})
}

#[test]
fn a_model_is_stored_as_python_stores_it_and_found_again() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&server, folder.path());
    assert_eq!(Cache::new(&settings).find(&name("org/people")), None);
    let mut last = 0;
    let mut announced = 0;
    let snapshot = download(&settings, &name("org/people"), &mut |event| match event {
        Progress::Files { files } => announced = files.iter().map(|file| file.size).sum(),
        Progress::Received { bytes } => last = bytes,
        Progress::Again { reason, .. } => panic!("{reason}"),
    });
    let snapshot = snapshot.expect("downloaded");
    assert_eq!((last, announced), (announced, last));

    let repository = folder.path().join("models--org--people");
    assert_eq!(snapshot, repository.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(repository.join("refs/main")).expect("a reference"), COMMIT);
    for (path, bytes) in files() {
        let here = snapshot.join(path);
        let wanted = matches!(path, "model_index.json" | "unet/config.json" | WEIGHTS);
        assert_eq!(here.is_file(), wanted, "{path}");
        if wanted {
            assert_eq!(fs::read(&here).expect("read"), bytes);
        }
    }
    #[cfg(unix)]
    {
        let link = fs::read_link(snapshot.join(WEIGHTS)).expect("a link");
        assert!(link.starts_with("../../../blobs"), "{}", link.display());
        assert_eq!(link.file_name().expect("a name").len(), 64);
    }
    assert_eq!(Cache::new(&settings).find(&name("org/people")), Some(snapshot.clone()));
    assert_eq!(Cache::snapshot_in(&repository), Some(snapshot));
    // The token went to the Hub, and to it only.
    let log = server.log();
    assert!(log.iter().any(|line| line.starts_with("GET /api") && line.ends_with("signed")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("GET /cdn") && !line.ends_with("signed")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("/cdn") && line.ends_with("signed")), "{log:?}");

    // Again: nothing is fetched.
    get(&settings, "org/people").expect("there already");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    server.world.lock().expect("the world").cuts.insert(WEIGHTS.into(), vec![100_000, 50_000]);
    let snapshot = get(&settings(&server, folder.path()), "org/people").expect("downloaded");
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).expect("read"), files()[3].1);
    let ranges: Vec<String> = server.log().into_iter().filter(|line| line.starts_with("GET /cdn")).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[1].contains("bytes=100000-") && ranges[2].contains("bytes=150000-"), "{ranges:?}");
}

#[test]
fn a_server_that_ignores_ranges_sends_all_again() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    {
        let mut world = server.world.lock().expect("the world");
        world.cuts.insert(WEIGHTS.into(), vec![100_000]);
        world.whole_only = true;
    }
    let snapshot = get(&settings(&server, folder.path()), "org/people").expect("downloaded");
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).expect("read"), files()[3].1);
}

#[test]
fn what_differs_from_its_hash_is_refused_and_forgotten() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&server, folder.path());
    server.world.lock().expect("the world").altered.push(WEIGHTS.into());
    let error = get(&settings, "org/people").expect_err("altered");
    assert!(matches!(&error, HubError::Checksum { file, .. } if file == WEIGHTS), "{error}");
    // A repository that is not whole has no reference, so it is not taken for one.
    assert_eq!(Cache::new(&settings).find(&name("org/people")), None);
    server.world.lock().expect("the world").altered.clear();
    get(&settings, "org/people").expect("now it is right");
}

#[test]
fn one_file_by_its_address() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&server, folder.path());
    let address = format!("{}/org/people/resolve/main/whole.safetensors", server.endpoint);
    let name = Name::parse(&address, &server.endpoint).expect("a name");
    let file = download(&settings, &name, &mut |_| {}).expect("downloaded");
    assert_eq!(fs::read(&file).expect("read").len(), 1000);
    assert_eq!(Cache::new(&settings).find(&name), Some(file));
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(&server, folder.path());
    let says = |settings: &Settings, text: &str, words: &[&str]| {
        let error = get(settings, text).expect_err(text).to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{text}: {error}"));
    };
    says(&settings, "org/gated", &["licence", "/org/gated", "HF_TOKEN"]);
    says(&settings, "org/nobody", &["org/nobody", "misspelt", "with this token"]);
    says(&settings, "org/people@v9", &["no revision v9"]);
    says(&settings, "org/people/nope.safetensors", &["no file nope.safetensors", "whole.safetensors"]);
    settings.token = None;
    says(&settings, "org/nobody", &["without a token"]);
    settings.offline = true;
    says(&settings, "org/people", &["HF_HUB_OFFLINE"]);
    assert!(server.log().iter().all(|line| !line.contains("/cdn")));
}

#[test]
fn two_downloads_of_one_file_do_not_mix() {
    let server = Server::start(&files());
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&server, folder.path());
    let lock = folder.path().join(".locks/models--org--people");
    fs::create_dir_all(&lock).expect("a folder");
    let snapshot = get(&settings, "org/people").expect("downloaded");
    let blob = fs::canonicalize(snapshot.join(WEIGHTS)).expect("a blob");
    fs::remove_file(&blob).expect("removed");
    let held = fs::File::create(lock.join(format!("{}.lock", blob.file_name().expect("a name").display())))
        .expect("a lock");
    held.lock().expect("locked");
    let error = get(&settings, "org/people").expect_err("locked");
    assert!(matches!(error, HubError::Locked { .. }), "{error}");
    drop(held);
    get(&settings, "org/people").expect("free again");
}
