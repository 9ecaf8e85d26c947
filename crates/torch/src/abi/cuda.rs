//! The part of libtorch for NVIDIA cards, and the CUDA runtime inside it.

use super::symbols::{CudaRuntime, ScalarFunctions, Shared, file_name};
use std::path::Path;

/// `libtorch_cuda`.
pub(crate) struct Cuda {
    pub(super) functions: ScalarFunctions,
    runtime: CudaRuntime,
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
