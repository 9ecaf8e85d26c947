//! Calls of operators by name, and of the few that have functions of their own.

use super::handle::{Handle, Type};
use super::library::{WRITTEN_FOR, library};
use super::symbols::{Object, ScalarFunctions, Status};
use crate::Device;
use crate::schema::{Base, Kind, Signature};
use fairhuman_engine::OutOfMemory;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::sync::OnceLock;

/// Most arguments or results of an operator that is called here.
const STACK: usize = 20;

/// An operator, known by its schema as libtorch prints it.
pub(crate) struct Operator {
    schema: &'static str,
    parsed: OnceLock<Parsed>,
}

struct Parsed {
    name: CString,
    overload: CString,
    signature: Signature,
}

/// An argument. Optional arguments that are there are given as themselves.
#[derive(Clone, Copy)]
pub(crate) enum Arg<'a> {
    Tensor(&'a Handle),
    Tensors(&'a [&'a Handle]),
    Int(i64),
    Ints(&'a [i64]),
    Float(f64),
    Bool(bool),
    Bools(&'a [bool]),
    Type(Type),
    /// `contiguous_format`.
    RowMajor,
    Text(&'a str),
    /// An optional argument that is not given.
    Absent,
}

impl<'a> From<&'a Handle> for Arg<'a> {
    fn from(tensor: &'a Handle) -> Self {
        Arg::Tensor(tensor)
    }
}

impl<'a> From<Option<&'a Handle>> for Arg<'a> {
    fn from(tensor: Option<&'a Handle>) -> Self {
        tensor.map_or(Arg::Absent, Arg::Tensor)
    }
}

/// A result.
pub(crate) enum Value {
    Tensor(Handle),
    Tensors(Vec<Handle>),
    /// A number, which nothing here reads.
    Number,
}

impl Operator {
    /// An operator by its schema: `aten::mm(Tensor self, Tensor mat2) -> Tensor`.
    pub(crate) const fn new(schema: &'static str) -> Self {
        Self { schema, parsed: OnceLock::new() }
    }

    /// Its schema.
    #[cfg(test)]
    pub(crate) fn schema(&self) -> &'static str {
        self.schema
    }

    fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| {
            let signature =
                Signature::parse(self.schema).unwrap_or_else(|why| panic!("{}: {why}", self.schema));
            let text = |text: &str| CString::new(text).expect("a name without zero bytes");
            Parsed { name: text(&signature.name), overload: text(&signature.overload), signature }
        })
    }

    /// Calls it with all arguments of its schema, in their order, defaults too.
    ///
    /// # Panics
    /// If the arguments are not those of the schema, or libtorch refuses them; it unwinds with
    /// [`OutOfMemory`] if there is no memory.
    pub(crate) fn call(&self, arguments: &[Arg<'_>]) -> Vec<Value> {
        let Parsed { name, overload, signature } = self.parsed();
        let fits = arguments.len() == signature.arguments.len()
            && arguments.iter().zip(&signature.arguments).all(|(argument, kind)| argument.is(*kind));
        assert!(fits, "other arguments than those of {}", self.schema);
        let mut stack = [0; STACK];
        for ((slot, argument), kind) in stack.iter_mut().zip(arguments).zip(&signature.arguments) {
            *slot = argument.encoded(*kind);
        }
        // SAFETY: the stack holds one encoded value for each argument of the schema (just checked), and has
        // room for all results. The operator takes over what the values point to.
        let status = unsafe {
            (library().functions.torch_call_dispatcher)(
                name.as_ptr(),
                overload.as_ptr(),
                stack.as_mut_ptr(),
                WRITTEN_FOR,
            )
        };
        if status != 0 {
            check(status, self.schema, &tensors(arguments));
        }
        // SAFETY: the stack now begins with the results that the schema lists.
        stack.iter().zip(&signature.results).map(|(slot, kind)| unsafe { decoded(*slot, *kind) }).collect()
    }

    /// Calls an operator whose only result is a tensor.
    pub(crate) fn tensor(&self, arguments: &[Arg<'_>]) -> Handle {
        match self.call(arguments).into_iter().next() {
            Some(Value::Tensor(tensor)) => tensor,
            _ => unreachable!("{} gives a tensor", self.schema),
        }
    }

    /// Calls an operator whose first `N` results are tensors.
    pub(crate) fn tensors<const N: usize>(&self, arguments: &[Arg<'_>]) -> [Handle; N] {
        let mut results = self.call(arguments).into_iter();
        std::array::from_fn(|_| match results.next() {
            Some(Value::Tensor(tensor)) => tensor,
            _ => unreachable!("{} gives {N} tensors", self.schema),
        })
    }
}

/// The tensors among arguments.
fn tensors<'a>(arguments: &[Arg<'a>]) -> Vec<&'a Handle> {
    let of = |argument: &Arg<'a>| match *argument {
        Arg::Tensor(tensor) => vec![tensor],
        Arg::Tensors(list) => list.to_vec(),
        _ => Vec::new(),
    };
    arguments.iter().flat_map(of).collect()
}

impl Arg<'_> {
    fn is(&self, kind: Kind) -> bool {
        let (base, list) = match self {
            Arg::Absent => return kind.optional,
            Arg::Tensor(_) => (Base::Tensor, false),
            Arg::Tensors(_) => (Base::Tensor, true),
            Arg::Int(_) => (Base::Int, false),
            Arg::Ints(_) => (Base::Int, true),
            Arg::Float(_) => (Base::Float, false),
            Arg::Bool(_) => (Base::Bool, false),
            Arg::Bools(_) => (Base::Bool, true),
            Arg::Type(_) => (Base::Type, false),
            Arg::RowMajor => (Base::Format, false),
            Arg::Text(_) => (Base::Text, false),
        };
        (base, list) == (kind.base, kind.list)
    }

    /// Its value on the stack: a number, or a pointer to what the operator takes over.
    fn encoded(&self, kind: Kind) -> u64 {
        let owned = |tensor: &Handle| tensor.clone().into_raw() as u64;
        let value = match *self {
            Arg::Absent => return 0,
            Arg::Tensor(tensor) => owned(tensor),
            Arg::Tensors(list) => list_of(list.iter().map(|tensor| owned(tensor))),
            Arg::Int(value) => value as u64,
            Arg::Ints(list) => list_of(list.iter().map(|&value| value as u64)),
            Arg::Float(value) => value.to_bits(),
            Arg::Bool(value) => value.into(),
            Arg::Bools(list) => list_of(list.iter().map(|&value| value.into())),
            Arg::Type(kind) => u64::from(kind.code() as u32),
            Arg::RowMajor => 0,
            Arg::Text(text) => string(text),
        };
        if kind.optional { boxed(value) } else { value }
    }
}

/// An optional argument that is there: a pointer to its value, which libtorch frees with C++'s `delete`.
fn boxed(value: u64) -> u64 {
    // SAFETY: C++'s allocation throws or gives memory for the value.
    unsafe {
        let place = (library().allocation._Znwm)(size_of::<u64>()).cast::<u64>();
        place.write(value);
        place as u64
    }
}

fn list_of(values: impl ExactSizeIterator<Item = u64>) -> u64 {
    let functions = &library().functions;
    let mut list = null_mut();
    // SAFETY: a place for the list, which the operator takes over with all that is in it.
    unsafe {
        check((functions.torch_new_list_reserve_size)(values.len(), &mut list), "a list", &[]);
        for value in values {
            check((functions.torch_list_push_back)(list, value), "a list", &[]);
        }
    }
    list as u64
}

fn string(text: &str) -> u64 {
    let mut string = null_mut();
    // SAFETY: text of the given length, which is copied.
    let status = unsafe {
        (library().functions.torch_new_string_handle)(text.as_ptr().cast(), text.len(), &mut string)
    };
    check(status, "a string", &[]);
    string as u64
}

/// # Safety
/// The slot holds a result of this kind that nobody has taken yet.
unsafe fn decoded(slot: u64, kind: Kind) -> Value {
    match (kind.base, kind.list) {
        // SAFETY: an owned handle.
        (Base::Tensor, false) => Value::Tensor(unsafe { Handle::from_raw(slot as Object) }),
        (Base::Tensor, true) => {
            let (functions, list) = (&library().functions, slot as Object);
            let mut length = 0;
            // SAFETY: an owned list of owned handles; the list itself is deleted when they have been taken
            // out.
            unsafe {
                check((functions.torch_list_size)(list, &mut length), "a list", &[]);
                let item = |index| {
                    let mut item = 0;
                    check((functions.torch_list_get_item)(list, index, &mut item), "a list", &[]);
                    Handle::from_raw(item as Object)
                };
                let items = (0..length).map(item).collect();
                check((functions.torch_delete_list)(list), "a list", &[]);
                Value::Tensors(items)
            }
        }
        _ => Value::Number,
    }
}

/// Functions of the device that a tensor is on.
fn scalar_functions(tensor: &Handle) -> &'static ScalarFunctions {
    match tensor.device() {
        Device::Cpu => &library().cpu,
        Device::Cuda(_) => &library().cuda().expect("a tensor on a card").functions,
    }
}

/// `a + factor * b`, broadcast.
pub(crate) fn add(a: &Handle, b: &Handle, factor: f64) -> Handle {
    let function = scalar_functions(a).add_Tensor;
    let mut raw = null_mut();
    // SAFETY: two handles on one device and a place for the result.
    let status = unsafe { function(a.raw(), b.raw(), factor, &mut raw) };
    check(status, "add", &[a, b]);
    // SAFETY: a new handle.
    unsafe { Handle::from_raw(raw) }
}

/// `a * factor`.
pub(crate) fn scale(a: &Handle, factor: f64) -> Handle {
    let function = scalar_functions(a).mul_Scalar;
    let mut raw = null_mut();
    // SAFETY: a handle and a place for the result.
    let status = unsafe { function(a.raw(), factor, &mut raw) };
    check(status, "mul", &[a]);
    // SAFETY: a new handle.
    unsafe { Handle::from_raw(raw) }
}

/// Overwrites `out`, which other tensors may share, with `beta * summand + alpha * a b` for matrices.
/// `summand` may be `out` itself; with `beta` 0 it is not read.
pub(crate) fn add_product(
    out: &Handle,
    (beta, summand): (f64, &Handle),
    (alpha, a, b): (f64, &Handle, &Handle),
) {
    let function = scalar_functions(a).addmm_out;
    // SAFETY: four handles on one device.
    let status = unsafe { function(out.raw(), summand.raw(), a.raw(), b.raw(), beta, alpha) };
    check(status, "addmm", &[out, a, b]);
}

/// Text of the exception that ended this thread's last call, where libtorch tells it.
fn exception() -> Option<String> {
    let functions = library().exceptions.as_ref()?;
    // SAFETY: null, or a C string that lives until the next exception.
    unsafe {
        let text = (functions.torch_exception_get_what_without_backtrace)();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// Ends a call that failed: with [`OutOfMemory`] if that is the reason, as far as it can be known, and with a
/// panic otherwise.
pub(super) fn check(status: Status, what: &str, operands: &[&Handle]) {
    if status == 0 {
        return;
    }
    let text = exception();
    let bytes = operands.iter().map(|tensor| tensor.count() as usize * tensor.kind().size()).sum();
    let told =
        text.as_deref().map(|text| text.contains("out of memory") || text.contains("can't allocate memory"));
    if told.unwrap_or_else(|| operands.first().is_some_and(|tensor| nearly_full(tensor.device()))) {
        OutOfMemory { bytes, in_use: crate::memory::in_use() }.raise();
    }
    let why = text.unwrap_or_else(|| "its message is on stderr".to_owned());
    let operands: Vec<_> = operands.iter().map(|tensor| (tensor.sizes(), tensor.kind())).collect();
    panic!("libtorch: {what} of {operands:?} failed: {why}");
}

/// True if less than a sixteenth of a card's memory is free: an operation that fails then has most likely got
/// none.
fn nearly_full(device: Device) -> bool {
    let Device::Cuda(index) = device else { return false };
    let memory = library().cuda().ok().and_then(|cuda| cuda.memory(index.into()));
    memory.is_some_and(|(free, total)| free < total / 16)
}
