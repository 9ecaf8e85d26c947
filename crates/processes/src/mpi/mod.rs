//! MPI, opened at run time.
//!
//! Rust's binding (rsmpi) needs the development package of exactly one MPI when it is built, and its program
//! runs with that one only. There are two binary interfaces in the field, Open MPI's and MPICH's, which Intel
//! MPI, MVAPICH and Cray MPI share; both give the few functions that a group needs under the same names. So
//! the program opens the library that its launcher belongs to, and one program runs with and without any.
//!
//! One thread initialises MPI and makes all its calls, which every MPI allows.

mod collectives;
mod interface;
mod interfaces;
mod library;
mod pieces;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use self::collectives::Mpi;
use self::library::Library;
use crate::address::Address;
use crate::launch::{Interface, Launch};
use crate::patience::Patience;
use crate::processes::Joined;
use crate::settings::{JoinError, Settings};
use crate::star::{Group, Met, everywhere, who};
use crate::worker::Worker;

/// Bytes of process 0's words to the others.
const MOST: usize = 4096;

/// Meets the others over MPI; signs of life go over TCP, whose address and token process 0 broadcasts.
pub fn join(launch: &Launch, settings: &Settings) -> Result<Joined, JoinError> {
    let listen =
        |cause: std::io::Error| JoinError::Listen { address: "port 0".into(), cause: cause.to_string() };
    let listener = (launch.rank == 0).then(|| everywhere(0)).transpose().map_err(listen)?;
    let port = listener.as_ref().map(|listener| listener.local_addr()).transpose().map_err(listen)?;
    let words = port.map(|address| words(settings, address.port())).unwrap_or_default();
    let (rank, size, interface, named) = (launch.rank, launch.size, launch.interface, settings.mpi.clone());
    let launcher = launch.launcher.name();
    let open = move || {
        let library = Library::open(&candidates(named.as_deref(), interface))?;
        let about = library.version();
        let mpi = Mpi::init(library)?;
        let found = (mpi.rank()?, mpi.size()?);
        if found != (rank, size) {
            return Err(format!(
                "{about} says that this is process {} of {}, {launcher} that it is process {rank} of {size}: the \
                 library and the launcher are of different MPIs; name the launcher's libmpi in FAIRHUMAN_MPI",
                found.0, found.1
            ));
        }
        let words = mpi.broadcast(words, MOST)?;
        Ok((mpi, (about, words)))
    };
    let mut patience = Patience::new(settings, settings.patience);
    let wait = || {
        if patience.is_over() {
            return Err(format!(
                "MPI_Init has not come to an end within {:.0} s: one of the {size} processes that {launcher} started \
                 is gone, or calls no MPI",
                settings.patience
            ));
        }
        patience.tell(|| format!("rank {rank} waits in MPI_Init for the other {} processes", size - 1));
        Ok(patience.pause())
    };
    let (worker, (about, words)) = Worker::start(open, wait).map_err(JoinError::Mpi)?;
    let Some((token, addresses)) = heard(&words, settings) else {
        return Err(JoinError::Mpi("process 0 broadcast what is no address".into()));
    };
    let group = Group { who: who(launch, settings), size, token, exchanges: false };
    let met = match &listener {
        Some(listener) => Met::as_zero(listener, &group, settings)?,
        None => Met::as_other(&addresses, &group, settings)?,
    };
    Ok(Joined { worker, lifeline: met.lifeline, about })
}

/// The MPI that would be opened for a launcher, in words.
///
/// # Errors
/// There is none that can be used.
pub fn describe(named: Option<&Path>, interface: Interface) -> Result<String, String> {
    let library = Library::open(&candidates(named, interface))?;
    Ok(format!("{} ({})", library.version(), library.name()))
}

/// Names of libraries to try, in this order.
fn candidates(named: Option<&Path>, interface: Interface) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let (open_mpi, mpich, any): (&[&str], &[&str], &[&str]) = match cfg!(target_os = "macos") {
        true => {
            (&["libmpi.40.dylib"], &["libmpi.12.dylib"], &["libmpi.dylib", "/opt/homebrew/lib/libmpi.dylib"])
        }
        // Debian names MPICH's file otherwise.
        false => (&["libmpi.so.40"], &["libmpi.so.12", "libmpich.so.12"], &["libmpi.so"]),
    };
    let (first, second) = match interface {
        Interface::OpenMpi => (open_mpi, mpich),
        Interface::Mpich => (mpich, open_mpi),
    };
    [first, second, any].concat().into_iter().map(PathBuf::from).collect()
}

/// Process 0's words: token, machine, addresses.
fn words(settings: &Settings, port: u16) -> Vec<u8> {
    let number = |address: IpAddr| Address { host: address.to_string(), port };
    let name = Address { host: settings.host.clone(), port };
    let addresses = interfaces::addresses().into_iter().map(number).chain([name]);
    let mut words = settings.random.to_vec();
    words.extend(settings.machine.replace('\n', " ").as_bytes());
    for address in addresses.map(|address| format!("\n{address}")) {
        if words.len() + address.len() <= MOST {
            words.extend(address.as_bytes());
        }
    }
    words
}

/// The token, and the addresses to try: on the same machine that of the machine for itself first.
fn heard(words: &[u8], settings: &Settings) -> Option<([u8; 32], Vec<Address>)> {
    let (token, rest) = words.split_first_chunk()?;
    let mut lines = std::str::from_utf8(rest).ok()?.lines();
    let is_here = lines.next()? == settings.machine;
    let mut addresses: Vec<Address> = lines.map(str::parse).collect::<Result<_, _>>().ok()?;
    let port = addresses.first()?.port;
    if is_here {
        addresses.insert(0, Address { host: "127.0.0.1".into(), port });
    }
    Some((*token, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launchers_library_is_tried_first_and_a_named_one_alone() {
        let first = |interface| candidates(None, interface)[0].display().to_string();
        assert!(first(Interface::OpenMpi).contains("40"));
        assert!(first(Interface::Mpich).contains("12"));
        let named = Path::new("/opt/mpi/lib/libmpi.so");
        assert_eq!(candidates(Some(named), Interface::Mpich), [named]);
        let error = describe(Some(named), Interface::Mpich).unwrap_err();
        assert!(error.contains("/opt/mpi/lib/libmpi.so") && error.contains("FAIRHUMAN_MPI"), "{error}");
    }
}
