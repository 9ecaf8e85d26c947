//! The operations of which networks are composed, as one trait.
//!
//! Every tensor is dense and row-major; its first dimension is the sample (forward) or the lane (cotangents).
//! Images are `[N, H, W, C]`, so that an image is already the token matrix `[N*H*W, C]`. Each operation has a
//! forward function, a vector-Jacobian product for its input (`*_vjp`), which maps cotangents `[L, out]` to
//! `[L, in]`, and, where it has parameters, one for those (`*_vjp_params`), which returns one gradient per
//! objective, `[K, ...]` (zero where the objective has no lanes). There is at least one sample and one lane.
//!
//! Functions with `acc` add their result to it (it may be reused) and return the sum.
//! Shapes are checked where models are loaded and called; here a wrong shape is a bug and panics. Memory that
//! cannot be had is an error of [`Backend::attempt`].

use crate::peak::Peak;
use crate::{AdamW, AdamWState, Lanes, OutOfMemory, WeightData};

/// A weight of a product: frozen in the backend's own layout, or a trained tensor.
pub enum WeightRef<'a, B: Backend> {
    /// Prepared by [`Backend::weight`].
    Frozen(&'a B::Weight),
    /// A parameter: `[O, I]` for linear, `[O, kh, kw, I]` for convolution, `[V, C]` for an embedding.
    Trained(&'a B::Tensor),
}

/// Use of a frozen weight, and its layout in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[O, I]` of a linear layer (or `[O, I, 1, 1]` of a 1x1 convolution).
    Matrix,
    /// `[O, I, kh, kw]` of a convolution, as PyTorch stores it.
    Filter,
    /// `[V, C]` of an embedding.
    Table,
}

/// A low-rank addition to a linear layer (LoRA, Hu et al. 2021): `y += scale * (x A^T) B^T`.
pub struct LowRank<'a, B: Backend> {
    /// A, `[r, I]`.
    pub down: &'a B::Tensor,
    /// B, `[O, r]`.
    pub up: &'a B::Tensor,
    /// `lora_alpha / r`, times any user weight.
    pub scale: f32,
}

/// Terms added to a product's result `[N, ..., O]` in the same pass.
pub struct Epilogue<'a, B: Backend> {
    /// Bias, `[O]`.
    pub bias: Option<&'a B::Tensor>,
    /// One shift per sample and channel, `[N, O]` (a time embedding).
    pub shift: Option<&'a B::Tensor>,
    /// A residual of the result's own shape.
    pub residual: Option<&'a B::Tensor>,
}

impl<B: Backend> Default for Epilogue<'_, B> {
    fn default() -> Self {
        Self { bias: None, shift: None, residual: None }
    }
}

/// Geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvParams {
    /// Kernel height and width.
    pub kernel: (usize, usize),
    /// Step in both directions.
    pub stride: usize,
    /// Zeros added at top, left, bottom, right.
    pub pad: [usize; 4],
}

impl ConvParams {
    /// A square kernel with the same zeros on all sides.
    pub fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Self { kernel: (kernel, kernel), stride, pad: [pad; 4] }
    }

    /// Output height and width for an input of `(h, w)`.
    pub fn output(&self, (h, w): (usize, usize)) -> (usize, usize) {
        let [top, left, bottom, right] = self.pad;
        (
            (h + top + bottom - self.kernel.0) / self.stride + 1,
            (w + left + right - self.kernel.1) / self.stride + 1,
        )
    }
}

/// Pointwise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Phi(x)`, exact (erf).
    Gelu,
    /// The tanh approximation of GELU (`gelu_new`).
    GeluTanh,
    /// `x * sigmoid(1.702 x)`, as in OpenAI's CLIP.
    QuickGelu,
    /// `max(x, 0)`; its derivative at 0 is 0.
    Relu,
}

/// A normalisation's affine part and constants.
pub struct Affine<'a, B: Backend> {
    /// Scale, `[C]`.
    pub gamma: &'a B::Tensor,
    /// Shift, `[C]`.
    pub beta: &'a B::Tensor,
    /// Added to the variance.
    pub eps: f32,
}

/// Tensors that attention keeps for its backward pass.
pub struct AttentionSaved<'a, B: Backend> {
    /// Queries `[N, T, C]`.
    pub q: &'a B::Tensor,
    /// Keys `[N, S, C]`.
    pub k: &'a B::Tensor,
    /// Values `[N, S, C]`.
    pub v: &'a B::Tensor,
    /// The result `[N, T, C]`.
    pub out: &'a B::Tensor,
    /// Log-denominators `[N, heads, T]`.
    pub log_sum: &'a B::Tensor,
}

/// `derive` would ask for `B: Copy`, which no backend is; these only hold references.
macro_rules! copy {
    ($($name:ident)+) => {
        $(
            impl<B: Backend> Clone for $name<'_, B> {
                fn clone(&self) -> Self {
                    *self
                }
            }
            impl<B: Backend> Copy for $name<'_, B> {}
        )+
    };
}

copy! { WeightRef LowRank Epilogue Affine AttentionSaved }

/// The operations. See the module's documentation for the conventions.
pub trait Backend: Send + Sync + Sized + 'static {
    /// A dense tensor, cheap to clone.
    type Tensor: Clone + Send + Sync + std::fmt::Debug;
    /// A frozen weight, prepared for products.
    type Weight: Send + Sync;

    /// Runs work that calls this backend many times where its operations start soonest (inside a thread pool,
    /// say). Never needed for a right result.
    fn scope<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        work()
    }

    /// Runs work that calls this backend, and ends it early where memory for an operation cannot be had.
    /// Values that the work changed outside of itself may then be changed in part; this backend and its
    /// tensors are whole.
    ///
    /// # Errors
    /// [`OutOfMemory`], also from within a [`Backend::scope`] inside `work`. Other panics are not caught.
    fn attempt<T>(&self, work: impl FnOnce() -> T) -> Result<T, OutOfMemory> {
        OutOfMemory::catch(work)
    }

    /// Waits until all operations called so far have run, on a device that runs them later. For reading a
    /// clock afterwards; never needed for a right result.
    fn synchronize(&self) {}

    /// This device with all the digits of f32, for what is computed once and kept, such as latents, and for
    /// pictures. Tensors of either are tensors of both.
    fn exact(&self) -> &Self {
        self
    }

    /// True if independent passes, whose widest activation has `values` values each, are faster
    /// [side by side](Backend::side_by_side) than as one batch.
    fn prefers_side_by_side(&self, values: usize) -> bool {
        let _ = values;
        false
    }

    /// Pieces of work that [`Backend::side_by_side`] runs at a time.
    fn concurrency(&self) -> usize {
        1
    }

    /// The results of independent pieces of work, in the order of `items`.
    fn side_by_side<I: Send, T: Send>(&self, items: Vec<I>, work: impl Fn(I) -> T + Send + Sync) -> Vec<T> {
        items.into_iter().map(work).collect()
    }

    /// Bytes that tensors and prepared weights take now, for measurements; 0 where they are not counted.
    fn bytes_in_use(&self) -> usize {
        0
    }

    /// The highest rate of arithmetic that this backend can reach, measured, for shares of it in profiles.
    /// `clock` tells seconds since some moment: libraries read no clock.
    fn measure_peak(&self, clock: &(dyn Fn() -> f64 + Sync)) -> Option<Peak> {
        let _ = clock;
        None
    }

    // --- data in and out -------------------------------------------------------------------------------

    /// A tensor from values.
    fn tensor(&self, shape: &[usize], values: &[f32]) -> Self::Tensor;
    /// The values of a tensor.
    fn read(&self, tensor: &Self::Tensor) -> Vec<f32>;
    /// The values of several tensors, for which a device is waited for once.
    fn read_many(&self, tensors: &[&Self::Tensor]) -> Vec<Vec<f32>> {
        tensors.iter().map(|tensor| self.read(tensor)).collect()
    }
    /// The shape of a tensor.
    fn shape(tensor: &Self::Tensor) -> &[usize];
    /// The same values under another shape of as many elements.
    fn reshape(&self, tensor: &Self::Tensor, shape: &[usize]) -> Self::Tensor;
    /// Zeros.
    fn zeros(&self, shape: &[usize]) -> Self::Tensor;
    /// Prepares a frozen weight. 16-bit data may stay in 16 bits, in its file.
    fn weight(&self, data: &WeightData, layout: WeightLayout) -> Self::Weight;

    // --- products --------------------------------------------------------------------------------------

    /// `x [N, ..., I] -> [N, ..., O]`: `x W^T (+ low rank) (+ epilogue)`. A low-rank addition comes with its
    /// `hidden` (see [`Backend::low_rank`]).
    fn linear(
        &self,
        x: &Self::Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Self::Tensor, LowRank<'_, Self>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> Self::Tensor;
    /// `hidden [N, ..., r] = x A^T`: the layer and the gradient of B read it.
    fn low_rank(&self, x: &Self::Tensor, low_rank: LowRank<'_, Self>) -> Self::Tensor;
    /// `g [L, ..., O] -> [L, ..., I]`: `g W`, plus `h A` where the layer has a low-rank addition, given as
    /// the cotangent `h` of `hidden` (see [`Backend::low_rank_vjp`]) and A.
    fn linear_vjp(
        &self,
        g: &Self::Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Self::Tensor, &Self::Tensor)>,
        acc: Option<Self::Tensor>,
    ) -> Self::Tensor;
    /// `h [L, ..., r] = scale * g B`, the cotangent of `hidden`: the gradients of A and of the input read it.
    fn low_rank_vjp(&self, g: &Self::Tensor, low_rank: LowRank<'_, Self>) -> Self::Tensor;
    /// Gradient of a trained weight, `[K, O, I]`.
    fn linear_vjp_params(&self, g: &Self::Tensor, x: &Self::Tensor, lanes: &Lanes) -> Self::Tensor;
    /// Gradients of a low-rank pair of this scale, `([K, r, I], [K, O, r])`: `h^T x` and
    /// `scale * g^T hidden`, from the cotangents `(g, h)` and the values `(x, hidden)`.
    fn low_rank_vjp_params(
        &self,
        cotangents: (&Self::Tensor, &Self::Tensor),
        values: (&Self::Tensor, &Self::Tensor),
        scale: f32,
        lanes: &Lanes,
    ) -> (Self::Tensor, Self::Tensor);
    /// `x [N, H, W, I] -> [N, H', W', O]`.
    fn conv2d(
        &self,
        x: &Self::Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        epilogue: Epilogue<'_, Self>,
    ) -> Self::Tensor;
    /// `g [L, H', W', O] -> [L, H, W, I]` for an input of height and width `input`.
    fn conv2d_vjp(
        &self,
        g: &Self::Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        input: (usize, usize),
        acc: Option<Self::Tensor>,
    ) -> Self::Tensor;
    /// Gradient of a trained filter, `[K, O, kh, kw, I]`.
    fn conv2d_vjp_params(
        &self,
        g: &Self::Tensor,
        x: &Self::Tensor,
        geometry: ConvParams,
        lanes: &Lanes,
    ) -> Self::Tensor;
    /// Gradient of a bias: sums of `g [L, ..., O]` over each objective's rows, `[K, O]`.
    fn sum_rows(&self, g: &Self::Tensor, lanes: &Lanes) -> Self::Tensor;
    /// Cotangent of a shift: sums of `g [L, ..., O]` over each lane's positions, `[L, O]`.
    fn sum_positions(&self, g: &Self::Tensor) -> Self::Tensor;

    // --- normalisation ---------------------------------------------------------------------------------

    /// Group normalisation (Wu & He 2018) of `x [N, ..., C]` over positions and `C / groups` channels, then
    /// SiLU if asked; also the means and reciprocal standard deviations, `[N, groups, 2]`.
    fn group_norm(
        &self,
        x: &Self::Tensor,
        groups: usize,
        affine: Affine<'_, Self>,
        silu: bool,
    ) -> (Self::Tensor, Self::Tensor);
    /// `g [L, ..., C] -> [L, ..., C]`; `saved` is x and the statistics that [`Backend::group_norm`] returned.
    fn group_norm_vjp(
        &self,
        g: &Self::Tensor,
        saved: (&Self::Tensor, &Self::Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
        acc: Option<Self::Tensor>,
    ) -> Self::Tensor;
    /// Gradients of gamma and beta, `[K, C]` each, from the same.
    fn group_norm_vjp_params(
        &self,
        g: &Self::Tensor,
        saved: (&Self::Tensor, &Self::Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> (Self::Tensor, Self::Tensor);
    /// Layer normalisation (Ba et al. 2016) over the last dimension of `x [N, ..., C]`; also the mean and
    /// reciprocal standard deviation of each row, `[rows, 2]`.
    fn layer_norm(&self, x: &Self::Tensor, affine: Affine<'_, Self>) -> (Self::Tensor, Self::Tensor);
    /// `g [L, ..., C] -> [L, ..., C]`; `saved` is x and the statistics that [`Backend::layer_norm`] returned.
    fn layer_norm_vjp(
        &self,
        g: &Self::Tensor,
        saved: (&Self::Tensor, &Self::Tensor),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
        acc: Option<Self::Tensor>,
    ) -> Self::Tensor;
    /// Gradients of gamma and beta, `[K, C]` each, from the same.
    fn layer_norm_vjp_params(
        &self,
        g: &Self::Tensor,
        saved: (&Self::Tensor, &Self::Tensor),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
    ) -> (Self::Tensor, Self::Tensor);

    // --- attention -------------------------------------------------------------------------------------

    /// Scaled dot-product attention (Vaswani et al. 2017) of `q [N, T, C]` over `k, v [N, S, C]`, `heads`
    /// heads of `C / heads` channels side by side; `causal` hides later positions. The result is `[N, T, C]`;
    /// also the logarithm of each softmax denominator, `[N, heads, T]`.
    fn attention(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
        heads: usize,
        causal: bool,
    ) -> (Self::Tensor, Self::Tensor);
    /// Cotangents of q, k and v, `[L, T, C]` and twice `[L, S, C]`, from the output's, `g [L, T, C]`. The
    /// probabilities of a (sample, head) are recomputed once for all its lanes.
    fn attention_vjp(
        &self,
        g: &Self::Tensor,
        saved: AttentionSaved<'_, Self>,
        heads: usize,
        causal: bool,
        lanes: &Lanes,
    ) -> [Self::Tensor; 3];

    // --- pointwise and structure -----------------------------------------------------------------------

    /// A pointwise function.
    fn activation(&self, x: &Self::Tensor, kind: Activation) -> Self::Tensor;
    /// `g [L, ...]` times the function's derivative at `x [N, ...]`.
    fn activation_vjp(
        &self,
        g: &Self::Tensor,
        x: &Self::Tensor,
        kind: Activation,
        lanes: &Lanes,
    ) -> Self::Tensor;
    /// GEGLU (Shazeer 2020): `[N, ..., 2F] -> [N, ..., F]`, first half times GELU of the second.
    fn geglu(&self, x: &Self::Tensor) -> Self::Tensor;
    /// `g [L, ..., F] -> [L, ..., 2F]`.
    fn geglu_vjp(&self, g: &Self::Tensor, x: &Self::Tensor, lanes: &Lanes) -> Self::Tensor;
    /// Sum of two tensors of one shape.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// `acc + b`, in place where `acc` is not shared.
    fn accumulate(&self, acc: Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// `x * factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Self::Tensor;
    /// `[N, ..., A], [N, ..., B] -> [N, ..., A + B]`.
    fn concat(&self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;
    /// `[N, ..., A + B] -> [N, ..., A], [N, ..., B]`.
    fn split(&self, x: &Self::Tensor, first: usize) -> (Self::Tensor, Self::Tensor);
    /// Nearest-neighbour resize of `[N, H, W, C]` to `size` (source index `floor(i * H / H')`).
    fn resize_nearest(&self, x: &Self::Tensor, size: (usize, usize)) -> Self::Tensor;
    /// `g [L, H', W', C] -> [L, H, W, C]`.
    fn resize_nearest_vjp(&self, g: &Self::Tensor, input: (usize, usize)) -> Self::Tensor;
    /// Means of 2x2 windows of stride 2, `[N, H, W, C] -> [N, ceil(H / 2), ceil(W / 2), C]`; those at an odd
    /// end are over the cells that exist.
    fn avg_pool2(&self, x: &Self::Tensor) -> Self::Tensor;
    /// `g [L, H', W', C] -> [L, H, W, C]`.
    fn avg_pool2_vjp(&self, g: &Self::Tensor, input: (usize, usize)) -> Self::Tensor;
    /// Rows of a table: `ids` of shape `[N, T]` give `[N, T, C]`.
    fn embedding(&self, ids: &[u32], shape: (usize, usize), table: WeightRef<'_, Self>) -> Self::Tensor;
    /// Gradient of a trained table, `[K, V, C]`.
    fn embedding_vjp_params(&self, g: &Self::Tensor, ids: &[u32], rows: usize, lanes: &Lanes)
    -> Self::Tensor;
    /// One token of each sample: `x [N, T, C], index [N] -> [N, C]`.
    fn pick_token(&self, x: &Self::Tensor, index: &[usize]) -> Self::Tensor;
    /// `g [L, C] -> [L, T, C]`, zero elsewhere.
    fn pick_token_vjp(&self, g: &Self::Tensor, index: &[usize], tokens: usize, lanes: &Lanes)
    -> Self::Tensor;

    // --- parameters ------------------------------------------------------------------------------------

    // Each takes all parameters at once, so that a device is waited for once. Empty lists are fine.

    /// Inner products of `K` objectives' gradients, given as one `[K, ...]` for each parameter: row-major
    /// `K x K`, summed over all parameters and accumulated in f64; empty if there are no parameters.
    fn gram(&self, grads: &[&Self::Tensor]) -> Vec<f64>;
    /// `sum_k coefficients[k] * grad[k]` for the gradients of each parameter: `[K, ...] -> [...]`.
    fn combine(&self, grads: &[&Self::Tensor], coefficients: &[f64]) -> Vec<Self::Tensor>;
    /// The Euclidean norm of all values of all tensors, accumulated in f64.
    fn norm(&self, tensors: &[&Self::Tensor]) -> f64;
    /// One AdamW step of every parameter with its gradient times `grad_scale`. Values that others share are
    /// copied first. If there is no memory for that, nothing is changed.
    fn adamw(&self, states: &mut [AdamWState<'_, Self>], grad_scale: f64, constants: &AdamW);
    /// Exponential moving averages: `average = decay * average + (1 - decay) * value` for each parameter.
    /// Averages that others share are copied first. If there is no memory for that, nothing is changed.
    fn ema(&self, averages: &mut [&mut Self::Tensor], values: &[&Self::Tensor], decay: f64);
}
