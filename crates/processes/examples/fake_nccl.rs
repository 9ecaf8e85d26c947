//! NCCL for tests: its functions under its names, for ranks that are threads of one process with tensors in
//! host memory. It adds in the order of the ranks, waits for ranks that do not come, as NCCL does, and
//! refuses calls that differ between ranks, where NCCL would go wrong without a word.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

const SUCCESS: c_int = 0;
const INVALID_ARGUMENT: c_int = 4;
const INVALID_USAGE: c_int = 5;
const REMOTE_ERROR: c_int = 6;
/// Most operations of a group.
const MOST: usize = 2048;

/// A rank's part in an operation.
#[derive(Clone, Copy)]
struct Part {
    /// Operation, values and root, which are the same in all ranks.
    call: (&'static str, usize, c_int),
    from: *const f32,
    to: *mut f32,
}

// SAFETY: the thread that gave the addresses waits until the operation has been made.
unsafe impl Send for Part {}

/// Where the ranks of a communicator meet.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    joined: usize,
    parts: Vec<Option<Part>>,
    /// Result of the operation that all have come to, until all have seen it.
    result: Option<c_int>,
    seen: usize,
    aborted: bool,
}

struct Communicator {
    rank: usize,
    board: Arc<Board>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([u8; 128]);

static BOARDS: LazyLock<Mutex<BTreeMap<[u8; 128], Arc<Board>>>> = LazyLock::new(Mutex::default);
static IDS: Mutex<u64> = Mutex::new(0);

/// A rank's part of an operation of a communicator.
type Operation = (Arc<Board>, usize, Part);

thread_local! {
    /// Operations since `ncclGroupStart`.
    static GROUP: RefCell<Option<Vec<Operation>>> = const { RefCell::new(None) };
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_while(state, |state| !state.aborted && !until(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part in the next operation, and waits for the others.
    fn take_part(&self, rank: usize, part: Part) -> c_int {
        // The operation before is over once all have seen its result.
        let mut state = self.wait(lock(&self.state), |state| state.result.is_none());
        state.parts[rank] = Some(part);
        self.changed.notify_all();
        let mut state =
            self.wait(state, |state| state.result.is_some() || state.parts.iter().all(Option::is_some));
        if state.aborted {
            return REMOTE_ERROR;
        }
        let result = match state.result {
            Some(result) => result,
            None => made(&state.parts.iter().flatten().copied().collect::<Vec<_>>()),
        };
        (state.result, state.seen) = (Some(result), state.seen + 1);
        if state.seen == state.parts.len() {
            (state.result, state.seen) = (None, 0);
            state.parts.fill(None);
        }
        self.changed.notify_all();
        result
    }
}

/// Makes an operation that all ranks have come to.
fn made(parts: &[Part]) -> c_int {
    let (name, count, root) = parts[0].call;
    let Some(owner) = usize::try_from(root).ok().and_then(|root| parts.get(root)) else {
        return INVALID_ARGUMENT;
    };
    if parts.iter().any(|part| part.call != parts[0].call) {
        return INVALID_ARGUMENT;
    }
    // SAFETY: every rank gave addresses of `count` values and waits; nothing else uses them meanwhile.
    // The result is made before any of it is written, so that they may be the same.
    unsafe {
        let values = |part: &Part| std::slice::from_raw_parts(part.from, count).to_vec();
        let write = |part: &Part, values: &[f32]| {
            std::ptr::copy_nonoverlapping(values.as_ptr(), part.to, count);
        };
        if name == "broadcast" {
            let result = values(owner);
            parts.iter().for_each(|part| write(part, &result));
        } else {
            let mut sums = vec![0.0; count];
            for part in parts {
                sums.iter_mut().zip(values(part)).for_each(|(sum, value)| *sum += value);
            }
            write(owner, &sums);
        }
    }
    SUCCESS
}

/// # Safety
/// A communicator that was made here and not destroyed.
unsafe fn communicator<'a>(raw: *mut c_void) -> &'a Communicator {
    // SAFETY: the caller's.
    unsafe { &*raw.cast() }
}

/// Adds an operation to this thread's group.
fn queue(raw: *mut c_void, part: Part, kind: c_int, stream: *mut c_void) -> c_int {
    if kind != 7 || !stream.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: callers have joined it.
    let communicator = unsafe { communicator(raw) };
    GROUP.with_borrow_mut(|group| match group {
        Some(operations) if operations.len() < MOST => {
            operations.push((communicator.board.clone(), communicator.rank, part));
            SUCCESS
        }
        _ => INVALID_USAGE,
    })
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller's place.
    unsafe { version.write(22809) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetErrorString(status: c_int) -> *const c_char {
    let text = match status {
        INVALID_ARGUMENT => c"invalid argument",
        INVALID_USAGE => c"invalid usage",
        REMOTE_ERROR => c"remote process exited or there was a network error",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> c_int {
    let mut made = [0; 128];
    let mut ids = lock(&IDS);
    *ids += 1;
    // The last bytes count, too: an id that is handed over in part is another one.
    made[120..].copy_from_slice(&ids.to_le_bytes());
    // SAFETY: the caller's place.
    unsafe { id.write(UniqueId(made)) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommInitRank(raw: *mut *mut c_void, size: c_int, id: UniqueId, rank: c_int) -> c_int {
    let (Ok(size), Ok(rank)) = (usize::try_from(size), usize::try_from(rank)) else {
        return INVALID_ARGUMENT;
    };
    if rank >= size {
        return INVALID_ARGUMENT;
    }
    let made = || {
        let state = State { joined: 0, parts: vec![None; size], result: None, seen: 0, aborted: false };
        Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() })
    };
    let board = lock(&BOARDS).entry(id.0).or_insert_with(made).clone();
    let mut state = lock(&board.state);
    state.joined += 1;
    board.changed.notify_all();
    drop(board.wait(state, |state| state.joined == size));
    // SAFETY: the caller's place.
    unsafe { raw.write(Box::into_raw(Box::new(Communicator { rank, board })).cast()) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupStart() -> c_int {
    GROUP.with_borrow_mut(|group| match group {
        Some(_) => INVALID_USAGE,
        None => {
            *group = Some(Vec::new());
            SUCCESS
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupEnd() -> c_int {
    let Some(operations) = GROUP.take() else { return INVALID_USAGE };
    let results = operations.into_iter().map(|(board, rank, part)| board.take_part(rank, part));
    results.fold(SUCCESS, |first, result| if first == SUCCESS { result } else { first })
}

#[unsafe(no_mangle)]
extern "C" fn ncclReduce(
    from: *const f32,
    to: *mut f32,
    count: usize,
    kind: c_int,
    operation: c_int,
    root: c_int,
    raw: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    if operation != 0 {
        return INVALID_ARGUMENT;
    }
    queue(raw, Part { call: ("reduce", count, root), from, to }, kind, stream)
}

#[unsafe(no_mangle)]
extern "C" fn ncclBroadcast(
    from: *const f32,
    to: *mut f32,
    count: usize,
    kind: c_int,
    root: c_int,
    raw: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    queue(raw, Part { call: ("broadcast", count, root), from, to }, kind, stream)
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommGetAsyncError(raw: *mut c_void, status: *mut c_int) -> c_int {
    // SAFETY: callers have joined it, and the place is theirs.
    unsafe {
        status.write(if lock(&communicator(raw).board.state).aborted { REMOTE_ERROR } else { SUCCESS })
    };
    SUCCESS
}

/// Ends the waiting of this communicator's threads, which still hold it: its memory is not given back.
#[unsafe(no_mangle)]
extern "C" fn ncclCommAbort(raw: *mut c_void) -> c_int {
    // SAFETY: callers have joined it.
    let board = unsafe { &communicator(raw).board };
    lock(&board.state).aborted = true;
    board.changed.notify_all();
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommDestroy(raw: *mut c_void) -> c_int {
    // SAFETY: callers have joined it, and use it no more.
    drop(unsafe { Box::from_raw(raw.cast::<Communicator>()) });
    SUCCESS
}
