//! An opened libtorch. There is one in a process: its libraries share global state, and handles are its own.

use super::cuda::Cuda;
use super::symbols::{
    Allocation, Context, Exceptions, Functions, ScalarFunctions, Shared, Threads, file_name,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Version of libtorch's C interface that this crate is written for: 2.11.
pub(super) const WRITTEN_FOR: u64 = (2 << 56) | (11 << 48);

/// An opened libtorch.
pub struct Library {
    folder: PathBuf,
    pub(super) functions: Functions,
    pub(super) cpu: ScalarFunctions,
    pub(super) allocation: Allocation,
    pub(super) exceptions: Option<Exceptions>,
    threads: Option<Threads>,
    cuda: OnceLock<Result<Cuda, String>>,
}

/// Version of a libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 of 2.11.0.
    pub major: u8,
    /// 11 of 2.11.0.
    pub minor: u8,
    /// 0 of 2.11.0.
    pub patch: u8,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A libtorch that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A library that does not open, or lacks a function.
    #[error("cannot use libtorch of {folder}: {cause} (torch 2.11 or newer is needed)")]
    Unusable {
        /// The folder.
        folder: String,
        /// The loader's message.
        cause: String,
    },
    /// Another one is in use already.
    #[error("libtorch of {0} is in use already, and a process has one")]
    Other(String),
    /// No CUDA in this libtorch, no driver, or no such card.
    #[error("no device {device}: {cause}")]
    NoDevice {
        /// `cuda:N`.
        device: String,
        /// The reason.
        cause: String,
    },
}

static LIBRARY: OnceLock<Library> = OnceLock::new();
/// Held while a library is opened.
static OPENING: Mutex<()> = Mutex::new(());

/// The opened library.
///
/// # Panics
/// If there is none: handles, from which all calls come, exist only after [`Library::open`].
pub(crate) fn library() -> &'static Library {
    LIBRARY.get().expect("an opened libtorch")
}

/// Makes f32 products and convolutions f32, which cuDNN's are not by default, and cuBLAS' not where an
/// environment variable says so.
fn refuse_tf32(context: &Context) {
    // SAFETY: a reference to the process's context, which lives as long, and methods of it.
    unsafe {
        let global = (context._ZN2at13globalContextEv)();
        (context._ZN2at7Context18setAllowTF32CuBLASEb)(global, false);
        (context._ZN2at7Context17setAllowTF32CuDNNEb)(global, false);
    }
}

impl Library {
    /// Opens libtorch in a folder, such as `.../site-packages/torch/lib`. Opening it again is free.
    ///
    /// # Errors
    /// A folder without libtorch, one that is too old, or another folder than before.
    pub fn open(folder: &Path) -> Result<&'static Library, LoadError> {
        let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = LIBRARY.get() {
            let same = open.folder == folder;
            return if same { Ok(open) } else { Err(LoadError::Other(open.folder.display().to_string())) };
        }
        let unusable = |cause| LoadError::Unusable { folder: folder.display().to_string(), cause };
        let shared = Shared::open(&folder.join(file_name("torch_cpu"))).map_err(unusable)?;
        let library = Library {
            folder: folder.to_owned(),
            functions: Functions::load(&shared, "").map_err(unusable)?,
            cpu: ScalarFunctions::load(&shared, "aoti_torch_cpu_").map_err(unusable)?,
            allocation: Allocation::load(&shared, "").map_err(unusable)?,
            exceptions: Exceptions::load(&shared, "").ok(),
            threads: Threads::load(&shared, "").ok(),
            cuda: OnceLock::new(),
        };
        if library.version() < (Version { major: 2, minor: 11, patch: 0 }) {
            return Err(unusable(format!("it is version {}", library.version())));
        }
        if let Ok(context) = Context::load(&shared, "") {
            refuse_tf32(&context);
        }
        Ok(LIBRARY.get_or_init(|| library))
    }

    /// The folder that it was found in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its version.
    pub fn version(&self) -> Version {
        // SAFETY: a function without arguments.
        let number = unsafe { (self.functions.aoti_torch_abi_version)() };
        let [major, minor, patch, ..] = number.to_be_bytes();
        Version { major, minor, patch }
    }

    /// Sets the number of threads that operations on the CPU use. False if this libtorch offers no way.
    pub fn set_threads(&self, threads: usize) -> bool {
        let (Some(function), Ok(threads)) = (self.threads, i32::try_from(threads)) else { return false };
        // SAFETY: any number above zero is accepted.
        unsafe { (function._ZN2at15set_num_threadsEi)(threads.max(1)) };
        true
    }

    /// Its part for NVIDIA cards, opened at the first call (half a second).
    ///
    /// # Errors
    /// The reason why there is none, in words.
    pub(crate) fn cuda(&self) -> Result<&Cuda, &str> {
        self.cuda.get_or_init(|| Cuda::open(&self.folder)).as_ref().map_err(String::as_str)
    }

    /// Bytes of a card's memory that are free, and all.
    pub fn cuda_memory(&self, card: u8) -> Option<(usize, usize)> {
        self.cuda().ok()?.memory(card.into())
    }

    /// Number of NVIDIA cards that it can use.
    ///
    /// # Errors
    /// The reason why it can use none, in words.
    pub fn cuda_devices(&self) -> Result<usize, String> {
        self.cuda().map_err(str::to_owned)?.devices()
    }
}
