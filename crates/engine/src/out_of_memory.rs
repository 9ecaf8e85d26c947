//! Memory that cannot be had: an error for callers, although operations return plain tensors.
//!
//! Every operation of a pass may run out of memory, and only the caller of the whole pass can do something
//! about it: take a smaller batch, or save and stop. If each operation returned a `Result`, every layer,
//! network and closure of the tape would pass on an error that none of them can handle. So a backend unwinds
//! with this type as payload ([`OutOfMemory::raise`]), and [`Backend::attempt`](crate::Backend::attempt)
//! turns exactly this payload into an `Err` and lets other panics, which are bugs, go on.
//!
//! [`std::panic::resume_unwind`] does not call the panic hook, so nothing is printed. Rayon hands a payload
//! on from the worker to whoever waits for it, after all other workers are done with the operation. Tensors
//! are freed on the way.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Memory for a tensor or a weight that a backend could not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for (`usize::MAX` if more than can be addressed).
    pub bytes: usize,
    /// Bytes that the backend's tensors and weights took then.
    pub in_use: usize,
}

impl OutOfMemory {
    /// Ends the work inside the innermost [`Backend::attempt`](crate::Backend::attempt), for backends to
    /// call. It is called before an operation changes anything that others can see.
    pub fn raise(self) -> ! {
        resume_unwind(Box::new(self))
    }

    /// [`Backend::attempt`](crate::Backend::attempt) for work with no backend at hand, such as a whole
    /// program.
    ///
    /// # Errors
    /// The error given to [`OutOfMemory::raise`].
    pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Self> {
        // What may be seen half-changed afterwards is documented at `Backend::attempt`.
        catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<Self>() {
            Ok(error) => *error,
            Err(other) => resume_unwind(other),
        })
    }
}

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        write!(f, "out of memory: {:.1} MiB more were needed, ", mib(self.bytes))?;
        write!(f, "with {:.1} MiB of tensors and weights in use", mib(self.in_use))
    }
}

impl std::error::Error for OutOfMemory {}
