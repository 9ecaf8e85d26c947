//! The two binary interfaces: the handles of the objects that a group needs.

use super::library::Handle;

/// The level of `MPI_Init_thread` at which one thread makes all calls; the same number in both.
pub const FUNNELED: std::ffi::c_int = 1;
/// Bytes of an error's text at most (MPICH's constant, the larger one).
pub const MOST_ERROR: usize = 512;

/// Handles of predefined objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// `MPI_COMM_WORLD`.
    pub world: Handle,
    /// `MPI_ERRORS_RETURN`.
    pub errors_return: Handle,
    /// `MPI_BYTE`.
    pub byte: Handle,
    /// `MPI_FLOAT`.
    pub float: Handle,
    /// `MPI_SUM`.
    pub sum: Handle,
}

/// MPICH's and what shares its interface: numbers (mpi.h of MPICH 3.1 to 4).
const MPICH: Handles = Handles {
    world: 0x4400_0000,
    errors_return: 0x5400_0001,
    byte: 0x4c00_010d,
    float: 0x4c00_040a,
    sum: 0x5800_0003,
};

impl Handles {
    /// Those of a library in which `find` finds the addresses of names: Open MPI's are addresses of variables
    /// (mpi.h of Open MPI 1.3 to 5).
    pub fn find(find: impl Fn(&str) -> Option<Handle>) -> Result<Self, String> {
        let Some(world) = find("ompi_mpi_comm_world") else { return Ok(MPICH) };
        let other = |name: &str| find(name).ok_or_else(|| format!("it is Open MPI without {name}"));
        Ok(Self {
            world,
            errors_return: other("ompi_mpi_errors_return")?,
            byte: other("ompi_mpi_byte")?,
            float: other("ompi_mpi_float")?,
            sum: other("ompi_mpi_op_sum")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_told_by_open_mpis_name_for_the_world() {
        assert_eq!(Handles::find(|_| None), Ok(MPICH));
        let open_mpi = Handles::find(|name| Some(name.len())).unwrap();
        assert_eq!((open_mpi.world, open_mpi.sum), ("ompi_mpi_comm_world".len(), "ompi_mpi_op_sum".len()));
        let error = Handles::find(|name| name.ends_with("world").then_some(8)).unwrap_err();
        assert!(error.contains("ompi_mpi_errors_return"), "{error}");
    }
}
