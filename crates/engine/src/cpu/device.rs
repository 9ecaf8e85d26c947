//! The backend's resources and settings.

use super::buffer::Pool;
use super::busy_wait::InOperation;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Default limit of the memory for packed panels of frozen weights (2 GiB).
const PANEL_BUDGET: usize = 2 << 30;

/// The CPU backend: f32 on all cores, with the best vector instructions that the machine has. Results do not
/// depend on the number of threads.
pub struct Cpu {
    pub(super) pool: Arc<Pool>,
    pub(super) workers: Arc<rayon::ThreadPool>,
    /// Bytes left for packed panels.
    pub(super) budget: Arc<AtomicUsize>,
    /// Bytes left for cached Winograd filters.
    pub(super) room: Arc<AtomicUsize>,
    /// True while a pass keeps the workers awake.
    pub(super) awake: Arc<AtomicBool>,
    /// True if products with frozen weights are computed in bfloat16.
    pub(super) bf16: bool,
    /// The same in f32, where this one is not.
    pub(super) exact: Option<Box<Cpu>>,
}

impl Cpu {
    /// A backend with `threads` threads (0: one per core).
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Self::with_panel_budget(threads, PANEL_BUDGET)
    }

    /// Like [`Cpu::new`], with the number of bytes that packed panels of frozen weights may take. Weights
    /// beyond it are widened and packed at every use.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn with_panel_budget(threads: usize, bytes: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("fairhuman-{i}"))
            .build()?;
        let (workers, budget) = (Arc::new(workers), Arc::new(AtomicUsize::new(bytes)));
        let (pool, room, awake) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { pool, workers, budget, room, awake, bf16: false, exact: None })
    }

    /// The same backend with a cache of this size for the Winograd transforms of 3x3 filters prepared from
    /// now on, which are four times as large as the filters and are otherwise computed at every use. It pays
    /// where few pictures pass through the same weights many times, as in sampling; results are the same
    /// bits. Default: none.
    pub fn with_filter_cache(mut self, bytes: usize) -> Self {
        self.room = Arc::new(AtomicUsize::new(bytes));
        if let Some(exact) = &mut self.exact {
            exact.room = self.room.clone();
        }
        self
    }

    /// The same backend with operands of bfloat16 and f32 sums in products with frozen weights: of linear
    /// layers and of convolutions of stride 1. Tensors, trained weights and everything else stay f32. Where
    /// [`probe`](crate::peak::probe) finds no fast instructions for it, the results are those of such
    /// instructions but for the order of sums, and f32 is faster. [`exact`](crate::Backend::exact) computes
    /// all in f32.
    pub fn in_bf16(mut self) -> Self {
        let exact = Self {
            pool: self.pool.clone(),
            workers: self.workers.clone(),
            budget: self.budget.clone(),
            room: self.room.clone(),
            awake: self.awake.clone(),
            bf16: false,
            exact: None,
        };
        self.exact = Some(Box::new(exact));
        self.bf16 = true;
        self
    }

    /// Limits the memory of tensors and packed weights, including pooled buffers, to this many bytes from now
    /// on. Allocations beyond it are an error of [`attempt`](crate::Backend::attempt). Default: no limit but
    /// the system's.
    pub fn limit_memory(&self, bytes: usize) {
        self.pool.limit(bytes / size_of::<f32>());
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.workers.current_num_threads()
    }

    pub(super) fn run<T: Send>(&self, op: impl FnOnce() -> T + Send) -> T {
        self.workers.install(|| {
            let _busy = InOperation::start();
            op()
        })
    }
}
