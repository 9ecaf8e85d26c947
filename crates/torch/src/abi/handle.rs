//! An owned reference to one of libtorch's tensors, and views of it. Views are made without a call of an
//! operator: sizes and strides are worked out here and checked against the tensor that they are taken of.

use super::library::library;
use super::symbols::{RawTensor, Status};
use crate::Device;
use std::ffi::c_void;
use std::ptr::{null, null_mut};

/// An owned `at::Tensor*`: a strided view of counted storage. It has no values of its own to change;
/// operators that write into a handle are named so.
pub(crate) struct Handle(RawTensor);

// SAFETY: the reference counts behind a handle are atomic, its metadata does not change after it is made, and
// libtorch's operators may be called from any thread. That nobody writes values while others read them is
// upheld above, where only values that are not shared are written in place.
unsafe impl Send for Handle {}
// SAFETY: likewise.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is owned, so it is deleted once.
        unsafe { (library().functions.aoti_torch_delete_tensor_object)(self.0) };
    }
}

impl Clone for Handle {
    /// Another reference to the same values.
    fn clone(&self) -> Self {
        Self::made("new_tensor_handle", |out| {
            // SAFETY: an owned handle and a place for the result.
            unsafe { (library().functions.aoti_torch_new_tensor_handle)(self.0, out) }
        })
    }
}

/// Type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    F64,
    F16,
    Bf16,
    I64,
}

impl Type {
    const ALL: [Type; 5] = [Type::F32, Type::F64, Type::F16, Type::Bf16, Type::I64];

    /// libtorch's number for it.
    pub(super) fn code(self) -> i32 {
        let functions = &library().functions;
        // SAFETY: functions without arguments.
        unsafe {
            match self {
                Type::F32 => (functions.aoti_torch_dtype_float32)(),
                Type::F64 => (functions.aoti_torch_dtype_float64)(),
                Type::F16 => (functions.aoti_torch_dtype_float16)(),
                Type::Bf16 => (functions.aoti_torch_dtype_bfloat16)(),
                Type::I64 => (functions.aoti_torch_dtype_int64)(),
            }
        }
    }

    /// Bytes of a value.
    pub(crate) fn size(self) -> usize {
        match self {
            Type::F16 | Type::Bf16 => 2,
            Type::F32 => 4,
            Type::F64 | Type::I64 => 8,
        }
    }
}

/// Values in host memory that a tensor may be filled from.
pub(crate) trait Element: bytemuck::Pod {
    const TYPE: Type;
}
impl Element for f32 {
    const TYPE: Type = Type::F32;
}
impl Element for f64 {
    const TYPE: Type = Type::F64;
}
impl Element for i64 {
    const TYPE: Type = Type::I64;
}

fn device_code(device: Device) -> (i32, i32) {
    let functions = &library().functions;
    // SAFETY: functions without arguments.
    unsafe {
        match device {
            Device::Cpu => ((functions.aoti_torch_device_type_cpu)(), 0),
            Device::Cuda(index) => ((functions.aoti_torch_device_type_cuda)(), index.into()),
        }
    }
}

/// Row-major strides.
fn dense(sizes: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i] * sizes[i].max(1);
    }
    strides
}

fn count(sizes: &[i64]) -> i64 {
    sizes.iter().product()
}

/// Values from a tensor's first to its last, with those in between that are not its own.
fn extent(sizes: &[i64], strides: &[i64]) -> i64 {
    if count(sizes) == 0 {
        return 0;
    }
    1 + sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum::<i64>()
}

impl Handle {
    /// Takes over a handle that libtorch gave away.
    ///
    /// # Safety
    /// It is one, and nobody else deletes it.
    pub(super) unsafe fn from_raw(raw: RawTensor) -> Self {
        Self(raw)
    }

    pub(super) fn raw(&self) -> RawTensor {
        self.0
    }

    /// Gives the handle away.
    pub(super) fn into_raw(self) -> RawTensor {
        std::mem::ManuallyDrop::new(self).0
    }

    /// The result of a function that makes one.
    pub(super) fn made(what: &str, function: impl FnOnce(*mut RawTensor) -> Status) -> Self {
        let mut raw = null_mut();
        super::call::check(function(&mut raw), what, &[]);
        Self(raw)
    }

    /// A tensor that is none, for operators that want a handle to say so.
    pub(crate) fn undefined() -> Self {
        Self::made("new_uninitialized_tensor", |out| {
            // SAFETY: a place for the result.
            unsafe { (library().functions.aoti_torch_new_uninitialized_tensor)(out) }
        })
    }

    /// Dense values of any content; none if there is no memory for them.
    pub(crate) fn try_empty(sizes: &[i64], kind: Type, device: Device) -> Option<Self> {
        let (strides, (device, index)) = (dense(sizes), device_code(device));
        let mut raw = null_mut();
        // SAFETY: lists of the given length, a device, and a place for the result.
        let status = unsafe {
            (library().functions.aoti_torch_empty_strided)(
                sizes.len() as i64,
                sizes.as_ptr(),
                strides.as_ptr(),
                kind.code(),
                device,
                index,
                &mut raw,
            )
        };
        (status == 0).then_some(Self(raw))
    }

    /// Dense values copied from host memory to a device.
    pub(crate) fn from_slice<T: Element>(sizes: &[i64], values: &[T], device: Device) -> Option<Self> {
        assert_eq!(count(sizes), values.len() as i64, "{} values as {sizes:?}", values.len());
        Self::from_bytes(sizes, bytemuck::cast_slice(values), T::TYPE, device)
    }

    /// The same from the bytes of such values.
    pub(crate) fn from_bytes(sizes: &[i64], bytes: &[u8], kind: Type, device: Device) -> Option<Self> {
        assert_eq!(count(sizes) as usize * kind.size(), bytes.len(), "{} bytes as {sizes:?}", bytes.len());
        let result = Self::try_empty(sizes, kind, device)?;
        if !bytes.is_empty() {
            // libtorch reads whole values, so they must lie where such values may.
            let mut aligned = Vec::new();
            let mut start = bytes.as_ptr();
            if !start.addr().is_multiple_of(kind.size()) {
                aligned.resize(bytes.len().div_ceil(size_of::<u64>()), 0_u64);
                bytemuck::cast_slice_mut(&mut aligned)[..bytes.len()].copy_from_slice(bytes);
                start = aligned.as_ptr().cast();
            }
            // Only read from.
            let host = Self::of_host_memory(sizes, start.cast_mut().cast(), kind);
            result.fill_with(&host);
        }
        Some(result)
    }

    /// All values, copied to host memory.
    pub(crate) fn to_vec<T: Element>(&self) -> Vec<T> {
        assert_eq!(self.kind(), T::TYPE, "values of another type");
        let sizes = self.sizes();
        let mut values = vec![T::zeroed(); count(&sizes) as usize];
        if !values.is_empty() {
            Self::of_host_memory(&sizes, values.as_mut_ptr().cast(), T::TYPE).fill_with(self);
        }
        values
    }

    /// A tensor over host memory that is not its own; callers let go of it before the memory.
    fn of_host_memory(sizes: &[i64], data: *mut c_void, kind: Type) -> Self {
        let (strides, (device, index)) = (dense(sizes), device_code(Device::Cpu));
        Self::made("create_tensor_from_blob", |out| {
            // SAFETY: the memory holds as many values as the sizes say (checked by both callers), and the
            // lists have the given length.
            unsafe {
                (library().functions.aoti_torch_create_tensor_from_blob)(
                    data,
                    sizes.len() as i64,
                    sizes.as_ptr(),
                    strides.as_ptr(),
                    0,
                    kind.code(),
                    device,
                    index,
                    out,
                )
            }
        })
    }

    /// Overwrites this tensor's values, which other tensors may share, with those of another of its sizes:
    /// converted where the types differ, and from any device.
    pub(crate) fn fill_with(&self, source: &Handle) {
        assert_eq!(self.sizes(), source.sizes(), "sizes of a copy");
        // SAFETY: two handles.
        let status = unsafe { (library().functions.aoti_torch_copy_)(self.0, source.0, 0) };
        super::call::check(status, "copy_", &[self, source]);
    }

    /// Overwrites this tensor's values, which other tensors may share, with zeros.
    pub(crate) fn fill_with_zeros(&self) {
        // SAFETY: a handle.
        let status = unsafe { (library().functions.aoti_torch_zero_)(self.0) };
        super::call::check(status, "zero_", &[self]);
    }

    fn list(&self, of: unsafe extern "C" fn(RawTensor, *mut *const i64) -> Status) -> Vec<i64> {
        let (mut length, mut list) = (0, null());
        // SAFETY: libtorch lends a list as long as the tensor has dimensions; it is copied at once.
        unsafe {
            super::call::check((library().functions.aoti_torch_get_dim)(self.0, &mut length), "get_dim", &[]);
            super::call::check(of(self.0, &mut list), "sizes or strides", &[]);
            if length == 0 { Vec::new() } else { std::slice::from_raw_parts(list, length as usize).to_vec() }
        }
    }

    /// Its sizes.
    pub(crate) fn sizes(&self) -> Vec<i64> {
        self.list(library().functions.aoti_torch_get_sizes)
    }

    /// Its strides, in values.
    pub(crate) fn strides(&self) -> Vec<i64> {
        self.list(library().functions.aoti_torch_get_strides)
    }

    fn number(&self, of: unsafe extern "C" fn(RawTensor, *mut i32) -> Status) -> i32 {
        let mut number = 0;
        // SAFETY: a handle and a place for the result.
        super::call::check(unsafe { of(self.0, &mut number) }, "type or device", &[]);
        number
    }

    /// Type of its values.
    ///
    /// # Panics
    /// If it is none that this crate makes.
    pub(crate) fn kind(&self) -> Type {
        let code = self.number(library().functions.aoti_torch_get_dtype);
        Type::ALL.into_iter().find(|kind| kind.code() == code).expect("a type that this crate uses")
    }

    /// Where its values are.
    pub(crate) fn device(&self) -> Device {
        let functions = &library().functions;
        if self.number(functions.aoti_torch_get_device_type) == device_code(Device::Cpu).0 {
            return Device::Cpu;
        }
        Device::Cuda(self.number(functions.aoti_torch_get_device_index).try_into().unwrap_or_default())
    }

    /// Address of its first value, in its device's memory.
    pub(super) fn data(&self) -> *mut c_void {
        let mut data = null_mut();
        // SAFETY: a handle and a place for the result.
        let status = unsafe { (library().functions.aoti_torch_get_data_ptr)(self.0, &mut data) };
        super::call::check(status, "data", &[self]);
        data
    }

    /// Number of values.
    pub(crate) fn count(&self) -> i64 {
        count(&self.sizes())
    }

    /// True if the values lie row-major and without gaps.
    pub(crate) fn is_dense(&self) -> bool {
        let (sizes, strides) = (self.sizes(), self.strides());
        let of_dense = dense(&sizes);
        count(&sizes) == 0
            || sizes.iter().zip(strides.iter().zip(&of_dense)).all(|(&size, (a, b))| size == 1 || a == b)
    }

    /// A view of this view's values with other sizes and strides, from its value `start` on.
    ///
    /// # Panics
    /// If it would reach beyond this view.
    pub(crate) fn strided(&self, sizes: &[i64], strides: &[i64], start: i64) -> Self {
        let room = extent(&self.sizes(), &self.strides());
        let fits = sizes.len() == strides.len()
            && sizes.iter().chain(strides).all(|&n| n >= 0)
            && start >= 0
            && (count(sizes) == 0 || start + extent(sizes, strides) <= room);
        assert!(fits, "a view of {sizes:?} by {strides:?} from {start} in {:?}", self.sizes());
        Self::made("_reinterpret_tensor", |out| {
            // SAFETY: lists of the given length; all values of the new view lie within the old one (just
            // checked).
            unsafe {
                (library().functions.aoti_torch__reinterpret_tensor)(
                    self.0,
                    sizes.len() as i64,
                    sizes.as_ptr(),
                    strides.as_ptr(),
                    start,
                    out,
                )
            }
        })
    }
}
