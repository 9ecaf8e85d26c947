//! A plan filled with weights: the layers that a network's blocks compute with.

use fairhuman_engine::{
    Backend, Conv2d, Linear, Norm, Params, PerChannel, Tape, Var, Weight, WeightData, WeightLayout,
};

use super::{
    ConvId, Init, LinearId, LinearSpec, ModelError, NormId, NormKind, NormSpec, Plan, TableId, TableSpec,
    random,
};
use crate::weights::WeightFiles;

/// The trained part of a network.
pub enum Trainable<'a, B: Backend> {
    /// Nothing: frozen weights stay in the file's type, memory-mapped. Adapters may be added.
    None,
    /// Every weight becomes a parameter, named `<component>.<tensor>`.
    All(&'a mut Params<B>),
    /// Likewise those weights whose tensors' names begin with one of these.
    Parts(&'a mut Params<B>, &'static [&'static str]),
}

impl<B: Backend> Trainable<'_, B> {
    /// Where the weight of a tensor goes, if it is trained.
    fn of(&mut self, name: &str) -> Option<&mut Params<B>> {
        match self {
            Trainable::None => None,
            Trainable::All(params) => Some(params),
            Trainable::Parts(params, parts) => {
                parts.iter().any(|part| name.starts_with(part)).then_some(params)
            }
        }
    }
}

/// Tensors that are drawn where the others are read: a network that starts from a part of another one's
/// files.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Tensors whose names begin with one of these are drawn, by the initial values of their layers.
    pub prefixes: &'a [&'a str],
    /// The values are functions of this, the component and the tensor's name.
    pub seed: u64,
}

/// The layers of a network, by the ids of its [`Plan`].
pub struct Layers<B: Backend> {
    pub(crate) plan: Plan,
    pub(crate) linears: Vec<Linear<B>>,
    pub(crate) convs: Vec<Conv2d<B>>,
    pub(crate) norms: Vec<Norm<B>>,
    pub(super) tables: Vec<Weight<B>>,
}

struct Filler<'a, 'p, B: Backend> {
    backend: &'a B,
    files: &'a WeightFiles,
    component: &'a str,
    trainable: Trainable<'p, B>,
    fresh: Option<Fresh<'a>>,
}

impl<B: Backend> Filler<'_, '_, B> {
    /// The values of a tensor: drawn where it is fresh, else the file's.
    fn values(&self, name: &str, shape: &[usize], init: Init) -> Result<WeightData, ModelError> {
        match self.fresh {
            Some(fresh) if fresh.prefixes.iter().any(|prefix| name.starts_with(prefix)) => {
                let count = shape.iter().product();
                let values = random::draw(fresh.seed, &format!("{}.{name}", self.component), count, init);
                Ok(WeightData::from_f32(shape, &values))
            }
            _ => Ok(self.files.get(name, shape)?),
        }
    }

    fn weight(&mut self, name: &str, data: WeightData, layout: WeightLayout) -> Weight<B> {
        let Some(params) = self.trainable.of(name) else {
            return Weight::Frozen(self.backend.weight(&data, layout));
        };
        let (shape, values) = match layout {
            WeightLayout::Filter => channels_last(data.shape(), &data.to_f32()),
            WeightLayout::Matrix => (vec![data.shape()[0], data.shape()[1]], data.to_f32()),
            WeightLayout::Table => (data.shape().to_vec(), data.to_f32()),
        };
        Weight::Trained(
            params.add(format!("{}.{name}", self.component), self.backend.tensor(&shape, &values)),
        )
    }

    fn vector(&mut self, name: &str, length: usize, init: Init) -> Result<PerChannel<B>, ModelError> {
        let value = self.backend.tensor(&[length], &self.values(name, &[length], init)?.to_f32());
        Ok(match self.trainable.of(name) {
            None => PerChannel::Frozen(value),
            Some(params) => PerChannel::Trained(params.add(format!("{}.{name}", self.component), value)),
        })
    }

    fn linear(&mut self, spec: &LinearSpec) -> Result<Linear<B>, ModelError> {
        let name = spec.stored_name(self.files);
        let weight = format!("{name}.weight");
        let data = self.values(&weight, &spec.shape(), spec.init())?;
        Ok(Linear {
            weight: self.weight(&weight, data, WeightLayout::Matrix),
            bias: match spec.bias {
                true => Some(self.vector(&format!("{name}.bias"), spec.outputs, spec.init())?),
                false => None,
            },
            adapter: None,
            inputs: spec.inputs,
            outputs: spec.outputs,
        })
    }
}

/// `[O, I, kh, kw]` to `[O, kh, kw, I]`, the form of trained filters.
pub(crate) fn channels_last(shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let (inputs, taps) = (shape[1], shape[2] * shape[3]);
    let mut out = vec![0.0; values.len()];
    for (from, to) in values.chunks_exact(inputs * taps).zip(out.chunks_exact_mut(inputs * taps)) {
        for (i, channel) in from.chunks_exact(taps).enumerate() {
            for (tap, &value) in channel.iter().enumerate() {
                to[tap * inputs + i] = value;
            }
        }
    }
    (vec![shape[0], shape[2], shape[3], inputs], out)
}

/// `[O, kh, kw, I]` to `[O, I, kh, kw]`, the form of files.
pub(crate) fn channels_first(shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let (taps, inputs) = (shape[1] * shape[2], shape[3]);
    let mut out = vec![0.0; values.len()];
    for (from, to) in values.chunks_exact(inputs * taps).zip(out.chunks_exact_mut(inputs * taps)) {
        for (tap, channels) in from.chunks_exact(inputs).enumerate() {
            for (i, &value) in channels.iter().enumerate() {
                to[i * taps + tap] = value;
            }
        }
    }
    (vec![shape[0], inputs, shape[1], shape[2]], out)
}

impl<B: Backend> Layers<B> {
    /// Fills `plan` from `files`, of which nothing but tensors that end in one of `ignored` may be left over.
    ///
    /// # Errors
    /// Tensors that are missing, of another shape or type, or have no place in the plan.
    pub fn load(
        backend: &B,
        files: &WeightFiles,
        plan: Plan,
        component: &str,
        trainable: Trainable<'_, B>,
        ignored: &[&str],
    ) -> Result<Self, ModelError> {
        let layers = Self::fill(backend, files, plan, component, trainable, None)?;
        files.finish(ignored)?;
        Ok(layers)
    }

    /// Fills `plan` from a part of `files`, and what is `fresh` from a seed: the encoder of a U-Net, say,
    /// with new layers beside it. Files may hold more.
    ///
    /// # Errors
    /// Tensors that are neither fresh nor in the files, or have another shape or type there.
    pub fn load_part(
        backend: &B,
        files: &WeightFiles,
        plan: Plan,
        component: &str,
        trainable: Trainable<'_, B>,
        fresh: Fresh<'_>,
    ) -> Result<Self, ModelError> {
        Self::fill(backend, files, plan, component, trainable, Some(fresh))
    }

    fn fill(
        backend: &B,
        files: &WeightFiles,
        plan: Plan,
        component: &str,
        trainable: Trainable<'_, B>,
        fresh: Option<Fresh<'_>>,
    ) -> Result<Self, ModelError> {
        let mut filler = Filler { backend, files, component, trainable, fresh };
        let mut layers = Self {
            plan: Plan::default(),
            linears: Vec::new(),
            convs: Vec::new(),
            norms: Vec::new(),
            tables: Vec::new(),
        };
        for spec in &plan.linears {
            layers.linears.push(filler.linear(spec)?);
        }
        for spec in &plan.convs {
            let weight = format!("{}.weight", spec.name);
            let data = filler.values(&weight, &spec.shape(), spec.init())?;
            layers.convs.push(Conv2d {
                weight: filler.weight(&weight, data, WeightLayout::Filter),
                bias: Some(filler.vector(&format!("{}.bias", spec.name), spec.outputs, spec.init())?),
                geometry: spec.geometry,
                adapter: None,
                inputs: spec.inputs,
                outputs: spec.outputs,
            });
        }
        for spec in &plan.norms {
            let [gamma, beta] = NormSpec::INIT
                .map(|(end, init)| filler.vector(&format!("{}.{end}", spec.name), spec.channels, init));
            layers.norms.push(Norm { gamma: gamma?, beta: beta?, eps: spec.eps });
        }
        for spec in &plan.tables {
            let weight = format!("{}.weight", spec.name);
            let data = filler.values(&weight, &[spec.rows, spec.width], TableSpec::INIT)?;
            layers.tables.push(filler.weight(&weight, data, WeightLayout::Table));
        }
        layers.plan = plan;
        Ok(layers)
    }

    /// The plan that was filled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn linear<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        id: LinearId,
        x: &Var<B>,
        residual: Option<&Var<B>>,
    ) -> Var<B> {
        tape.linear(x, &self.linears[id.0], residual)
    }

    pub(crate) fn conv<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        id: ConvId,
        x: &Var<B>,
        shift: Option<&Var<B>>,
        residual: Option<&Var<B>>,
    ) -> Var<B> {
        tape.conv2d(x, &self.convs[id.0], shift, residual)
    }

    pub(crate) fn group_norm<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        id: NormId,
        x: &Var<B>,
        silu: bool,
    ) -> Var<B> {
        let NormKind::Group { groups } = self.plan.norms[id.0].kind else {
            unreachable!("blocks apply group normalisations that they planned as such")
        };
        tape.group_norm(x, &self.norms[id.0], groups, silu)
    }

    pub(crate) fn layer_norm<'m>(&'m self, tape: &mut Tape<'m, B>, id: NormId, x: &Var<B>) -> Var<B> {
        tape.layer_norm(x, &self.norms[id.0])
    }

    pub(crate) fn embedding<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        id: TableId,
        ids: &[u32],
        shape: (usize, usize),
    ) -> Var<B> {
        tape.embedding(ids, shape, self.plan.tables[id.0].rows, &self.tables[id.0])
    }
}
