//! Doors for this crate's tests into what it keeps to itself: operators that only CUDA has, called with
//! tensors on the CPU, and situations in which libtorch's operators fail without a word.

use crate::Device;
use crate::abi::{Arg, Handle, Operator};
use crate::operators::{self, Kept};

/// Operators without a kernel for the CPU.
pub const CUDA_ONLY: [&str; 6] = [
    "mm.dtype",
    "bmm.dtype",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_backward",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_efficient_attention_backward",
];

fn numbers(sizes: &[i64]) -> Handle {
    let values: Vec<f32> = (0..sizes.iter().product()).map(|i| i as f32).collect();
    Handle::from_slice(sizes, &values, Device::Cpu).expect("memory for a few numbers")
}

/// Calls one of [`CUDA_ONLY`] with tensors on the CPU, which libtorch refuses after it has read the
/// arguments.
///
/// # Panics
/// Always.
pub fn call_on_the_cpu(name: &str) {
    let (q, log_sum) = (numbers(&[1, 2, 5, 8]), numbers(&[1, 2, 5]));
    let kept = Kept { q: &q, k: &q, v: &q, out: &q, log_sum: &log_sum };
    match name {
        "mm.dtype" => drop(operators::mm_dtype(&numbers(&[2, 2]), &numbers(&[2, 2]))),
        "bmm.dtype" => drop(operators::bmm_dtype(&numbers(&[1, 2, 2]), &numbers(&[1, 2, 2]))),
        "_scaled_dot_product_flash_attention" => drop(operators::attention_flash(&q, &q, &q, true)),
        "_scaled_dot_product_flash_attention_backward" => {
            drop(operators::attention_flash_backward(&q, &kept, true));
        }
        "_scaled_dot_product_efficient_attention" => drop(operators::attention_efficient(&q, &q, &q, true)),
        _ => drop(operators::attention_efficient_backward(&q, &kept, true)),
    }
    unreachable!("{name} ran on the CPU");
}

/// Calls an operator with an argument too few.
///
/// # Panics
/// Always: libtorch itself would read a zero.
pub fn call_with_an_argument_too_few() {
    static MM: Operator = Operator::new("aten::mm(Tensor self, Tensor mat2) -> Tensor");
    MM.call(&[Arg::Tensor(&numbers(&[2, 2]))]);
}

/// Calls an operator with an argument of another kind.
///
/// # Panics
/// Always: libtorch itself would take the number for a pointer.
pub fn call_with_another_kind_of_argument() {
    static MM: Operator = Operator::new("aten::mm(Tensor self, Tensor mat2) -> Tensor");
    MM.call(&[Arg::Tensor(&numbers(&[2, 2])), Arg::Int(2)]);
}

/// Hands repeated statistics (strides of 0), which libtorch would read beyond their end, to the gradient of a
/// layer norm.
///
/// # Panics
/// Always.
pub fn layer_norm_with_repeated_statistics() {
    let (x, vector) = (numbers(&[6, 4]), numbers(&[4]));
    let once = numbers(&[1, 1]).expand(&[6, 1]);
    operators::layer_norm_backward(&x, &x, (&once, &once), (&vector, &vector));
}

/// Takes a view that would reach beyond its tensor.
///
/// # Panics
/// Always.
pub fn view_beyond_the_end() {
    numbers(&[2, 3]).strided(&[2, 3], &[3, 1], 1);
}
