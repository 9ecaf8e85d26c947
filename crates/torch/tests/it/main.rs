//! The backend on libtorch conforms, on the CPU. Where no libtorch is found these tests say that they were
//! left out, unless `FAIRHUMAN_LIBTORCH` names one, which must be there.

mod bf16;
mod f32;
mod traps;

use fairhuman_torch::{Device, Library, Places, Precision, Torch, find};
use std::sync::LazyLock;

/// Threads of libtorch's operations. More than one, so that work is divided.
const THREADS: usize = 2;

/// libtorch, if there is one.
fn library() -> Option<&'static Library> {
    static FOUND: LazyLock<Option<&'static Library>> = LazyLock::new(|| {
        let variable = |name: &str| std::env::var_os(name);
        let named =
            variable("FAIRHUMAN_LIBTORCH").map(|folder| ("FAIRHUMAN_LIBTORCH".to_owned(), folder.into()));
        let required = named.is_some();
        let virtual_env = variable("VIRTUAL_ENV").map(Into::into);
        match find(&Places { named, virtual_env, python: Some("python3".into()) }) {
            Ok(folder) => {
                let library = Library::open(&folder).expect("a libtorch that opens");
                library.set_threads(THREADS);
                Some(library)
            }
            Err(error) if required => panic!("{error}"),
            Err(error) => {
                eprintln!("left out: {error}");
                None
            }
        }
    });
    *FOUND
}

/// Backends on the CPU, or on the first card if `FAIRHUMAN_TEST_DEVICE` is `cuda`; none without libtorch.
fn backends(precision: Precision) -> Vec<Torch> {
    let card = std::env::var("FAIRHUMAN_TEST_DEVICE").is_ok_and(|device| device == "cuda");
    let device = if card { Device::Cuda(0) } else { Device::Cpu };
    let open = |library| Torch::new(library, device, precision).expect("the device");
    library().map(open).into_iter().collect()
}
