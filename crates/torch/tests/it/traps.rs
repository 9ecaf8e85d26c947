//! Mistakes that libtorch makes nothing of, or something wrong: here they are errors, or cannot happen.

use crate::{backends, library};
use fairhuman_engine::{Backend, Lanes, OutOfMemory, WeightData, WeightLayout, WeightRef};
use fairhuman_torch::{Precision, Tensor, Torch, testing};
use std::panic::catch_unwind;
use std::process::Command;

fn torch() -> Option<Torch> {
    backends(Precision::F32).pop()
}

/// Panics of this work are what is tested: the message is returned.
fn message_of(work: fn()) -> String {
    let payload = catch_unwind(work).expect_err("a panic");
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[test]
fn arguments_are_counted_and_their_kinds_compared() {
    if library().is_none() {
        return;
    }
    for work in [testing::call_with_an_argument_too_few, testing::call_with_another_kind_of_argument] {
        let message = message_of(work);
        assert!(message.contains("other arguments than those of aten::mm("), "{message}");
    }
}

#[test]
fn repeated_statistics_are_refused() {
    if library().is_some() {
        assert_eq!(message_of(testing::layer_norm_with_repeated_statistics), "statistics with gaps");
    }
}

#[test]
fn views_stay_inside_their_tensors() {
    if library().is_some() {
        assert!(message_of(testing::view_beyond_the_end).contains("a view of [2, 3]"));
    }
}

/// The child process of the test below.
#[test]
#[ignore = "the child of another test"]
fn child() {
    let operator = std::env::var("OPERATOR").expect("an operator's name");
    library().expect("libtorch, which the parent has");
    testing::call_on_the_cpu(&operator);
}

/// libtorch prints why it refuses a call: that there is no kernel for the CPU, and nothing about arguments.
#[test]
fn operators_of_cuda_alone_take_their_arguments() {
    if library().is_none() {
        return;
    }
    for operator in testing::CUDA_ONLY {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--ignored", "--exact", "traps::child"]).env("OPERATOR", operator);
        let output = child.output().expect("this test again");
        let text = String::from_utf8_lossy(&output.stderr);
        let refused = format!("Could not run 'aten::{operator}' with arguments from the 'CPU' backend");
        assert!(text.contains(&refused), "{operator}: {text}");
    }
}

fn values(torch: &Torch, tensor: &Tensor) -> Vec<f32> {
    torch.read(tensor)
}

#[test]
fn reshaped_values_are_not_written_through() {
    let Some(torch) = torch() else { return };
    let x = torch.tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let same = torch.reshape(&x, &[4]);
    torch.accumulate(torch.reshape(&x, &[1, 4]), &torch.tensor(&[1, 4], &[1.0; 4]));
    let weight = torch.weight(&WeightData::from_f32(&[1, 2], &[5.0, 7.0]), WeightLayout::Matrix);
    let g = torch.tensor(&[2, 1], &[1.0, 1.0]);
    // The sum shares its values with `same`.
    let sum = torch.linear_vjp(&g, WeightRef::Frozen(&weight), None, Some(x));
    assert_eq!(values(&torch, &sum), [6.0, 9.0, 8.0, 11.0]);
    assert_eq!(values(&torch, &same), [1.0, 2.0, 3.0, 4.0]);
}

/// Copies of parameters (averages, a validation's) share their values until one of them changes.
#[test]
fn an_update_leaves_copies_of_a_parameter_as_they_were() {
    use fairhuman_engine::{AdamW, AdamWState};
    let Some(torch) = torch() else { return };
    let mut param = torch.tensor(&[2], &[3.0, 5.0]);
    let (copy, reshaped) = (param.clone(), torch.reshape(&param, &[2, 1]));
    let (mut first, mut second) = (torch.zeros(&[2]), torch.zeros(&[2]));
    let (first_copy, second_copy) = (first.clone(), second.clone());
    let grad = torch.tensor(&[2], &[1.0, 1.0]);
    let state = AdamWState { param: &mut param, first: &mut first, second: &mut second, grad: &grad };
    let constants = AdamW { lr: 1.0, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
    torch.adamw(&mut [state], 1.0, &constants);
    assert_eq!(values(&torch, &param), [2.0, 4.0]);
    torch.ema(&mut [&mut param], &[&torch.tensor(&[2], &[10.0, 12.0])], 0.5);
    assert_eq!(values(&torch, &param), [6.0, 8.0]);
    for before in [&copy, &reshaped] {
        assert_eq!(values(&torch, before), [3.0, 5.0]);
    }
    for before in [&first_copy, &second_copy] {
        assert_eq!(values(&torch, before), [0.0, 0.0]);
    }
}

/// libtorch's own gradient of a group norm is silently wrong where activations and cotangents have different
/// memory formats, as a convolution's result and what the host sent do.
#[test]
fn group_norms_do_not_depend_on_where_their_inputs_are_from() {
    use fairhuman_engine::{Affine, ConvParams, Epilogue};
    let Some(torch) = torch() else { return };
    let numbers = |count: usize, pace: f32| (0..count).map(|i| (i as f32 * pace).sin()).collect::<Vec<_>>();
    let data = WeightData::from_f32(&[4, 4, 3, 3], &numbers(144, 0.7));
    let filter = torch.weight(&data, WeightLayout::Filter);
    let same = ConvParams::square(3, 1, 1);
    let host = torch.tensor(&[2, 5, 3, 4], &numbers(120, 0.3));
    let x = torch.conv2d(&host, WeightRef::Frozen(&filter), same, Epilogue::default());
    let g = torch.conv2d_vjp(&host, WeightRef::Frozen(&filter), same, (5, 3), None);
    let again = |tensor: &Tensor| torch.tensor(&[2, 5, 3, 4], &values(&torch, tensor));
    let (gamma, beta) = (torch.tensor(&[4], &[1.0, 2.0, 0.5, -1.0]), torch.tensor(&[4], &[0.1; 4]));
    let affine = Affine { gamma: &gamma, beta: &beta, eps: 1e-5 };
    let lanes = Lanes::new(2, &[vec![0, 1]]);
    let gradient = |x: &Tensor, g: &Tensor| {
        let (_, stats) = torch.group_norm(x, 2, affine, true);
        values(&torch, &torch.group_norm_vjp(g, (x, &stats), affine, true, &lanes, None))
    };
    let expected = gradient(&again(&x), &again(&g));
    for found in [gradient(&x, &g), gradient(&again(&x), &g), gradient(&x, &again(&g))] {
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

/// In 16 bits a parameter has a copy of its values in that type, which must go when they change.
#[test]
fn updated_parameters_are_used_with_their_new_values() {
    for torch in backends(Precision::Bf16) {
        use fairhuman_engine::{AdamW, AdamWState};
        let x = torch.tensor(&[1, 1], &[1.0]);
        let mut param = torch.tensor(&[1, 1], &[3.0]);
        let product = |param: &Tensor| {
            let y = torch.linear(&x, WeightRef::Trained(param), None, fairhuman_engine::Epilogue::default());
            torch.read(&y)[0]
        };
        assert_eq!(product(&param), 3.0);
        let (mut first, mut second) = (torch.zeros(&[1, 1]), torch.zeros(&[1, 1]));
        let grad = torch.tensor(&[1, 1], &[1.0]);
        let state = AdamWState { param: &mut param, first: &mut first, second: &mut second, grad: &grad };
        let constants = AdamW { lr: 1.0, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
        torch.adamw(&mut [state], 1.0, &constants);
        assert_eq!(product(&param), 2.0);
        torch.ema(&mut [&mut param], &[&torch.tensor(&[1, 1], &[10.0])], 0.5);
        assert_eq!(product(&param), 6.0);
    }
}

#[test]
fn gradients_are_not_divided_in_place() {
    use fairhuman_engine::{AdamW, AdamWState};
    let Some(torch) = torch() else { return };
    let grad = torch.tensor(&[2], &[8.0, -8.0]);
    let mut state = [torch.zeros(&[2]), torch.zeros(&[2]), torch.zeros(&[2])];
    let [param, first, second] = state.each_mut();
    let constants = AdamW { lr: 1.0, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
    torch.adamw(&mut [AdamWState { param, first, second, grad: &grad }], 0.25, &constants);
    assert_eq!(values(&torch, &grad), [8.0, -8.0]);
    assert_eq!(values(&torch, &state[1]), [0.2, -0.2]);
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let Some(torch) = torch() else { return };
    for shape in [vec![1 << 40, 1 << 10], vec![1 << 62, 1 << 62]] {
        let error = torch.attempt(|| torch.zeros(&shape)).expect_err("no memory");
        assert!(matches!(error, OutOfMemory { bytes, .. } if bytes >= 1 << 50), "{error:?}");
    }
    assert_eq!(values(&torch, &torch.zeros(&[1])), [0.0], "the backend goes on");
}

#[test]
fn tensors_are_counted_while_they_live() {
    // The count is the process's, and other tests run beside this one: what is counted here is much larger.
    let Some(torch) = torch() else { return };
    let large = torch.zeros(&[1 << 28]);
    let with = torch.bytes_in_use();
    assert!(with >= 1 << 30, "{with}");
    drop(torch.reshape(&large, &[1 << 14, 1 << 14]));
    drop(large);
    assert!(torch.bytes_in_use() + (1 << 29) < with, "freed memory is still counted");
}

#[test]
fn lanes_of_one_sample_are_not_copied_into_statistics_of_others() {
    use fairhuman_engine::Affine;
    let Some(torch) = torch() else { return };
    let lanes = Lanes::new(1, &[vec![0], vec![0], vec![0]]);
    let ones = torch.tensor(&[4], &[1.0; 4]);
    let affine = Affine { gamma: &ones, beta: &ones, eps: 1e-5 };
    let x = torch.tensor(&[1, 2, 4], &[1.0, 2.0, 3.0, 5.0, 0.0, 1.0, 0.5, 9.0]);
    let (_, stats) = torch.layer_norm(&x, affine);
    let g = torch.tensor(&[3, 2, 4], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0].repeat(3));
    let dx = values(&torch, &torch.layer_norm_vjp(&g, (&x, &stats), affine, &lanes, None));
    assert!(dx.iter().all(|value| value.is_finite()));
    assert!(dx.chunks(8).all(|lane| lane == &dx[..8]), "lanes of one sample differ: {dx:?}");
}
