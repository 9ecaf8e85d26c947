//! A LoRA that training begins with: the factors of a file in the place of fresh ones.

use std::collections::BTreeSet;

use fairhuman_engine::{Backend, Params};

use super::attach::check;
use super::{AdaptedModule, LoraSpec, geometry, is_named, sites};
use crate::lora_file::{LoraFile, LoraModule};
use crate::net::{Layers, ModelError, Plan, channels_last};

/// Checks that a file's modules are among those that `spec` adapts in the network `component`, with its rank.
///
/// # Errors
/// The first that is not, with what to change.
pub fn check_start(plan: &Plan, spec: &LoraSpec, component: &str, file: &LoraFile) -> Result<(), ModelError> {
    if let Some(path) = file.others.keys().next() {
        return Err(ModelError::lora(format!(
            "{path} has an adapter of another kind than LoRA: such files are used and merged, and not trained on"
        )));
    }
    let ranks: BTreeSet<usize> = file.modules.values().map(LoraModule::rank).collect();
    if let (Some(first), Some(last), true) = (ranks.first(), ranks.last(), ranks.len() > 1) {
        return Err(ModelError::lora(format!(
            "its modules have ranks from {first} to {last}, and training has one for all: bring them to one with the \
             program that made the file, or merge it into the model and train on that"
        )));
    }
    for (path, module) in &file.modules {
        let own = path.strip_prefix(component).and_then(|rest| rest.strip_prefix('.'));
        let Some(name) = own else {
            return Err(ModelError::lora(format!(
                "the file changes {path}; only the LoRA of the {component} is trained on: take that part of it alone, or merge \
                 the file into the model"
            )));
        };
        let Some((_, site)) = sites(plan).find(|(site, _)| *site == name) else {
            return Err(ModelError::lora(format!(
                "this network lacks {path}; is the file for another base model?"
            )));
        };
        if !spec.targets.iter().any(|target| is_named(target, name)) {
            return Err(ModelError::lora(format!(
                "the file has {path}, which no target names: add it to lora.targets"
            )));
        }
        if module.rank() != spec.rank {
            let (found, rank) = (module.rank(), spec.rank);
            return Err(ModelError::lora(format!(
                "the file has rank {found} at {path}, and the recipe {rank}: write lora.rank = {found}"
            )));
        }
        check(plan, name, site, module)?;
    }
    Ok(())
}

impl<B: Backend> Layers<B> {
    /// Gives the fresh pairs `modules` of [`Layers::add_lora`] the values of a file that [`check_start`] has
    /// taken, scaled so that the change of the weights is the file's. Modules that the file has not stay
    /// fresh.
    pub fn start_lora(
        &self,
        backend: &B,
        params: &mut Params<B>,
        component: &str,
        file: &LoraFile,
        modules: &[AdaptedModule],
    ) {
        for adapted in modules {
            let Some(module) = file.modules.get(&format!("{component}.{}", adapted.module)) else { continue };
            let Some((_, site)) = self.sites().find(|(name, _)| *name == adapted.module) else { continue };
            let (inputs, _, kernel) = geometry(&self.plan, site);
            let (kh, kw) = kernel.unwrap_or((1, 1));
            let down = channels_last(&[adapted.rank, inputs, kh, kw], &module.down.data).1;
            let scale = module.alpha / adapted.alpha;
            let up: Vec<f32> = module.up.data.iter().map(|value| scale * value).collect();
            for (id, values) in [(adapted.down, down), (adapted.up, up)] {
                let shape = B::shape(params.get(id)).to_vec();
                params.set(id, backend.tensor(&shape, &values));
            }
        }
    }
}
