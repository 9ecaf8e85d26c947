//! NCCL: tensors of several processes, with a card each, summed and copied from card to card.
//!
//! libtorch's part for NVIDIA cards needs NCCL, so the library is in the process already. Operations go to
//! the stream that libtorch computes on: each waits for the work before it, and the work after it for each.

use super::handle::{Handle, Type};
use super::library::{Library, library};
use super::symbols::{NcclFunctions, RawCommunicator, Shared};
use crate::backend::out_of_memory;
use crate::{Device, Tensor};
use std::ffi::{CStr, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `ncclFloat32`.
const F32: i32 = 7;
/// `ncclSum`.
const SUM: i32 = 0;
/// `ncclInProgress`: no error.
const IN_PROGRESS: i32 = 7;
/// Operations from `ncclGroupStart` to `ncclGroupEnd`; NCCL's guide allows 2,048.
const GROUP: usize = 1024;
/// Time that a call under way has to end before it is aborted: one that waits for no other process ends
/// within it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An opened NCCL.
#[derive(Clone, Copy)]
pub struct Nccl(NcclFunctions);

/// Name of a communicator: one process makes it and gives it to all that join.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId(pub [u8; 128]);

/// This process's end of a communicator.
pub struct Communicator {
    functions: NcclFunctions,
    raw: RawCommunicator,
    rank: usize,
    device: Device,
    state: Mutex<State>,
    /// Told when a call has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    calling: bool,
    failed: bool,
    aborted: bool,
}

// SAFETY: NCCL's communicators belong to no thread. Calls are made one after another, by the thread that
// trains; the only one beside them is the abort that ends a call which waits for a process that is gone.
unsafe impl Send for Communicator {}
// SAFETY: likewise.
unsafe impl Sync for Communicator {}

/// An operation on one tensor.
struct Transfer {
    root: i32,
    from: *const c_void,
    to: *mut c_void,
    count: usize,
}

impl NcclFunctions {
    fn check(&self, name: &str, status: i32) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: any number is accepted, and static text comes back.
        let text = unsafe { CStr::from_ptr((self.ncclGetErrorString)(status)) }.to_string_lossy();
        Err(format!("NCCL: {name}: {text} (with NCCL_DEBUG=WARN in the environment NCCL says more)"))
    }
}

impl Nccl {
    /// The NCCL that libtorch computes with.
    ///
    /// # Errors
    /// A libtorch without CUDA, or without NCCL.
    pub fn of(library: &'static Library) -> Result<Self, String> {
        let beside = library.folder().join("../../nvidia/nccl/lib/libnccl.so.2");
        library.cuda()?.nccl.map_or_else(|| Self::open(&beside), |functions| Ok(Self(functions)))
    }

    /// The NCCL in a file.
    ///
    /// # Errors
    /// A file that does not open, or lacks a function.
    pub fn open(file: &Path) -> Result<Self, String> {
        let opened = Shared::open(file).and_then(|shared| NcclFunctions::load(&shared, ""));
        opened.map(Self).map_err(|cause| format!("cannot use NCCL of {}: {cause}", file.display()))
    }

    /// Its version: 22809 is 2.28.9.
    ///
    /// # Errors
    /// NCCL's own.
    pub fn version(&self) -> Result<i32, String> {
        let mut version = 0;
        // SAFETY: a place for the result.
        self.0.check("ncclGetVersion", unsafe { (self.0.ncclGetVersion)(&mut version) })?;
        Ok(version)
    }

    /// A name for a new communicator.
    ///
    /// # Errors
    /// NCCL's own: no network interface that it can use, say.
    pub fn unique_id(&self) -> Result<UniqueId, String> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: a place for the result.
        self.0.check("ncclGetUniqueId", unsafe { (self.0.ncclGetUniqueId)(&mut id) })?;
        Ok(id)
    }

    /// Joins a communicator of `size` processes as number `rank`, with a device that no other has, and waits
    /// for the others.
    ///
    /// # Errors
    /// NCCL's own.
    pub fn join(
        self,
        device: Device,
        id: UniqueId,
        (rank, size): (usize, usize),
    ) -> Result<Communicator, String> {
        if let Device::Cuda(index) = device {
            library().cuda()?.select(index.into());
        }
        let mut raw = null_mut();
        // SAFETY: a place for the result, and numbers, which NCCL checks.
        let status = unsafe { (self.0.ncclCommInitRank)(&mut raw, size as i32, id, rank as i32) };
        self.0.check("ncclCommInitRank", status).map_err(|error| format!("rank {rank}: {error}"))?;
        let (state, ended) = (Mutex::default(), Condvar::new());
        Ok(Communicator { functions: self.0, raw, rank, device, state, ended })
    }
}

impl Communicator {
    /// Sums f32 tensors over all processes, each for the rank that owns it, and returns the sums that this
    /// process owns, in their order. Owners and shapes are the same in all processes. The card may still be
    /// at work afterwards.
    ///
    /// # Errors
    /// NCCL's own, with the rank; a communicator that was aborted.
    pub fn reduce(&self, tensors: &[(usize, Tensor)]) -> Result<Vec<Tensor>, String> {
        let sums = self.destinations(tensors, |owner| owner == self.rank);
        let stream = self.stream()?;
        // SAFETY: addresses of as many f32 values each on the communicator's device, whose stream this is.
        // NCCL writes to `to` at the root only, where it is not shared.
        self.grouped("ncclReduce", tensors, &sums, |Transfer { root, from, to, count }| unsafe {
            (self.functions.ncclReduce)(from, to, count, F32, SUM, root, self.raw, stream)
        })?;
        let owned = tensors.iter().zip(sums).filter(|((owner, _), _)| *owner == self.rank);
        Ok(owned.map(|(_, sum)| sum).collect())
    }

    /// Gives every process the owner's values of each f32 tensor, and returns them all, in order. Owners and
    /// shapes are the same in all processes. The card may still be at work afterwards.
    ///
    /// # Errors
    /// As [`Communicator::reduce`].
    pub fn broadcast(&self, tensors: &[(usize, Tensor)]) -> Result<Vec<Tensor>, String> {
        let copies = self.destinations(tensors, |owner| owner != self.rank);
        let stream = self.stream()?;
        // SAFETY: as in `reduce`. NCCL reads `from` at the root only and writes the same to `to` there, which
        // changes nothing; elsewhere `to` is not shared.
        self.grouped("ncclBroadcast", tensors, &copies, |Transfer { root, from, to, count }| unsafe {
            (self.functions.ncclBroadcast)(from, to, count, F32, root, self.raw, stream)
        })?;
        Ok(copies)
    }

    /// True once the card has done all that it was given.
    ///
    /// # Errors
    /// Operations that failed meanwhile; a communicator that was aborted.
    pub fn is_done(&self) -> Result<bool, String> {
        self.call(|functions| {
            let mut status = 0;
            // SAFETY: a communicator that was not aborted, and a place for the result.
            let call = unsafe { (functions.ncclCommGetAsyncError)(self.raw, &mut status) };
            functions.check("ncclCommGetAsyncError", call)?;
            let status = if status == IN_PROGRESS { 0 } else { status };
            functions.check("an operation on the card", status)
        })?;
        match self.device {
            Device::Cpu => Ok(true),
            Device::Cuda(index) => library().cuda()?.is_done(index.into(), self.stream()?),
        }
    }

    /// Ends all operations under way, here and on the card, with whatever results: for a process that another
    /// one has left, from a thread other than the one that may wait for it.
    pub fn abort(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.aborted, true) {
            return;
        }
        let waited = self.ended.wait_timeout_while(state, PATIENCE, |state| state.calling);
        // Released before the abort: a call that this ends takes it.
        drop(waited);
        // SAFETY: a communicator that was not aborted before. No call is under way, or one that waits, and
        // `aborted` lets no other begin.
        unsafe { (self.functions.ncclCommAbort)(self.raw) };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tensors that results are written to: those given, or new ones where values are written that others
    /// share. Each lacks the 16-bit copy of what was there before.
    fn destinations(&self, tensors: &[(usize, Tensor)], writes: impl Fn(usize) -> bool) -> Vec<Tensor> {
        let destination = |(owner, tensor): &(usize, Tensor)| {
            let values = tensor.values();
            assert_eq!((values.kind(), values.device()), (Type::F32, self.device), "what a group exchanges");
            if !writes(*owner) || !tensor.is_shared() {
                return tensor.view(values.clone());
            }
            let bytes = values.count() as usize * Type::F32.size();
            let made = Handle::try_empty(&values.sizes(), Type::F32, self.device);
            Tensor::new(made.unwrap_or_else(|| out_of_memory(bytes)))
        };
        tensors.iter().map(destination).collect()
    }

    fn stream(&self) -> Result<*mut c_void, String> {
        match self.device {
            Device::Cpu => Ok(null_mut()),
            Device::Cuda(index) => Ok(library().cuda()?.stream(index.into())),
        }
    }

    /// One operation for each tensor, many to a group.
    fn grouped(
        &self,
        name: &str,
        tensors: &[(usize, Tensor)],
        destinations: &[Tensor],
        operation: impl Fn(Transfer) -> i32,
    ) -> Result<(), String> {
        for (tensors, destinations) in tensors.chunks(GROUP).zip(destinations.chunks(GROUP)) {
            let transfers = tensors.iter().zip(destinations).map(|((owner, from), to)| {
                let (from, to) = (from.values(), to.values());
                let count = from.count() as usize;
                Transfer { root: *owner as i32, from: from.data(), to: to.data(), count }
            });
            self.call(|functions| {
                // SAFETY: begins a group of this thread, which is ended below whatever fails in between.
                functions.check("ncclGroupStart", unsafe { (functions.ncclGroupStart)() })?;
                let mut transfers = transfers;
                let begun = transfers.try_for_each(|transfer| functions.check(name, operation(transfer)));
                // SAFETY: ends that group.
                let ended = functions.check("ncclGroupEnd", unsafe { (functions.ncclGroupEnd)() });
                begun.and(ended)
            })?;
        }
        Ok(())
    }

    /// Makes calls, unless the communicator was aborted before or is meanwhile.
    fn call(&self, calls: impl FnOnce(&NcclFunctions) -> Result<(), String>) -> Result<(), String> {
        let aborted = || Err(format!("rank {}: NCCL: the exchange was aborted", self.rank));
        let mut state = self.state();
        if state.aborted {
            return aborted();
        }
        state.calling = true;
        drop(state);
        let result = calls(&self.functions);
        let mut state = self.state();
        state.calling = false;
        state.failed |= result.is_err();
        self.ended.notify_all();
        if state.aborted { aborted() } else { result.map_err(|error| format!("rank {}: {error}", self.rank)) }
    }
}

impl Drop for Communicator {
    /// After a failure others may be gone, and an orderly end would wait for them.
    fn drop(&mut self) {
        let State { failed, aborted, .. } = *self.state();
        if failed {
            self.abort();
        } else if !aborted {
            // SAFETY: a communicator that was not aborted, and that is no longer called.
            unsafe { (self.functions.ncclCommDestroy)(self.raw) };
        }
    }
}
