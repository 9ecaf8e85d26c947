//! LoRA files put onto a network, one or several with weights.
//!
//! One file keeps its factors as they are, so that training can go on with them. Several become one pair:
//! the As below each other, the Bs side by side with their scales multiplied in, which is the same sum.

use std::collections::BTreeMap;

use fairhuman_engine::{Backend, Params};

use super::{AdaptedModule, Pair, Site, geometry};
use crate::lora_file::{LoraFile, LoraModule};
use crate::net::{Layers, ModelError, Plan, channels_last};

impl<B: Backend> Layers<B> {
    /// Puts the modules of `component` in `files`, each file times its weight, onto this network. Parameters
    /// are called `<prefix>.<module>.lora_A.weight` and `...lora_B.weight`. With several files (or a weight
    /// other than 1) a returned module's alpha is what scales the pair as it now is.
    ///
    /// # Errors
    /// A module that the network lacks, factors of another shape, a module that already has a LoRA.
    pub fn attach_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        prefix: &str,
        component: &str,
        files: &[(&LoraFile, f32)],
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        let sites: Vec<(String, Site)> = self.sites().map(|(name, site)| (name.to_owned(), site)).collect();
        let mut parts: BTreeMap<&str, Vec<(&LoraModule, f32)>> = BTreeMap::new();
        for (file, weight) in files {
            for (path, module) in &file.modules {
                if let Some(name) = path.strip_prefix(component).and_then(|rest| rest.strip_prefix('.')) {
                    parts.entry(name).or_default().push((module, *weight));
                }
            }
        }
        let mut adapted = Vec::new();
        // In the network's order, as `add_lora` has it: what a step draws at random follows the order of the
        // parameters.
        for (name, site) in sites {
            let Some(modules) = parts.remove(name.as_str()) else { continue };
            for (module, _) in &modules {
                check(&self.plan, &name, site, module)?;
            }
            let pair = self.join(site, &modules);
            let (down, up) = self.put(backend, params, prefix, (&name, site), &pair)?;
            let (rank, alpha) = (pair.rank, pair.scale * pair.rank as f32);
            adapted.push(AdaptedModule { module: name, down, up, rank, alpha });
        }
        match parts.into_keys().next() {
            None => Ok(adapted),
            Some(name) => Err(ModelError::lora(format!(
                "the file has the module {component}.{name}, which this network lacks; is it for another base model?"
            ))),
        }
    }

    fn join(&self, site: Site, modules: &[(&LoraModule, f32)]) -> Pair {
        let (inputs, outputs, kernel) = self.geometry(site);
        let (kh, kw) = kernel.unwrap_or((1, 1));
        let scale = |module: &LoraModule, weight: f32| weight * module.alpha / module.rank() as f32;
        let down = |m: &LoraModule| channels_last(&[m.rank(), inputs, kh, kw], &m.down.data).1;
        if let [(module, weight)] = modules {
            let (up, scale) = (module.up.data.clone(), scale(module, *weight));
            return Pair { rank: module.rank(), down: down(module), up, scale };
        }
        let rank = modules.iter().map(|(m, _)| m.rank()).sum();
        let mut up = vec![0.0; outputs * rank];
        let mut column = 0;
        for (module, weight) in modules {
            let (r, scale) = (module.rank(), scale(module, *weight));
            for (row, values) in up.chunks_exact_mut(rank).zip(module.up.data.chunks_exact(r)) {
                for (to, from) in row[column..column + r].iter_mut().zip(values) {
                    *to = scale * from;
                }
            }
            column += r;
        }
        Pair { rank, down: modules.iter().flat_map(|(m, _)| down(m)).collect(), up, scale: 1.0 }
    }
}

/// Checks that a file's factors are those of a layer.
pub(super) fn check(plan: &Plan, name: &str, site: Site, module: &LoraModule) -> Result<(), ModelError> {
    let (inputs, outputs, kernel) = geometry(plan, site);
    let rank = module.rank();
    let (kh, kw) = kernel.unwrap_or((1, 1));
    let flat = |shape: &[usize], a, b| shape == [a, b] || shape == [a, b, 1, 1];
    let down = match (kh, kw) {
        (1, 1) => flat(&module.down.shape, rank, inputs),
        _ => module.down.shape == [rank, inputs, kh, kw],
    };
    if rank > 0 && down && flat(&module.up.shape, outputs, rank) {
        return Ok(());
    }
    Err(ModelError::lora(format!(
        "{name}: the file's factors have shapes {:?} and {:?}, but the layer has {inputs} inputs, {outputs} outputs and a {kh}x{kw} kernel; is it for another base model?",
        module.down.shape, module.up.shape
    )))
}
