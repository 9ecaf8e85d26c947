//! Plans the operators of a file as checked steps, with packed weights, paddings and the lifetimes of
//! buffers.

use super::flatbuffers::{OutOfFile, Table};
use super::kernels::{Activation, Corners, Size, Window};
use super::matmul::Packed;
use super::model::{Graph, Op, Values};

/// An unsupported operator.
#[derive(Debug, thiserror::Error)]
#[error("operator {index} ({op}): {reason}")]
pub struct PlanError {
    /// Position in the file.
    pub index: usize,
    /// Custom name or builtin code.
    pub op: String,
    /// The reason.
    pub reason: String,
}

/// A kernel with its constants.
#[derive(Debug)]
pub enum Kernel {
    /// The same values with another shape.
    Reshape,
    /// Only the activation.
    Activate,
    /// First operand plus second.
    Add,
    /// Leaky ReLU with a slope per channel.
    Prelu { slopes: Vec<f32> },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// Weight `[taps * inputs, outputs]`.
    Conv { window: Window, weight: Packed },
    /// Weight `[taps, channels]`.
    Depthwise { window: Window, weight: Vec<f32>, bias: Vec<f32> },
    /// Largest value under a window.
    MaxPool { window: Window },
    /// Bilinear resizing.
    Resize { corners: Corners },
    /// Channels to blocks of pixels.
    DepthToSpace { block: usize },
    /// Padding with zeros; `before` is (rows, columns, channels).
    Pad { before: [usize; 3] },
    /// Weight `[outputs, inputs]`.
    FullyConnected { weight: Vec<f32>, bias: Option<Vec<f32>> },
    /// Mean over all pixels.
    Mean,
    /// `outer` rows, each the concatenation of the operands' parts.
    Concat { outer: usize, parts: Vec<usize> },
}

/// One operator, ready to run.
#[derive(Debug)]
pub struct Step {
    /// The kernel.
    pub kernel: Kernel,
    /// Activation applied to the result.
    pub activation: Activation,
    /// Tensor numbers of the operands that are not constant.
    pub inputs: Vec<i32>,
    /// Tensor number of the result.
    pub output: i32,
    /// Elements of the result.
    pub len: usize,
    /// Operands that no later step reads.
    pub last_used: Vec<i32>,
    /// Size of the first operand.
    pub from: Size,
    /// Size of the result.
    pub to: Size,
}

struct Unsupported(String);

impl From<OutOfFile> for Unsupported {
    fn from(at: OutOfFile) -> Self {
        Self(at.to_string())
    }
}

impl From<&str> for Unsupported {
    fn from(reason: &str) -> Self {
        Self(reason.into())
    }
}

type Planned<T> = Result<T, Unsupported>;

/// The steps that compute the tensors `ends`.
pub fn plan(graph: &Graph, ends: &[i32]) -> Result<Vec<Step>, PlanError> {
    let mut needed = ends.to_vec();
    let mut steps = Vec::new();
    for (index, op) in graph.ops.iter().enumerate().rev() {
        if !op.outputs.iter().any(|o| needed.contains(o)) {
            continue;
        }
        let mut step = step(graph, op).map_err(|Unsupported(reason)| PlanError {
            index,
            op: if op.custom.is_empty() { format!("builtin code {}", op.code) } else { op.custom.clone() },
            reason,
        })?;
        for &i in &step.inputs {
            // In reverse order, the first reader seen is the last to run.
            if !needed.contains(&i) {
                step.last_used.push(i);
                needed.push(i);
            }
        }
        steps.push(step);
    }
    steps.reverse();
    // A damaged file may read what nothing computes.
    let mut defined = graph.inputs.clone();
    for step in &steps {
        if step.inputs.iter().any(|t| !defined.contains(t)) {
            return Err(damaged("an operand is computed too late or never"));
        }
        defined.push(step.output);
    }
    if ends.iter().any(|t| !defined.contains(t)) {
        return Err(damaged("an output is never computed"));
    }
    Ok(steps)
}

fn damaged(reason: &str) -> PlanError {
    PlanError { index: 0, op: "graph".into(), reason: reason.into() }
}

fn image(shape: &[usize]) -> Size {
    match *shape {
        [_, h, w, c] => Size { h, w, c },
        _ => Size { h: 1, w: 1, c: shape.iter().product() },
    }
}

fn step(graph: &Graph, op: &Op) -> Planned<Step> {
    let variable = |t: &i32| *t >= 0 && graph.constant(*t).is_none();
    let inputs: Vec<i32> = op.inputs.iter().copied().filter(|t| variable(t)).collect();
    let first = *op.inputs.first().ok_or("it has no operand")?;
    let output = *op.outputs.first().ok_or("it has no result")?;
    let [from, to] = [first, output].map(|t| image(graph.shape(t)));
    let len = graph.shape(output).iter().product();
    let elements: usize = graph.shape(first).iter().product();
    let (kernel, activation) = kernel(graph, op, from, to, elements == len)?;
    let operands = if matches!(kernel, Kernel::Add | Kernel::Concat { .. }) { op.inputs.len() } else { 1 };
    if inputs.len() != operands {
        return Err(Unsupported(format!("expected {operands} computed operands, found {}", inputs.len())));
    }
    Ok(Step { kernel, activation, inputs, output, len, last_used: Vec::new(), from, to })
}

fn kernel(graph: &Graph, op: &Op, from: Size, to: Size, same_len: bool) -> Planned<(Kernel, Activation)> {
    let options = || op.options.ok_or("it has no options");
    let fused = |slot: usize| match op.options {
        Some(table) => activation(table.i8(slot)?),
        None => Ok(Activation::None),
    };
    let only = |kernel: Kernel| Ok((kernel, Activation::None));
    let keep =
        |kernel: Kernel| if same_len { only(kernel) } else { Err("its operand has another size".into()) };
    match op.code {
        0 => {
            if op.inputs.iter().any(|&t| graph.shape(t) != graph.shape(op.outputs[0])) {
                return Err("only sums of equal shapes are supported".into());
            }
            if op.inputs.first() == op.inputs.get(1) {
                return Err("a sum of a tensor with itself is not supported".into());
            }
            Ok((Kernel::Add, fused(0)?))
        }
        2 => Ok((concat(graph, op, options()?)?, fused(1)?)),
        3 => {
            let window = window(options()?, [from, to], graph, op, [4, 5], false)?;
            let [kh, kw] = window.kernel;
            let weight = floats(graph, op, 1, kh * kw * from.c * to.c)?;
            let weight = Packed::new(kh * kw * from.c, &weight, floats(graph, op, 2, to.c)?);
            Ok((Kernel::Conv { window, weight }, fused(3)?))
        }
        4 => {
            if from.c != to.c {
                return Err("only one filter per channel is supported".into());
            }
            let window = window(options()?, [from, to], graph, op, [5, 6], false)?;
            let [kh, kw] = window.kernel;
            let weight = floats(graph, op, 1, kh * kw * to.c)?;
            let bias = floats(graph, op, 2, to.c)?;
            Ok((Kernel::Depthwise { window, weight, bias }, fused(4)?))
        }
        5 => {
            let block = usize::try_from(options()?.i32(0, 0)?).unwrap_or(0);
            if (to.h, to.w, to.c * block * block) != (from.h * block, from.w * block, from.c) {
                return Err("its block does not fit its shapes".into());
            }
            keep(Kernel::DepthToSpace { block })
        }
        9 => {
            let inputs = from.h * from.w * from.c;
            let weight = floats(graph, op, 1, inputs * to.c * to.h * to.w)?;
            let bias = match op.inputs.get(2) {
                Some(t) if *t >= 0 => Some(floats(graph, op, 2, to.c)?),
                _ => None,
            };
            Ok((Kernel::FullyConnected { weight, bias }, fused(0)?))
        }
        14 => keep(Kernel::Sigmoid),
        17 => {
            if from.c != to.c {
                return Err("its channels change".into());
            }
            let window = window(options()?, [from, to], graph, op, [9, 9], true)?;
            Ok((Kernel::MaxPool { window }, fused(5)?))
        }
        19 if same_len => Ok((Kernel::Activate, Activation::Relu)),
        22 => keep(Kernel::Reshape),
        23 => {
            let table = options()?;
            let corners = match (table.i8(2)? != 0, table.i8(3)? != 0) {
                (true, _) => Corners::Aligned,
                (_, true) => Corners::HalfPixel,
                _ => Corners::Origin,
            };
            if from.c != to.c || from.h * from.w == 0 {
                return Err("its channels change".into());
            }
            only(Kernel::Resize { corners })
        }
        34 => pad(graph, op, from, to),
        40 => {
            let axes = integers(graph, op, 1)?;
            if !(axes == [1, 2] || axes == [2, 1]) || to.h * to.w * to.c != from.c {
                return Err("only a mean over all pixels is supported".into());
            }
            only(Kernel::Mean)
        }
        54 => {
            let slopes = floats(graph, op, 1, from.c)?;
            keep(Kernel::Prelu { slopes })
        }
        _ => Err("this operator is not supported".into()),
    }
}

fn activation(code: i8) -> Planned<Activation> {
    match code {
        0 => Ok(Activation::None),
        1 => Ok(Activation::Relu),
        3 => Ok(Activation::Relu6),
        other => Err(Unsupported(format!("its activation {other} is not supported"))),
    }
}

fn floats(graph: &Graph, op: &Op, operand: usize, len: usize) -> Planned<Vec<f32>> {
    match op.inputs.get(operand).and_then(|&t| graph.constant(t)) {
        Some(Values::Float(v)) if v.len() == len => Ok(v.clone()),
        Some(Values::Float(v)) => {
            Err(Unsupported(format!("expected {len} constants in operand {operand}, found {}", v.len())))
        }
        _ => Err(Unsupported(format!("operand {operand} is not constant"))),
    }
}

fn integers(graph: &Graph, op: &Op, operand: usize) -> Planned<Vec<i32>> {
    match op.inputs.get(operand).and_then(|&t| graph.constant(t)) {
        Some(Values::Int(v)) => Ok(v.clone()),
        _ => Err(Unsupported(format!("operand {operand} is not constant"))),
    }
}

/// The window of a convolution or pooling; paddings as TensorFlow's SAME and VALID define them.
fn window(
    table: Table,
    ends: [Size; 2],
    graph: &Graph,
    op: &Op,
    dilations: [usize; 2],
    pool: bool,
) -> Planned<Window> {
    let positive = |slot: usize| -> Planned<usize> {
        usize::try_from(table.i32(slot, 1)?)
            .ok()
            .filter(|n| (1..4096).contains(n))
            .ok_or_else(|| "its window is not positive".into())
    };
    let kernel = if pool {
        [positive(4)?, positive(3)?]
    } else {
        match *op.inputs.get(1).map_or(&[][..], |&t| graph.shape(t)) {
            [_, kh, kw, _] if kh > 0 && kw > 0 => [kh, kw],
            _ => return Err("expected four-dimensional weights".into()),
        }
    };
    let stride = [positive(2)?, positive(1)?];
    let dilation = if pool { [1, 1] } else { [positive(dilations[1])?, positive(dilations[0])?] };
    let same = table.i8(0)? == 0;
    let [from, to] = ends;
    let mut padding = [0; 2];
    for (axis, (input, output)) in [(from.h, to.h), (from.w, to.w)].into_iter().enumerate() {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        let expected = if same {
            input.div_ceil(stride[axis])
        } else {
            (input + stride[axis]).saturating_sub(reach) / stride[axis]
        };
        if expected != output {
            return Err(Unsupported(format!("expected {expected} output rows or columns, found {output}")));
        }
        if same {
            let total = ((output.max(1) - 1) * stride[axis] + reach).saturating_sub(input);
            padding[axis] = total / 2;
        }
    }
    Ok(Window { kernel, stride, dilation, padding })
}

fn pad(graph: &Graph, op: &Op, from: Size, to: Size) -> Planned<(Kernel, Activation)> {
    let amounts: Vec<usize> =
        integers(graph, op, 1)?.iter().map(|&a| usize::try_from(a).unwrap_or(0)).collect();
    let [0, 0, top, bottom, left, right, front, back] = amounts[..] else {
        return Err("expected two amounts for each of four axes, none for the batch".into());
    };
    let grown = (from.h + top + bottom, from.w + left + right, from.c + front + back);
    if grown != (to.h, to.w, to.c) {
        return Err("its amounts do not fit its shapes".into());
    }
    Ok((Kernel::Pad { before: [top, left, front] }, Activation::None))
}

fn concat(graph: &Graph, op: &Op, table: Table) -> Planned<Kernel> {
    let shape = graph.shape(op.outputs[0]);
    let axis = table.i32(0, 0)?;
    let axis = if axis < 0 { axis + shape.len() as i32 } else { axis };
    let axis = usize::try_from(axis).ok().filter(|&a| a < shape.len()).ok_or("its axis is unknown")?;
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let parts: Vec<usize> =
        op.inputs.iter().map(|&t| graph.shape(t).get(axis).copied().unwrap_or(0) * inner).collect();
    let fits =
        op.inputs.iter().zip(&parts).all(|(&t, p)| graph.shape(t).iter().product::<usize>() == p * outer);
    if !fits || parts.iter().sum::<usize>() != shape[axis] * inner {
        return Err("its parts do not add up".into());
    }
    Ok(Kernel::Concat { outer, parts })
}
