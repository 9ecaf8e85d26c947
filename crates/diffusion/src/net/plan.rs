//! The layers of a network by name, shape and constants, before any weight is read.

use fairhuman_engine::ConvParams;

use crate::weights::WeightFiles;

/// Index of a linear layer (or 1x1 convolution) of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearId(pub(crate) usize);
/// Index of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvId(pub(crate) usize);
/// Index of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormId(pub(crate) usize);
/// Index of an embedding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableId(pub(crate) usize);

/// A linear layer; with `pointwise` stored as a 1x1 convolution, `[O, I, 1, 1]`.
#[derive(Debug, Clone)]
pub struct LinearSpec {
    /// Module path, as diffusers names it.
    pub name: String,
    /// Module path in older files.
    pub alias: Option<String>,
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// True if there is a bias.
    pub bias: bool,
    /// True if files store it as a 1x1 convolution.
    pub pointwise: bool,
    /// Initial values of weight and bias.
    pub init: LayerInit,
}

/// A convolution with bias.
#[derive(Debug, Clone)]
pub struct ConvSpec {
    /// Module path.
    pub name: String,
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// Kernel, stride and padding.
    pub geometry: ConvParams,
    /// Initial values of weight and bias.
    pub init: LayerInit,
}

/// Kinds of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Over positions and the channels of a group.
    Group {
        /// Number of groups.
        groups: usize,
    },
    /// Over the channels of a position.
    Layer,
}

/// A normalisation with scale and shift.
#[derive(Debug, Clone)]
pub struct NormSpec {
    /// Module path.
    pub name: String,
    /// C.
    pub channels: usize,
    /// Group or layer normalisation.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f32,
}

/// An embedding table, `[rows, width]`.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Module path.
    pub name: String,
    /// Entries.
    pub rows: usize,
    /// C.
    pub width: usize,
}

/// Initial values of a linear layer or convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerInit {
    /// PyTorch's default for both: uniform within 1/sqrt(fan-in), kaiming_uniform with a = sqrt(5).
    #[default]
    KaimingUniform,
    /// Zeros: the layer's output is nothing until it is trained.
    Zeros,
}

impl LayerInit {
    fn of_fan_in(self, fan_in: usize) -> Init {
        match self {
            Self::KaimingUniform => Init::Uniform(1.0 / (fan_in as f32).sqrt()),
            Self::Zeros => Init::Constant(0.0),
        }
    }
}

/// Distribution of a fresh tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f32),
    /// Uniform in `[-bound, bound]`.
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f32),
}

/// One tensor of a weight file.
#[derive(Debug, Clone)]
pub struct TensorSpec {
    /// Name in the file.
    pub name: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Initial values.
    pub init: Init,
}

/// All layers of a network.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Linear layers and 1x1 convolutions.
    pub linears: Vec<LinearSpec>,
    /// Other convolutions.
    pub convs: Vec<ConvSpec>,
    /// Normalisations.
    pub norms: Vec<NormSpec>,
    /// Embedding tables.
    pub tables: Vec<TableSpec>,
}

impl LinearSpec {
    /// Module path in `files`: the alias where they are old ones.
    pub fn stored_name(&self, files: &WeightFiles) -> &str {
        let older = self.alias.as_deref().filter(|alias| files.contains(&format!("{alias}.weight")));
        older.unwrap_or(&self.name)
    }

    /// Shape of its weight in files.
    pub fn shape(&self) -> Vec<usize> {
        if self.pointwise { vec![self.outputs, self.inputs, 1, 1] } else { vec![self.outputs, self.inputs] }
    }

    /// Initial values of its weight and bias.
    pub(super) fn init(&self) -> Init {
        self.init.of_fan_in(self.inputs)
    }
}

impl ConvSpec {
    /// Shape of its weight in files.
    pub fn shape(&self) -> Vec<usize> {
        vec![self.outputs, self.inputs, self.geometry.kernel.0, self.geometry.kernel.1]
    }

    /// Initial values of its weight and bias.
    pub(super) fn init(&self) -> Init {
        let (height, width) = self.geometry.kernel;
        self.init.of_fan_in(self.inputs * height * width)
    }
}

impl NormSpec {
    /// Initial values of its scale and shift, by their ends of name: 1 and 0.
    pub(super) const INIT: [(&'static str, Init); 2] =
        [("weight", Init::Constant(1.0)), ("bias", Init::Constant(0.0))];
}

impl TableSpec {
    /// Initial values, as transformers' CLIP has them.
    pub(super) const INIT: Init = Init::Normal(0.02);
}

impl Plan {
    /// Adds a linear layer.
    pub fn linear(&mut self, name: impl Into<String>, inputs: usize, outputs: usize, bias: bool) -> LinearId {
        let init = LayerInit::default();
        let name = name.into();
        self.push(LinearSpec { name, alias: None, inputs, outputs, bias, pointwise: false, init })
    }

    /// Adds a linear layer that older files know by another name.
    pub fn linear_with_alias(
        &mut self,
        name: String,
        alias: String,
        inputs: usize,
        outputs: usize,
    ) -> LinearId {
        let (alias, init) = (Some(alias), LayerInit::default());
        self.push(LinearSpec { name, alias, inputs, outputs, bias: true, pointwise: false, init })
    }

    /// Adds a 1x1 convolution.
    pub fn pointwise(&mut self, name: impl Into<String>, inputs: usize, outputs: usize) -> LinearId {
        self.pointwise_from(name.into(), inputs, outputs, LayerInit::default())
    }

    /// Adds a 1x1 convolution that starts at zero.
    pub fn zero_pointwise(&mut self, name: impl Into<String>, inputs: usize, outputs: usize) -> LinearId {
        self.pointwise_from(name.into(), inputs, outputs, LayerInit::Zeros)
    }

    fn pointwise_from(&mut self, name: String, inputs: usize, outputs: usize, init: LayerInit) -> LinearId {
        self.push(LinearSpec { name, alias: None, inputs, outputs, bias: true, pointwise: true, init })
    }

    fn push(&mut self, spec: LinearSpec) -> LinearId {
        self.linears.push(spec);
        LinearId(self.linears.len() - 1)
    }

    /// Adds a convolution.
    pub fn conv(
        &mut self,
        name: impl Into<String>,
        inputs: usize,
        outputs: usize,
        geometry: ConvParams,
    ) -> ConvId {
        self.conv_from(name.into(), inputs, outputs, geometry, LayerInit::default())
    }

    /// Adds a convolution that starts at zero.
    pub fn zero_conv(
        &mut self,
        name: impl Into<String>,
        inputs: usize,
        outputs: usize,
        geometry: ConvParams,
    ) -> ConvId {
        self.conv_from(name.into(), inputs, outputs, geometry, LayerInit::Zeros)
    }

    fn conv_from(
        &mut self,
        name: String,
        inputs: usize,
        outputs: usize,
        geometry: ConvParams,
        init: LayerInit,
    ) -> ConvId {
        self.convs.push(ConvSpec { name, inputs, outputs, geometry, init });
        ConvId(self.convs.len() - 1)
    }

    /// Adds a group normalisation.
    pub fn group_norm(
        &mut self,
        name: impl Into<String>,
        channels: usize,
        groups: usize,
        eps: f32,
    ) -> NormId {
        self.norm(NormSpec { name: name.into(), channels, kind: NormKind::Group { groups }, eps })
    }

    /// Adds a layer normalisation.
    pub fn layer_norm(&mut self, name: impl Into<String>, channels: usize, eps: f32) -> NormId {
        self.norm(NormSpec { name: name.into(), channels, kind: NormKind::Layer, eps })
    }

    fn norm(&mut self, spec: NormSpec) -> NormId {
        self.norms.push(spec);
        NormId(self.norms.len() - 1)
    }

    /// Adds an embedding table.
    pub fn table(&mut self, name: impl Into<String>, rows: usize, width: usize) -> TableId {
        self.tables.push(TableSpec { name: name.into(), rows, width });
        TableId(self.tables.len() - 1)
    }

    /// Paths of all modules that can carry a LoRA.
    pub fn lora_targets(&self) -> impl Iterator<Item = &str> {
        let linears = self.linears.iter().map(|l| l.name.as_str());
        linears.chain(self.convs.iter().map(|c| c.name.as_str()))
    }

    /// Paths of all modules that files may change: those of [`Plan::lora_targets`] and normalisations.
    pub fn adapted_modules(&self) -> impl Iterator<Item = &str> {
        self.lora_targets().chain(self.norms.iter().map(|norm| norm.name.as_str()))
    }

    /// Every tensor of the network's weight file, by kind of layer.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut list = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, init| list.push(TensorSpec { name, shape, init });
        for l in &self.linears {
            add(format!("{}.weight", l.name), l.shape(), l.init());
            if l.bias {
                add(format!("{}.bias", l.name), vec![l.outputs], l.init());
            }
        }
        for c in &self.convs {
            add(format!("{}.weight", c.name), c.shape(), c.init());
            add(format!("{}.bias", c.name), vec![c.outputs], c.init());
        }
        for n in &self.norms {
            for (end, init) in NormSpec::INIT {
                add(format!("{}.{end}", n.name), vec![n.channels], init);
            }
        }
        for t in &self.tables {
            add(format!("{}.weight", t.name), vec![t.rows, t.width], TableSpec::INIT);
        }
        list
    }
}
