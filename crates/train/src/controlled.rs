//! Control networks in training: a ControlNet or a T2I-Adapter that steers a frozen U-Net. The U-Net's
//! prediction is compared with the target, and only the control network has parameters.

use std::ops::Range;

use fairhuman_diffusion::control::ControlNetwork;
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, Tape, Var};

use crate::batch::{Batch, Inputs, part};
use crate::denoising::{Denoiser, DenoisingInputs, embedded_input};

/// The inputs of a denoiser, and the images that control it.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlledInputs {
    /// Noisy latents, time steps, captions.
    pub denoising: DenoisingInputs,
    /// Control images, `[N, f height, f width, 3]` in [0, 1] for latents `[N, height, width, C]`. Empty: the
    /// control network is left out.
    pub control: Vec<f32>,
    /// Pixels per latent cell in one direction, f.
    pub reduction: usize,
}

impl Inputs for ControlledInputs {
    fn append(&mut self, next: &Self) -> Result<(), String> {
        if self.control.is_empty() != next.control.is_empty() {
            return Err("some samples of a batch have control images, others have not".into());
        }
        self.control.extend(&next.control);
        self.denoising.append(&next.denoising)
    }

    fn slice(&self, size: usize, range: Range<usize>) -> Self {
        Self {
            denoising: self.denoising.slice(size, range.clone()),
            control: part(&self.control, size, &range),
            reduction: self.reduction,
        }
    }

    fn numbers(&self) -> Vec<(&'static str, &[f32])> {
        let mut lists = self.denoising.numbers();
        lists.push(("control image", &self.control));
        lists
    }

    fn timesteps(&self) -> &[usize] {
        self.denoising.timesteps()
    }
}

/// A frozen U-Net and the control network that is trained with it.
pub struct Controlled<B: Backend, C> {
    /// The U-Net.
    pub unet: UNet<B>,
    /// The control network.
    pub control: C,
}

impl<B: Backend, C: ControlNetwork<B>> Denoiser<B> for Controlled<B, C> {
    type Inputs = ControlledInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<ControlledInputs>,
    ) -> Result<Var<B>, String> {
        let Batch { targets, inputs } = batch;
        let mut input = embedded_input(&self.unet, tape, targets, &inputs.denoising)?;
        if !inputs.control.is_empty() {
            let [height, width] = [targets.height, targets.width].map(|side| side * inputs.reduction);
            let pixels = tape.backend().tensor(&[targets.size, height, width, 3], &inputs.control);
            let residuals = self.control.residuals(tape, &input, &pixels);
            input.residuals = residuals.map_err(|e| e.to_string())?;
        }
        self.unet.forward(tape, &input).map_err(|e| e.to_string())
    }
}
