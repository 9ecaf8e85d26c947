//! Adapters that change weights as a whole, put onto a loaded network: each weight that they change is read
//! again, changed, and takes the place of the one that is there, in its file's type.

use std::collections::BTreeSet;

use fairhuman_engine::{Backend, PerChannel, Weight, WeightData, WeightLayout};

use crate::lora_file::{LoraFile, OtherModule};
use crate::net::{Layers, ModelError};
use crate::weights::{WeightFiles, narrow_finite};

/// Changes a weight or bias of a module by all files in their order.
type Change<'a> = &'a dyn Fn(&OtherModule, &mut [f32], f32) -> Result<(), String>;

impl<B: Backend> Layers<B> {
    /// Applies the modules of other kinds than LoRA that `files` have of `component`, each file times its
    /// weight; `base` are the network's files.
    ///
    /// # Errors
    /// A module that the network lacks, tensors that do not fit its weight, sums that its type cannot hold.
    pub fn change(
        &mut self,
        backend: &B,
        base: &WeightFiles,
        component: &str,
        files: &[(&LoraFile, f32)],
    ) -> Result<(), ModelError> {
        let own = |path: &str| Some(path.strip_prefix(component)?.strip_prefix('.')?.to_owned());
        let names: BTreeSet<String> =
            files.iter().flat_map(|(file, _)| file.others.keys()).filter_map(|path| own(path)).collect();
        for name in names {
            let path = format!("{component}.{name}");
            let modules: Vec<(&OtherModule, f32)> =
                files.iter().filter_map(|(file, weight)| Some((file.others.get(&path)?, *weight))).collect();
            let changed = self.change_module(backend, base, &name, &modules);
            changed.map_err(|error| match error {
                ModelError::Lora { problem } => ModelError::lora(format!("{path}: {problem}")),
                error => error,
            })?;
        }
        Ok(())
    }

    fn change_module(
        &mut self,
        backend: &B,
        base: &WeightFiles,
        name: &str,
        modules: &[(&OtherModule, f32)],
    ) -> Result<(), ModelError> {
        let weight = |stored: &str| {
            let data = base.get_any_shape(&format!("{stored}.weight"))?;
            let shape = data.shape().to_vec();
            changed(data, modules, &|module, values, weight| module.apply(values, &shape, weight))
        };
        let bias = |stored: &str| {
            let data = base.get_any_shape(&format!("{stored}.bias"))?;
            changed(data, modules, &|module, values, weight| module.apply_bias(values, weight))
        };
        let vector = |data: WeightData| backend.tensor(&[data.len()], &data.to_f32());
        let (weights, biases) = (
            modules.iter().any(|(module, _)| module.has_weight()),
            modules.iter().any(|(module, _)| module.has_bias()),
        );
        let no_bias = || ModelError::lora("it changes the bias of a layer that has none");
        if let Some(i) = self.plan.linears.iter().position(|linear| linear.name == name) {
            let stored = self.plan.linears[i].stored_name(base).to_owned();
            if weights {
                let data = weight(&stored)?;
                self.linears[i].weight = Weight::Frozen(backend.weight(&data, WeightLayout::Matrix));
            }
            if biases {
                let place = self.linears[i].bias.as_mut().ok_or_else(no_bias)?;
                *place = PerChannel::Frozen(vector(bias(&stored)?));
            }
        } else if let Some(i) = self.plan.convs.iter().position(|conv| conv.name == name) {
            if weights {
                let data = weight(name)?;
                self.convs[i].weight = Weight::Frozen(backend.weight(&data, WeightLayout::Filter));
            }
            if biases {
                let place = self.convs[i].bias.as_mut().ok_or_else(no_bias)?;
                *place = PerChannel::Frozen(vector(bias(name)?));
            }
        } else if let Some(i) = self.plan.norms.iter().position(|norm| norm.name == name) {
            if weights {
                self.norms[i].gamma = PerChannel::Frozen(vector(weight(name)?));
            }
            if biases {
                self.norms[i].beta = PerChannel::Frozen(vector(bias(name)?));
            }
        } else {
            return Err(ModelError::lora("this network lacks it; is the file for another base model?"));
        }
        Ok(())
    }
}

/// A tensor after all changes, rounded once to its type.
fn changed(
    data: WeightData,
    modules: &[(&OtherModule, f32)],
    change: Change<'_>,
) -> Result<WeightData, ModelError> {
    let mut values = data.to_f32();
    for (module, weight) in modules {
        change(module, &mut values, *weight).map_err(ModelError::lora)?;
    }
    let bytes = narrow_finite(&values, data.dtype()).map_err(|value| {
        let dtype = data.dtype();
        ModelError::lora(format!("with it the weight holds {value}, which does not fit {dtype:?}"))
    })?;
    let range = 0..bytes.len();
    Ok(WeightData::new(data.dtype(), data.shape().to_vec(), std::sync::Arc::new(bytes), range))
}
