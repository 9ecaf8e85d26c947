//! The functions that are taken out of libtorch, with their C declarations.

use super::nccl::UniqueId;
#[cfg(unix)]
use std::ffi::{CStr, CString};
use std::ffi::{c_char, c_void};
use std::path::Path;

/// `at::Tensor*`.
pub(super) type RawTensor = *mut c_void;
/// A `std::vector<StableIValue>*` or a `std::string*`.
pub(super) type Object = *mut c_void;
/// `ncclComm_t`.
pub(super) type RawCommunicator = *mut c_void;
/// 0 for success.
pub(super) type Status = i32;

/// File name of a shared library of libtorch.
pub(super) fn file_name(name: &str) -> String {
    format!("lib{name}.{}", if cfg!(target_os = "macos") { "dylib" } else { "so" })
}

/// An open shared library, never closed: libtorch does not survive that.
pub(super) struct Shared(
    #[cfg_attr(not(unix), allow(dead_code, reason = "none is opened there"))] *mut c_void,
);

impl Shared {
    /// Opens a library for good, with its names visible to libraries opened after it.
    #[cfg(unix)]
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        use std::os::unix::ffi::OsStrExt;
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| "a path with a zero byte".to_owned())?;
        // SAFETY: the name is a C string. The library's initialisers run; that they are sound is what
        // choosing a libtorch means.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() { Err(last_error()) } else { Ok(Self(handle)) }
    }

    #[cfg(not(unix))]
    pub(super) fn open(_path: &Path) -> Result<Self, String> {
        Err("libtorch is opened on Linux and macOS only".to_owned())
    }

    /// The address of a name, here or in a library that this one needs.
    #[cfg(unix)]
    pub(super) fn find(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: an open library and a C string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!address.is_null()).then_some(address)
    }

    #[cfg(not(unix))]
    pub(super) fn find(&self, _name: &str) -> Option<*mut c_void> {
        None
    }
}

#[cfg(unix)]
fn last_error() -> String {
    // SAFETY: dlerror gives null or a C string that lives until this thread's next call of these functions.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "unknown error".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// Declares a struct of function pointers, each found under its own name with an optional prefix.
macro_rules! functions {
    ($(#[$doc:meta])* $table:ident { $($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)+ }) => {
        $(#[$doc])*
        #[allow(non_snake_case, reason = "the library's names")]
        #[derive(Clone, Copy)]
        pub(super) struct $table {
            $(pub(super) $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)+
        }

        impl $table {
            /// Finds all functions as `prefix` and their names.
            pub(super) fn load(shared: &Shared, prefix: &str) -> Result<Self, String> {
                let find = |name: &str| {
                    let name = format!("{prefix}{name}");
                    shared.find(&name).ok_or_else(|| format!("it has no function {name}"))
                };
                // SAFETY: an address found under a name is that of a function of the type declared here.
                Ok(unsafe { Self { $($name: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn($($arg),*) $(-> $ret)?,
                >(find(stringify!($name))?),)+ } })
            }
        }
    };
}

functions! {
    /// Functions of `libtorch_cpu`, for tensors of all devices.
    Functions {
        aoti_torch_abi_version: fn() -> u64;
        aoti_torch_dtype_float32: fn() -> i32;
        aoti_torch_dtype_float64: fn() -> i32;
        aoti_torch_dtype_float16: fn() -> i32;
        aoti_torch_dtype_bfloat16: fn() -> i32;
        aoti_torch_dtype_int64: fn() -> i32;
        aoti_torch_device_type_cpu: fn() -> i32;
        aoti_torch_device_type_cuda: fn() -> i32;
        aoti_torch_delete_tensor_object: fn(RawTensor) -> Status;
        aoti_torch_new_tensor_handle: fn(RawTensor, *mut RawTensor) -> Status;
        aoti_torch_new_uninitialized_tensor: fn(*mut RawTensor) -> Status;
        aoti_torch_get_dim: fn(RawTensor, *mut i64) -> Status;
        aoti_torch_get_sizes: fn(RawTensor, *mut *const i64) -> Status;
        aoti_torch_get_strides: fn(RawTensor, *mut *const i64) -> Status;
        aoti_torch_get_dtype: fn(RawTensor, *mut i32) -> Status;
        aoti_torch_get_device_type: fn(RawTensor, *mut i32) -> Status;
        aoti_torch_get_device_index: fn(RawTensor, *mut i32) -> Status;
        aoti_torch_get_data_ptr: fn(RawTensor, *mut *mut c_void) -> Status;
        // dimensions, sizes, strides, dtype, device type, device index, result
        aoti_torch_empty_strided: fn(i64, *const i64, *const i64, i32, i32, i32, *mut RawTensor) -> Status;
        // data, dimensions, sizes, strides, storage offset, dtype, device type, device index, result
        aoti_torch_create_tensor_from_blob:
            fn(*mut c_void, i64, *const i64, *const i64, i64, i32, i32, i32, *mut RawTensor) -> Status;
        // tensor, dimensions, sizes, strides, increment of the storage offset, result
        aoti_torch__reinterpret_tensor:
            fn(RawTensor, i64, *const i64, *const i64, i64, *mut RawTensor) -> Status;
        // destination, source, non-blocking
        aoti_torch_copy_: fn(RawTensor, RawTensor, i32) -> Status;
        aoti_torch_zero_: fn(RawTensor) -> Status;
        // name, overload, stack, version of the interface that the caller was written for
        torch_call_dispatcher: fn(*const c_char, *const c_char, *mut u64, u64) -> Status;
        torch_new_list_reserve_size: fn(usize, *mut Object) -> Status;
        torch_list_push_back: fn(Object, u64) -> Status;
        torch_list_size: fn(Object, *mut usize) -> Status;
        torch_list_get_item: fn(Object, usize, *mut u64) -> Status;
        torch_delete_list: fn(Object) -> Status;
        torch_new_string_handle: fn(*const c_char, usize, *mut Object) -> Status;
    }
}

functions! {
    /// Operators with arguments of type Scalar, which calls by name do not take. Each device's library has
    /// its own (`aoti_torch_cpu_`, `aoti_torch_cuda_`).
    ScalarFunctions {
        // result (given), summand, first factor, second factor, factor of the summand, factor of the product
        addmm_out: fn(RawTensor, RawTensor, RawTensor, RawTensor, f64, f64) -> Status;
        // first, second, factor of the second, result
        add_Tensor: fn(RawTensor, RawTensor, f64, *mut RawTensor) -> Status;
        mul_Scalar: fn(RawTensor, f64, *mut RawTensor) -> Status;
    }
}

functions! {
    /// C++'s allocation, which optional arguments are freed with.
    Allocation {
        // operator new(size_t), on 64-bit systems with the Itanium C++ ABI
        _Znwm: fn(usize) -> *mut c_void;
    }
}

functions! {
    /// Functions of the CUDA runtime that libtorch_cuda brings along.
    CudaRuntime {
        cudaGetDeviceCount: fn(*mut i32) -> Status;
        cudaSetDevice: fn(i32) -> Status;
        cudaDeviceSynchronize: fn() -> Status;
        // free, total
        cudaMemGetInfo: fn(*mut usize, *mut usize) -> Status;
        cudaStreamQuery: fn(*mut c_void) -> Status;
    }
}

functions! {
    /// Functions of `libtorch_cuda` about a card's streams.
    Streams {
        // card, result
        aoti_torch_get_current_cuda_stream: fn(i32, *mut *mut c_void) -> Status;
    }
}

functions! {
    /// NCCL's, by `nccl.h` of 2.28. Results are `ncclResult_t`.
    NcclFunctions {
        ncclGetVersion: fn(*mut i32) -> i32;
        ncclGetUniqueId: fn(*mut UniqueId) -> i32;
        // result, processes, name, rank
        ncclCommInitRank: fn(*mut RawCommunicator, i32, UniqueId, i32) -> i32;
        ncclGroupStart: fn() -> i32;
        ncclGroupEnd: fn() -> i32;
        // source, destination, values, type, operation, root, communicator, stream
        ncclReduce:
            fn(*const c_void, *mut c_void, usize, i32, i32, i32, RawCommunicator, *mut c_void) -> i32;
        // source, destination, values, type, root, communicator, stream
        ncclBroadcast: fn(*const c_void, *mut c_void, usize, i32, i32, RawCommunicator, *mut c_void) -> i32;
        ncclCommDestroy: fn(RawCommunicator) -> i32;
        ncclCommAbort: fn(RawCommunicator) -> i32;
        ncclCommGetAsyncError: fn(RawCommunicator, *mut i32) -> i32;
        ncclGetErrorString: fn(i32) -> *const c_char;
    }
}

functions! {
    /// `at::set_num_threads(int)`, a C++ name that may go away.
    Threads {
        _ZN2at15set_num_threadsEi: fn(i32);
    }
}

functions! {
    /// `at::globalContext()` and switches of it, C++ names likewise.
    Context {
        _ZN2at13globalContextEv: fn() -> *mut c_void;
        // context, on: at::Context::setAllowTF32CuBLAS, setAllowTF32CuDNN
        _ZN2at7Context18setAllowTF32CuBLASEb: fn(*mut c_void, bool);
        _ZN2at7Context17setAllowTF32CuDNNEb: fn(*mut c_void, bool);
    }
}

functions! {
    /// Since 2.13: text of this thread's last exception.
    Exceptions {
        torch_exception_get_what_without_backtrace: fn() -> *const c_char;
    }
}
