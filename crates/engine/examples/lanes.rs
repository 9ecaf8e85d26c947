//! Three objectives of one small network in one backward pass:
//! `cargo run --release --example lanes -p fairhuman-engine`.
//!
//! Each objective is the squared error of one output, averaged over the samples that have it. The program
//! prints the Gram matrix of their gradients, and checks that three ordinary backward passes give the same
//! gradients.

use fairhuman_engine::{
    Activation, Backend, Cpu, CpuTensor, Lanes, Linear, ParamGrads, Params, Tape, Var, Weight,
};

const SAMPLES: usize = 4;
const OUTPUTS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = Cpu::new(0)?;
    let mut params = Params::default();
    let mut layer = |name: &str, inputs: usize, outputs: usize| {
        let value = cpu.tensor(&[outputs, inputs], &noise(inputs * outputs));
        let weight = Weight::Trained(params.add(name, value));
        Linear { weight, bias: None, adapter: None, inputs, outputs }
    };
    let layers = [layer("first", 8, 16), layer("second", 16, OUTPUTS)];
    let x = cpu.tensor(&[SAMPLES, 8], &noise(SAMPLES * 8));

    // The samples of each objective. The third one is absent from two samples, which cost it nothing.
    let present = [vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![1, 3]];
    let gradients = |lanes: &Lanes, objectives: &[usize]| {
        let mut tape = Tape::new(&cpu, &params, false);
        let hidden = tape.linear(&Var::constant(x.clone()), &layers[0], None);
        let hidden = tape.activation(&hidden, Activation::Silu);
        let output = tape.linear(&hidden, &layers[1], None);
        let cotangents = cotangents(&cpu.read(output.value()), lanes, objectives);
        let cotangents = cpu.tensor(&[lanes.len(), OUTPUTS], &cotangents);
        let mut grads = ParamGrads::<Cpu>::new(&params, lanes);
        tape.backward(&output, cotangents, lanes, &[], &mut grads);
        grads
    };

    let together = gradients(&Lanes::new(SAMPLES, &present), &[0, 1, 2]);
    println!("Gram matrix of three objectives' gradients:");
    for row in together.gram(&cpu).chunks_exact(present.len()) {
        println!("{row:>9.4?}");
    }

    for (k, samples) in present.iter().enumerate() {
        let alone = gradients(&Lanes::new(SAMPLES, std::slice::from_ref(samples)), &[k]);
        for id in params.ids() {
            let values = |grad: Option<&CpuTensor>| grad.map_or_else(Vec::new, |grad| cpu.read(grad));
            let (all, one) = (values(together.get(id)), values(alone.get(id)));
            let (own, _) = all[k * one.len()..].split_at(one.len());
            assert!(own.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5), "objective {k} differs");
        }
    }
    println!("One backward pass with lanes gave the gradients of three.");
    Ok(())
}

/// Derivatives of each lane's objective with respect to the outputs, `[L, OUTPUTS]`; all targets are 1.
fn cotangents(output: &[f32], lanes: &Lanes, objectives: &[usize]) -> Vec<f32> {
    let mut values = vec![0.0; lanes.len() * OUTPUTS];
    for (k, &objective) in objectives.iter().enumerate() {
        for lane in lanes.of_objective(k) {
            let error = output[lanes.sample(lane) * OUTPUTS + objective] - 1.0;
            values[lane * OUTPUTS + objective] = 2.0 * error / lanes.of_objective(k).len() as f32;
        }
    }
    values
}

/// Numbers between -0.5 and 0.5.
fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect()
}
