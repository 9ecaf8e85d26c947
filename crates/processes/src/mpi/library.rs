//! An opened MPI library, and the functions that are taken out of it.

use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use super::interface::Handles;

/// A handle of either interface: an address or a number of 32 bits. Where a C function wants the latter, it
/// takes the lower half of the register.
pub type Handle = usize;

/// Bytes of a version's text at most (MPICH's constant, the larger one).
const MOST_VERSION: usize = 8192;

/// Declares the table of functions, each found under its own name.
macro_rules! functions {
    ($($name:ident: fn($($arg:ty),*);)+) => {
        /// Functions with their C declarations; each returns 0 for success.
        #[allow(non_snake_case, reason = "the library's names")]
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($arg),*) -> c_int,)+
        }

        impl Functions {
            fn load(shared: &Shared) -> Result<Self, String> {
                let find = |name: &str| shared.find(name).ok_or_else(|| format!("it has no function {name}"));
                // SAFETY: an address found under a name of the standard is that of the function declared
                // here.
                Ok(unsafe { Self { $($name: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn($($arg),*) -> c_int,
                >(find(stringify!($name))?),)+ } })
            }
        }
    };
}

functions! {
    // argc, argv (both may be null), wanted, given
    MPI_Init_thread: fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    MPI_Finalize: fn();
    MPI_Comm_rank: fn(Handle, *mut c_int);
    MPI_Comm_size: fn(Handle, *mut c_int);
    MPI_Comm_set_errhandler: fn(Handle, Handle);
    // code, text, its length
    MPI_Error_string: fn(c_int, *mut c_char, *mut c_int);
    // text, its length
    MPI_Get_library_version: fn(*mut c_char, *mut c_int);
    // values, count, type, root, group
    MPI_Bcast: fn(*mut c_void, c_int, Handle, c_int, Handle);
    // own, count, type, all, count of each, type, group
    MPI_Allgather: fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, Handle);
    // own, count, type, all, counts, places, type, group
    MPI_Allgatherv:
        fn(*const c_void, c_int, Handle, *mut c_void, *const c_int, *const c_int, Handle, Handle);
    // all, own, counts, type, operation, group
    MPI_Reduce_scatter: fn(*const c_void, *mut c_void, *const c_int, Handle, Handle, Handle);
}

/// An opened library.
pub struct Library {
    name: PathBuf,
    pub functions: Functions,
    pub handles: Handles,
}

impl Library {
    /// Opens the first of these that opens and is an MPI.
    pub fn open(names: &[PathBuf]) -> Result<Self, String> {
        let mut problems = Vec::new();
        for name in names {
            match Self::open_one(name) {
                Ok(library) => return Ok(library),
                Err(problem) => problems.push(format!("{}: {problem}", name.display())),
            }
        }
        Err(format!(
            "no MPI could be opened ({}): install Open MPI or MPICH (Debian: openmpi-bin or mpich), or name its \
             libmpi in FAIRHUMAN_MPI",
            problems.join("; ")
        ))
    }

    fn open_one(name: &Path) -> Result<Self, String> {
        let shared = Shared::open(name)?;
        let functions = Functions::load(&shared)?;
        let handles = Handles::find(|name| shared.find(name).map(|address| address as Handle))?;
        Ok(Self { name: name.to_owned(), functions, handles })
    }

    /// Its file name, as it was opened.
    pub fn name(&self) -> std::path::Display<'_> {
        self.name.display()
    }

    /// Its name and version in a few words.
    pub fn version(&self) -> String {
        let mut text = vec![0_u8; MOST_VERSION];
        let mut length = 0;
        // SAFETY: room for the longest text; the function may be called before MPI is initialised.
        unsafe { (self.functions.MPI_Get_library_version)(text.as_mut_ptr().cast(), &mut length) };
        text.truncate(usize::try_from(length).unwrap_or(0));
        let text = String::from_utf8_lossy(&text);
        let words = text.lines().next().unwrap_or_default();
        let words = words.split([',', '\0']).next().unwrap_or_default().replace("Version:", "");
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// An open shared library, never closed: no MPI survives that.
struct Shared(#[cfg_attr(not(unix), allow(dead_code, reason = "none is opened there"))] *mut c_void);

impl Shared {
    /// Opens a library for good. Its names are visible to libraries opened after it: Open MPI opens parts of
    /// itself that need them.
    #[cfg(unix)]
    fn open(path: &Path) -> Result<Self, String> {
        use std::ffi::{CStr, CString};
        use std::os::unix::ffi::OsStrExt;

        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| "a path with a zero byte".to_owned())?;
        // SAFETY: the name is a C string. The library's initialisers run; that they are sound is what
        // choosing an MPI means.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_GLOBAL) };
        if !handle.is_null() {
            return Ok(Self(handle));
        }
        // SAFETY: dlerror gives null or a C string that lives until this thread's next call of these
        // functions.
        let text = unsafe {
            let text = libc::dlerror();
            if text.is_null() { "unknown error".into() } else { CStr::from_ptr(text).to_string_lossy() }
        };
        // The loader repeats the name that it was given.
        Err(text.trim_start_matches(&*path.to_string_lossy()).trim_start_matches([':', ' ']).to_owned())
    }

    #[cfg(not(unix))]
    fn open(_path: &Path) -> Result<Self, String> {
        Err("MPI is opened on Linux and macOS only".to_owned())
    }

    /// The address of a name, here or in a library that this one needs.
    #[cfg(unix)]
    fn find(&self, name: &str) -> Option<*mut c_void> {
        let name = std::ffi::CString::new(name).ok()?;
        // SAFETY: an open library and a C string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!address.is_null()).then_some(address)
    }

    #[cfg(not(unix))]
    fn find(&self, _name: &str) -> Option<*mut c_void> {
        None
    }
}
