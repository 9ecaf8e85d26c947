//! The part of libtorch for NVIDIA cards, and the CUDA runtime inside it.

use super::symbols::{CudaRuntime, NcclFunctions, ScalarFunctions, Shared, Streams, file_name};
use std::ffi::c_void;
use std::path::Path;
use std::ptr::null_mut;

/// `cudaErrorNotReady`.
const NOT_READY: i32 = 600;

/// `libtorch_cuda`.
pub(crate) struct Cuda {
    pub(super) functions: ScalarFunctions,
    runtime: CudaRuntime,
    streams: Streams,
    /// NCCL, which it needs itself, unless it was built without.
    pub(super) nccl: Option<NcclFunctions>,
}

impl Cuda {
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(file_name("torch_cuda"));
        if !path.exists() {
            return Err(format!("{} is a libtorch without CUDA", folder.display()));
        }
        let shared = Shared::open(&path)?;
        Ok(Self {
            functions: ScalarFunctions::load(&shared, "aoti_torch_cuda_")?,
            runtime: CudaRuntime::load(&shared, "")?,
            streams: Streams::load(&shared, "")?,
            nccl: NcclFunctions::load(&shared, "").ok(),
        })
    }

    /// Number of cards.
    pub(super) fn devices(&self) -> Result<usize, String> {
        let mut count = 0;
        // SAFETY: a place for the result.
        let status = unsafe { (self.runtime.cudaGetDeviceCount)(&mut count) };
        match (status, usize::try_from(count)) {
            (0, Ok(count)) if count > 0 => Ok(count),
            (0, _) => Err("no NVIDIA card was found".to_owned()),
            _ => Err(format!("CUDA finds no usable driver or card (its error {status})")),
        }
    }

    /// Waits for all work of a card.
    pub(crate) fn synchronize(&self, index: i32) {
        // SAFETY: numbers only; an error of an earlier operation comes back from its successor, too.
        unsafe {
            (self.runtime.cudaSetDevice)(index);
            (self.runtime.cudaDeviceSynchronize)();
        }
    }

    /// Makes a card the calling thread's.
    pub(super) fn select(&self, index: i32) {
        // SAFETY: a number only; a card that is not there is an error of what comes next.
        unsafe { (self.runtime.cudaSetDevice)(index) };
    }

    /// The stream that libtorch's operators use on a card: null for the card's own.
    pub(super) fn stream(&self, index: i32) -> *mut c_void {
        let mut stream = null_mut();
        // SAFETY: a number, and a place for the result.
        let status = unsafe { (self.streams.aoti_torch_get_current_cuda_stream)(index, &mut stream) };
        super::call::check(status, "the current stream", &[]);
        stream
    }

    /// True once a stream of a card has nothing left to do.
    pub(super) fn is_done(&self, index: i32, stream: *mut c_void) -> Result<bool, String> {
        self.select(index);
        // SAFETY: a stream of this card.
        match unsafe { (self.runtime.cudaStreamQuery)(stream) } {
            0 => Ok(true),
            NOT_READY => Ok(false),
            error => Err(format!("CUDA error {error} on card {index}")),
        }
    }

    /// Bytes of a card that are free, and all.
    pub(crate) fn memory(&self, index: i32) -> Option<(usize, usize)> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: places for the results.
        let status = unsafe {
            (self.runtime.cudaSetDevice)(index);
            (self.runtime.cudaMemGetInfo)(&mut free, &mut total)
        };
        (status == 0).then_some((free, total))
    }
}
