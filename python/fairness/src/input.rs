//! Python's lists as a checked Gram matrix, and the crate's errors as Python's.

use fairhuman_fairness::Gram;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pythonize::depythonize;
use serde::de::DeserializeOwned;

/// The matrix of one step as Python hands it over.
#[derive(FromPyObject)]
pub struct Matrix {
    /// K rows of K inner products.
    rows: Vec<Vec<f64>>,
    /// K names for messages; numbers if left out.
    names: Option<Vec<String>>,
    /// K flags of objectives that are declared absent; none if left out.
    absent: Option<Vec<bool>>,
}

impl Matrix {
    /// The checked matrix.
    ///
    /// # Errors
    /// `ValueError` for rows of other lengths, and for all that [`Gram::new`] refuses.
    pub fn gram(self) -> PyResult<Gram> {
        let k = self.rows.len();
        if let Some((i, row)) = self.rows.iter().enumerate().find(|(_, row)| row.len() != k) {
            let found = row.len();
            let problem = format!("row {i} of the Gram matrix has {found} values, but there are {k} rows");
            return Err(PyValueError::new_err(problem));
        }
        let names =
            self.names.unwrap_or_else(|| (0..k).map(|i| format!("objective {i}")).collect::<Vec<_>>());
        let gram = Gram::new(names, self.rows.concat()).map_err(refused)?;
        match self.absent {
            Some(absent) => gram.with_absent(&absent).map_err(refused),
            None => Ok(gram),
        }
    }
}

/// An error of the crate as Python's `ValueError`, with the same message.
pub fn refused(error: impl std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A value of the crate from dictionaries and lists.
///
/// # Errors
/// `ValueError` for unknown names and for values that are refused.
pub fn read<T: DeserializeOwned>(value: &Bound<'_, PyAny>) -> PyResult<T> {
    depythonize(value).map_err(refused)
}
