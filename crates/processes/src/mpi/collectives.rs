//! Exchanges over MPI. Counts are numbers of 32 bits there, so what is longer goes in pieces.

use std::ffi::c_int;
use std::ptr::null_mut;

use bytemuck::{Pod, Zeroable};

use super::interface::{FUNNELED, MOST_ERROR};
use super::library::{Handle, Library};
use super::pieces::{piece, pieces};
use crate::worker::Collectives;

/// Values in one call at most, of all processes together: sums of counts are 32 bits in some libraries, and
/// some count bytes in them.
const MOST: usize = 1 << 28;

/// Bytes that a process may send at once in a [`Collectives::gather`].
const MOST_BYTES: u64 = 1 << 32;

/// MPI in this process. Used by the thread that initialised it.
pub struct Mpi {
    api: Library,
    size: usize,
    most: usize,
}

impl Mpi {
    /// Initialises MPI.
    pub fn init(library: Library) -> Result<Self, String> {
        let mpi = Self { api: library, size: 1, most: MOST };
        let mut given = 0;
        // SAFETY: MPI is initialised once, here: a process has one group. Arguments may be null.
        mpi.done(unsafe {
            (mpi.api.functions.MPI_Init_thread)(null_mut(), null_mut(), FUNNELED, &mut given)
        })?;
        let handles = mpi.api.handles;
        // SAFETY: handles of this library, after its initialisation.
        let code =
            unsafe { (mpi.api.functions.MPI_Comm_set_errhandler)(handles.world, handles.errors_return) };
        mpi.done(code)?;
        if given < FUNNELED {
            return Err(format!("{} does not allow a program with several threads", mpi.api.version()));
        }
        let size = mpi.size()?;
        Ok(Self { size, ..mpi })
    }

    pub fn rank(&self) -> Result<usize, String> {
        self.number(self.api.functions.MPI_Comm_rank)
    }

    pub fn size(&self) -> Result<usize, String> {
        self.number(self.api.functions.MPI_Comm_size)
    }

    fn number(&self, function: unsafe extern "C" fn(Handle, *mut c_int) -> c_int) -> Result<usize, String> {
        let mut number = 0;
        // SAFETY: a handle of this library and room for a number.
        self.done(unsafe { function(self.api.handles.world, &mut number) })?;
        usize::try_from(number).map_err(|_| format!("MPI gives the number {number}"))
    }

    /// Process 0's bytes, of which there are `most` at most.
    pub fn broadcast(&self, mut bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, String> {
        let length = bytes.len().min(most) as u64;
        bytes.resize(most, 0);
        bytes.extend(length.to_le_bytes());
        let handles = self.api.handles;
        // SAFETY: as many bytes as are said, in every process.
        self.done(unsafe {
            let bcast = self.api.functions.MPI_Bcast;
            bcast(bytes.as_mut_ptr().cast(), count(bytes.len())?, handles.byte, 0, handles.world)
        })?;
        let length = bytes[most..].try_into().map_or(0, u64::from_le_bytes);
        bytes.truncate(most.min(length as usize));
        Ok(bytes)
    }

    /// Own values and those of all others, as many in each.
    fn all_gather_equal(&self, own: &[u8]) -> Result<Vec<u8>, String> {
        let mut all = vec![0; own.len() * self.size];
        let (handles, length) = (self.api.handles, count(own.len())?);
        // SAFETY: room for as many bytes from every process as this one has, which are as many everywhere.
        self.done(unsafe {
            let gather = self.api.functions.MPI_Allgather;
            let (own, all) = (own.as_ptr().cast(), all.as_mut_ptr().cast());
            gather(own, length, handles.byte, all, length, handles.byte, handles.world)
        })?;
        Ok(all)
    }

    /// The parts of all processes, one after another.
    fn all_gather_of<T: Pod>(&self, own: &[T], lengths: &[usize], kind: Handle) -> Result<Vec<T>, String> {
        let total = lengths.iter().sum();
        let mut all = vec![<T as Zeroable>::zeroed(); total];
        for turn in pieces(lengths, self.most) {
            let own = &own[turn[self.rank()?].clone()];
            let counts: Vec<c_int> = turn.iter().map(|range| count(range.len())).collect::<Result<_, _>>()?;
            let places = places(&counts);
            // All at once it comes to its place; in pieces it is put there.
            let is_whole = turn.iter().zip(lengths).all(|(range, &length)| range.len() == length);
            let mut part = if is_whole { Vec::new() } else { vec![<T as Zeroable>::zeroed(); sum(&counts)] };
            let into = if is_whole { &mut all } else { &mut part };
            let handles = self.api.handles;
            // SAFETY: room for the sum of all counts, which are the same in every process.
            self.done(unsafe {
                (self.api.functions.MPI_Allgatherv)(
                    own.as_ptr().cast(),
                    count(own.len())?,
                    kind,
                    into.as_mut_ptr().cast(),
                    counts.as_ptr(),
                    places.as_ptr(),
                    kind,
                    handles.world,
                )
            })?;
            let mut rest = &part[..];
            let mut begin = 0;
            for (range, &length) in turn.iter().zip(lengths).filter(|_| !is_whole) {
                let (values, others) = rest.split_at(range.len());
                all[begin + range.start..begin + range.end].copy_from_slice(values);
                rest = others;
                begin += length;
            }
        }
        Ok(all)
    }

    /// The error of a call that did not succeed.
    fn done(&self, code: c_int) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        let mut text = vec![0_u8; MOST_ERROR];
        let mut length = 0;
        // SAFETY: room for the longest text.
        unsafe { (self.api.functions.MPI_Error_string)(code, text.as_mut_ptr().cast(), &mut length) };
        text.truncate(usize::try_from(length).unwrap_or(0));
        let text = String::from_utf8_lossy(&text);
        Err(format!("MPI: {} (error {code})", text.trim_end_matches('\0')))
    }
}

impl Collectives for Mpi {
    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let lengths = self.all_gather_equal(&(own.len() as u64).to_le_bytes())?;
        let lengths: Vec<u64> = bytemuck::pod_collect_to_vec(&lengths);
        let lengths = told(lengths, self.rank()?, own.len())?;
        let all = self.all_gather_of(own, &lengths, self.api.handles.byte)?;
        let mut rest = &all[..];
        let next = |&length: &usize| {
            let (part, others) = rest.split_at(length);
            rest = others;
            part.to_vec()
        };
        Ok(lengths.iter().map(next).collect())
    }

    fn gather_equal(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        if own.is_empty() || own.len() > self.most / self.size {
            return self.gather(own);
        }
        let all = self.all_gather_equal(own)?;
        Ok(all.chunks_exact(own.len()).map(<[u8]>::to_vec).collect())
    }

    fn reduce_scatter(&mut self, values: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String> {
        let rank = self.rank()?;
        let mut own = vec![0.0; lengths[rank]];
        let all_at_once = values.len() <= self.most;
        for turn in pieces(lengths, self.most) {
            let part = if all_at_once { Vec::new() } else { piece(&values, lengths, &turn) };
            let from = if all_at_once { &values } else { &part };
            let counts: Vec<c_int> = turn.iter().map(|range| count(range.len())).collect::<Result<_, _>>()?;
            let into = &mut own[turn[rank].clone()];
            let handles = self.api.handles;
            // SAFETY: as many values as the counts say, and room for this process's.
            self.done(unsafe {
                (self.api.functions.MPI_Reduce_scatter)(
                    from.as_ptr().cast(),
                    into.as_mut_ptr().cast(),
                    counts.as_ptr(),
                    handles.float,
                    handles.sum,
                    handles.world,
                )
            })?;
        }
        Ok(own)
    }

    fn all_gather(&mut self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String> {
        self.all_gather_of(&own, lengths, self.api.handles.float)
    }

    fn end(&mut self) -> Result<(), String> {
        // SAFETY: the last call of MPI; the thread gets no further job.
        self.done(unsafe { (self.api.functions.MPI_Finalize)() })
    }
}

/// The lengths that all processes told. A library that loses a process in the middle of a call may leave
/// anything in its place.
fn told(lengths: Vec<u64>, rank: usize, own: usize) -> Result<Vec<usize>, String> {
    let is_own = lengths.get(rank) == Some(&(own as u64));
    match lengths.iter().position(|&length| length > MOST_BYTES) {
        None if is_own => Ok(lengths.into_iter().map(|length| length as usize).collect()),
        None => Err(format!("rank {rank}: MPI gave back another length than the {own} bytes that were sent")),
        Some(other) => Err(format!(
            "rank {other} announces {} bytes, expected at most {MOST_BYTES}: it may be gone",
            lengths[other]
        )),
    }
}

/// A count of MPI's.
fn count(length: usize) -> Result<c_int, String> {
    c_int::try_from(length).map_err(|_| format!("{length} values are too many for one call of MPI"))
}

fn places(counts: &[c_int]) -> Vec<c_int> {
    let mut place = 0;
    let next = |&count: &c_int| {
        place += count;
        place - count
    };
    counts.iter().map(next).collect()
}

fn sum(counts: &[c_int]) -> usize {
    counts.iter().map(|&count| count as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_no_process_sends_are_errors_with_its_rank() {
        assert_eq!(told(vec![3, 0, 7], 2, 7), Ok(vec![3, 0, 7]));
        let error = told(vec![3, u64::MAX, 7], 2, 7).unwrap_err();
        assert!(error.contains("rank 1 announces"), "{error}");
        assert!(told(vec![3, 0, 9], 2, 7).is_err() && told(Vec::new(), 0, 0).is_err());
    }
}
