//! The functions of `fairhuman_fairness._native`. A weighting is a dictionary as a recipe has it, a memory
//! one of names and words, a solution one of its fields: Python's classes have the same names.

use fairhuman_fairness::{Observation, Solution, State, Weighting};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pythonize::pythonize;
use serde::Serialize;

use crate::input::{Matrix, read, refused};

/// A weighting as the program describes it.
#[derive(Serialize)]
struct About {
    parameters: Weighting,
    label: String,
    needs_gram: bool,
    needs_losses: bool,
    needs_losses_after: bool,
}

/// Everything of a step besides its Gram matrix.
#[derive(FromPyObject)]
struct Step {
    losses: Vec<f64>,
    seed: u64,
    step: u64,
}

/// The native half of `fairhuman_fairness`.
#[pymodule]
mod _native {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("KINDS", PyTuple::new(module.py(), Weighting::KINDS)?)
    }

    /// The alpha-fair solution of a Gram matrix, as a dictionary.
    #[pyfunction]
    fn solve<'py>(
        py: Python<'py>,
        matrix: Matrix,
        alpha: f64,
        priority: Option<Vec<f64>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let gram = matrix.gram()?;
        let priority = priority.unwrap_or_else(|| vec![1.0; gram.k()]);
        let solution = fairhuman_fairness::solve_with_priorities(&gram, alpha, &priority).map_err(refused)?;
        Ok(pythonize(py, &solution)?)
    }

    /// The cosines between the gradients, in one list row after row.
    #[pyfunction]
    fn cosines(matrix: Matrix) -> PyResult<Vec<f64>> {
        Ok(fairhuman_fairness::cosines(&matrix.gram()?))
    }

    /// The weighting with all its parameters, its label and its needs.
    #[pyfunction]
    fn about<'py>(py: Python<'py>, weighting: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let parameters: Weighting = read(weighting)?;
        let needs = parameters.needs();
        let about = About {
            label: parameters.label(),
            needs_gram: needs.gram,
            needs_losses: needs.losses,
            needs_losses_after: needs.losses_after,
            parameters,
        };
        Ok(pythonize(py, &about)?)
    }

    /// The solution of one step and the memory after it.
    #[pyfunction]
    fn weigh<'py>(
        py: Python<'py>,
        weighting: &Bound<'py, PyAny>,
        matrix: Matrix,
        step: Step,
        state: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let weighting: Weighting = read(weighting)?;
        let mut state: State = read(state)?;
        let gram = matrix.gram()?;
        let seen = Observation { gram: &gram, losses: &step.losses, seed: step.seed, step: step.step };
        let solution: Solution = fairhuman_fairness::weigh(&weighting, &seen, &mut state).map_err(refused)?;
        Ok((pythonize(py, &solution)?, pythonize(py, &state)?))
    }

    /// The memory after the losses of the same samples were computed again.
    #[pyfunction]
    fn look_back<'py>(
        py: Python<'py>,
        weighting: &Bound<'py, PyAny>,
        matrix: Matrix,
        step: Step,
        after: Vec<f64>,
        state: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let weighting: Weighting = read(weighting)?;
        let mut state: State = read(state)?;
        let gram = matrix.gram()?;
        let seen = Observation { gram: &gram, losses: &step.losses, seed: step.seed, step: step.step };
        fairhuman_fairness::look_back(&weighting, &seen, &after, &mut state).map_err(refused)?;
        Ok(pythonize(py, &state)?)
    }
}
