//! Adapters that are no pair of factors: LoHa, LoKr, Tucker's form of a LoCon, DoRA over any of them, and
//! whole differences. They change a weight as a whole, and are applied to a copy of it.
//!
//! Formulas as in LyCORIS (Yeh et al. 2024; LoHa: Hyeon-Woo et al. 2022; DoRA: Liu et al. 2024); for DoRA the
//! norm is that of the changed weight, as in LyCORIS, PEFT and diffusers.

use std::collections::BTreeMap;

use super::LoraTensor;

/// Tensors of a module of another kind, by the ends of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    /// `lora_down`, `lora_A`.
    Down,
    /// `lora_up`, `lora_B`.
    Up,
    /// `lora_mid`: the kernel between them.
    Mid,
    /// `hada_w1_a`.
    Hada1A,
    /// `hada_w1_b`.
    Hada1B,
    /// `hada_w2_a`.
    Hada2A,
    /// `hada_w2_b`.
    Hada2B,
    /// `hada_t1`.
    HadaT1,
    /// `hada_t2`.
    HadaT2,
    /// `lokr_w1`.
    Kron1,
    /// `lokr_w1_a`.
    Kron1A,
    /// `lokr_w1_b`.
    Kron1B,
    /// `lokr_w2`.
    Kron2,
    /// `lokr_w2_a`.
    Kron2A,
    /// `lokr_w2_b`.
    Kron2B,
    /// `lokr_t2`.
    KronT2,
    /// `dora_scale`: norms by output, or by input.
    Norms,
    /// PEFT's `lora_magnitude_vector`: norms by output.
    OutputNorms,
    /// `diff`, `w_norm`: added to the weight.
    Diff,
    /// `diff_b`, `b_norm`: added to the bias.
    DiffBias,
}

use Factor::{
    Diff, DiffBias, Down, Hada1A, Hada1B, Hada2A, Hada2B, HadaT1, HadaT2, Kron1, Kron1A, Kron1B, Kron2,
    Kron2A, Kron2B, KronT2, Mid, Norms, OutputNorms, Up,
};

/// A module whose weight is changed as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtherModule {
    /// Its tensors.
    pub factors: BTreeMap<Factor, LoraTensor>,
    /// The change is scaled by alpha over the rank; without it not at all.
    pub alpha: Option<f32>,
}

/// A matrix of rows and columns.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl OtherModule {
    /// Adds `weight` times the change to the values of a weight of `shape`, `[out, in]` or `[out, in, kh,
    /// kw]` (of a normalisation `[channels]`).
    ///
    /// # Errors
    /// Tensors that are missing or do not make such a weight, in words.
    pub fn apply(&self, values: &mut [f32], shape: &[usize], weight: f32) -> Result<(), String> {
        if self.factors.keys().all(|factor| *factor == DiffBias) {
            return Ok(());
        }
        let delta = self.delta(shape)?;
        if delta.len() != values.len() {
            return Err(format!("its tensors make {} values for a weight of shape {shape:?}", delta.len()));
        }
        if let Some(i) = delta.iter().position(|v| !v.is_finite()) {
            return Err(format!("its tensors make {} of element {i}", delta[i]));
        }
        match self.norms(shape)? {
            None => values.iter_mut().zip(&delta).for_each(|(value, delta)| *value += weight * delta),
            Some(norms) => {
                let changed: Vec<f32> =
                    values.iter().zip(&delta).map(|(value, delta)| value + delta).collect();
                let factors = norms.factors(&changed)?;
                for (i, (value, changed)) in values.iter_mut().zip(&changed).enumerate() {
                    *value += weight * (changed * factors[norms.row(i)] - *value);
                }
            }
        }
        Ok(())
    }

    /// Multiplies the change of a LoHa or LoKr, into one of its tensors; nothing of another kind.
    pub(super) fn multiply(&mut self, scale: f32) {
        let factor = [Hada1A, Kron1, Kron1A].into_iter().find(|factor| self.has(*factor));
        if let Some(tensor) = factor.and_then(|factor| self.factors.get_mut(&factor)) {
            tensor.data.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// Adds `weight` times the change of the bias, where there is one.
    ///
    /// # Errors
    /// A change of another length, in words.
    pub fn apply_bias(&self, values: &mut [f32], weight: f32) -> Result<(), String> {
        let Some(diff) = self.factors.get(&DiffBias) else { return Ok(()) };
        if diff.data.len() != values.len() {
            return Err(format!("its bias has {} values for {}", diff.data.len(), values.len()));
        }
        values.iter_mut().zip(&diff.data).for_each(|(value, diff)| *value += weight * diff);
        Ok(())
    }

    /// True if it changes a bias.
    pub fn has_bias(&self) -> bool {
        self.factors.contains_key(&DiffBias)
    }

    /// True if it changes a weight.
    pub fn has_weight(&self) -> bool {
        self.factors.keys().any(|factor| *factor != DiffBias)
    }

    fn has(&self, factor: Factor) -> bool {
        self.factors.contains_key(&factor)
    }

    fn get(&self, factor: Factor) -> Result<&LoraTensor, String> {
        self.factors.get(&factor).ok_or_else(|| format!("its tensor {factor:?} is missing"))
    }

    /// A tensor as a matrix of its first dimension by all others.
    fn matrix(&self, factor: Factor) -> Result<Matrix, String> {
        let tensor = self.get(factor)?;
        let rows = *tensor.shape.first().ok_or_else(|| format!("its tensor {factor:?} is a number"))?;
        if rows == 0 || !tensor.data.len().is_multiple_of(rows) {
            return Err(format!("its tensor {factor:?} has the shape {:?}", tensor.shape));
        }
        Ok(Matrix { rows, columns: tensor.data.len() / rows, values: tensor.data.clone() })
    }

    /// The change of a weight, scaled.
    fn delta(&self, shape: &[usize]) -> Result<Vec<f32>, String> {
        let taps = shape.iter().skip(2).product::<usize>();
        let (values, rank) = match () {
            () if self.has(Diff) => return Ok(self.get(Diff)?.data.clone()),
            () if self.has(Hada1A) => {
                let one = self.hadamard(Hada1A, Hada1B, HadaT1, taps)?;
                let two = self.hadamard(Hada2A, Hada2B, HadaT2, taps)?;
                if one.len() != two.len() {
                    return Err("its two halves differ in size".into());
                }
                let product = one.iter().zip(&two).map(|(a, b)| a * b).collect();
                (product, Some(self.matrix(Hada1B)?.rows))
            }
            () if self.has(Kron1) || self.has(Kron1A) => self.kronecker(shape, taps)?,
            () => {
                let (up, down) = (self.matrix(Up)?, self.matrix(Down)?);
                let rank = down.rows;
                let values = match self.has(Mid) {
                    true => tucker(self.get(Mid)?, &up.transposed(), &down, taps)?,
                    false => product(&up, &down)?.values,
                };
                (values, Some(rank))
            }
        };
        // Where no factor is cut down to a rank, files hold an alpha that means nothing.
        let scale = rank.zip(self.alpha).map_or(1.0, |(rank, alpha)| alpha / rank as f32);
        if !scale.is_finite() {
            return Err(format!("its alpha is {:?}", self.alpha));
        }
        Ok(values.into_iter().map(|value| scale * value).collect())
    }

    /// One half of a LoHa, `[out, in * taps]`.
    fn hadamard(&self, a: Factor, b: Factor, t: Factor, taps: usize) -> Result<Vec<f32>, String> {
        let (first, second) = (self.matrix(a)?, self.matrix(b)?);
        match self.has(t) {
            true => tucker(self.get(t)?, &first, &second, taps),
            false => Ok(product(&first, &second)?.values),
        }
    }

    /// A LoKr's change, and its rank, if a factor has one.
    fn kronecker(&self, shape: &[usize], taps: usize) -> Result<(Vec<f32>, Option<usize>), String> {
        let mut rank = None;
        let one = match self.has(Kron1) {
            true => self.matrix(Kron1)?,
            false => {
                let b = self.matrix(Kron1B)?;
                rank = Some(b.rows);
                product(&self.matrix(Kron1A)?, &b)?
            }
        };
        let two = match self.has(Kron2) {
            true => self.matrix(Kron2)?,
            false => {
                let (a, b) = (self.matrix(Kron2A)?, self.matrix(Kron2B)?);
                rank = Some(b.rows);
                match self.has(KronT2) {
                    true => {
                        let rows = a.columns;
                        let values = tucker(self.get(KronT2)?, &a, &b, taps)?;
                        Matrix { rows, columns: values.len() / rows.max(1), values }
                    }
                    false => product(&a, &b)?,
                }
            }
        };
        let (outputs, inputs) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(1));
        let inner = two.columns / taps.max(1);
        if one.rows * two.rows != outputs || one.columns * inner != inputs || inner * taps != two.columns {
            return Err(format!(
                "its factors {} x {} and {} x {} make no weight of shape {shape:?}",
                one.rows, one.columns, two.rows, two.columns
            ));
        }
        let mut values = Vec::with_capacity(outputs * inputs * taps);
        for a in 0..one.rows {
            for b in 0..two.rows {
                for c in 0..one.columns {
                    let factor = one.values[a * one.columns + c];
                    let row = &two.values[b * two.columns..(b + 1) * two.columns];
                    values.extend(row.iter().map(|value| factor * value));
                }
            }
        }
        Ok((values, rank))
    }

    /// The norms that a DoRA gives the rows or columns of a weight.
    fn norms(&self, shape: &[usize]) -> Result<Option<Magnitudes<'_>>, String> {
        let by_output = self.factors.get(&OutputNorms);
        let Some(tensor) = by_output.or_else(|| self.factors.get(&Norms)) else { return Ok(None) };
        let (outputs, inputs) = (shape.first().copied().unwrap_or(1), shape.get(1).copied().unwrap_or(1));
        let taps = shape.iter().skip(2).product();
        let first = tensor.shape.first().copied().unwrap_or(1);
        // `[out, 1, ...]` or `[1, in, ...]`: shapes differ even where the numbers do not.
        let of_outputs = by_output.is_some() || (first == outputs && (outputs > 1 || tensor.data.len() == 1));
        let (count, axis) = if of_outputs { (outputs, Axis::Outputs) } else { (inputs, Axis::Inputs) };
        if tensor.data.len() != count {
            return Err(format!(
                "its norms have the shape {:?} for a weight of shape {shape:?}",
                tensor.shape
            ));
        }
        Ok(Some(Magnitudes { wanted: &tensor.data, axis, inputs, taps }))
    }
}

/// The direction of a weight along which each has a norm.
#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Outputs,
    Inputs,
}

struct Magnitudes<'a> {
    wanted: &'a [f32],
    axis: Axis,
    inputs: usize,
    taps: usize,
}

impl Magnitudes<'_> {
    /// Which norm element `i` of the weight belongs to.
    fn row(&self, i: usize) -> usize {
        match self.axis {
            Axis::Outputs => i / (self.inputs * self.taps),
            Axis::Inputs => i / self.taps % self.inputs,
        }
    }

    /// The factors that give a weight these norms.
    fn factors(&self, weight: &[f32]) -> Result<Vec<f32>, String> {
        let mut squares = vec![0.0_f64; self.wanted.len()];
        for (i, &value) in weight.iter().enumerate() {
            squares[self.row(i)] += f64::from(value).powi(2);
        }
        let factors: Vec<f32> = self
            .wanted
            .iter()
            .zip(&squares)
            .map(|(m, square)| (f64::from(*m) / square.sqrt()) as f32)
            .collect();
        match factors.iter().all(|factor| factor.is_finite()) {
            true => Ok(factors),
            false => Err("a row or column of its changed weight is 0, and has no norm to set".into()),
        }
    }
}

impl Matrix {
    fn transposed(&self) -> Matrix {
        let Matrix { rows, columns, values } = self;
        let at = |i: usize| values[i % rows * columns + i / rows];
        Matrix { rows: *columns, columns: *rows, values: (0..rows * columns).map(at).collect() }
    }
}

fn product(a: &Matrix, b: &Matrix) -> Result<Matrix, String> {
    if a.columns != b.rows {
        return Err(format!(
            "its factors {} x {} and {} x {} differ in rank",
            a.rows, a.columns, b.rows, b.columns
        ));
    }
    let mut values = vec![0.0; a.rows * b.columns];
    for (row, factors) in
        values.chunks_exact_mut(b.columns.max(1)).zip(a.values.chunks_exact(a.columns.max(1)))
    {
        for (factor, other) in factors.iter().zip(b.values.chunks_exact(b.columns.max(1))) {
            row.iter_mut().zip(other).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    Ok(Matrix { rows: a.rows, columns: b.columns, values })
}

/// `T[o, i, k] = sum_ab a[a, o] core[a, b, k] b[b, i]`, in that order of dimensions.
fn tucker(core: &LoraTensor, a: &Matrix, b: &Matrix, taps: usize) -> Result<Vec<f32>, String> {
    if core.data.len() != a.rows * b.rows * taps || core.shape.first() != Some(&a.rows) {
        return Err(format!(
            "its kernel of shape {:?} does not fit ranks {} and {}",
            core.shape, a.rows, b.rows
        ));
    }
    let (outputs, inputs) = (a.columns, b.columns);
    let mut values = vec![0.0; outputs * inputs * taps];
    let mut inner = vec![0.0; inputs * taps];
    for (first, kernel) in core.data.chunks_exact((b.rows * taps).max(1)).enumerate() {
        inner.fill(0.0);
        for (second, kernel) in kernel.chunks_exact(taps.max(1)).enumerate() {
            for (i, sums) in inner.chunks_exact_mut(taps.max(1)).enumerate() {
                let factor = b.values[second * inputs + i];
                sums.iter_mut().zip(kernel).for_each(|(sum, value)| *sum += factor * value);
            }
        }
        for (o, row) in values.chunks_exact_mut((inputs * taps).max(1)).enumerate() {
            let factor = a.values[first * outputs + o];
            row.iter_mut().zip(&inner).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    Ok(values)
}
