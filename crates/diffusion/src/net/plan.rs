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
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether files store it as a 1x1 convolution.
    pub pointwise: bool,
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
}

/// A group normalisation, or with `groups = 0` a layer normalisation.
#[derive(Debug, Clone)]
pub struct NormSpec {
    /// Module path.
    pub name: String,
    /// C.
    pub channels: usize,
    /// Groups; 0 for layer normalisation.
    pub groups: usize,
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

/// How a tensor of a fresh model is drawn.
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
    /// PyTorch's default for its layer.
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
}

impl ConvSpec {
    /// Shape of its weight in files.
    pub fn shape(&self) -> Vec<usize> {
        vec![self.outputs, self.inputs, self.geometry.kernel.0, self.geometry.kernel.1]
    }
}

impl Plan {
    /// Adds a linear layer.
    pub fn linear(&mut self, name: impl Into<String>, inputs: usize, outputs: usize, bias: bool) -> LinearId {
        self.push(LinearSpec { name: name.into(), alias: None, inputs, outputs, bias, pointwise: false })
    }

    /// Adds a linear layer that older files know by another name.
    pub fn renamed(&mut self, name: String, alias: String, inputs: usize, outputs: usize) -> LinearId {
        self.push(LinearSpec { name, alias: Some(alias), inputs, outputs, bias: true, pointwise: false })
    }

    /// Adds a 1x1 convolution.
    pub fn pointwise(&mut self, name: impl Into<String>, inputs: usize, outputs: usize) -> LinearId {
        self.push(LinearSpec { name: name.into(), alias: None, inputs, outputs, bias: true, pointwise: true })
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
        self.convs.push(ConvSpec { name: name.into(), inputs, outputs, geometry });
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
        self.norms.push(NormSpec { name: name.into(), channels, groups, eps });
        NormId(self.norms.len() - 1)
    }

    /// Adds a layer normalisation.
    pub fn layer_norm(&mut self, name: impl Into<String>, channels: usize, eps: f32) -> NormId {
        self.group_norm(name, channels, 0, eps)
    }

    /// Adds an embedding table.
    pub fn table(&mut self, name: impl Into<String>, rows: usize, width: usize) -> TableId {
        self.tables.push(TableSpec { name: name.into(), rows, width });
        TableId(self.tables.len() - 1)
    }

    /// Paths of all modules that can carry a LoRA.
    pub fn adaptable(&self) -> impl Iterator<Item = &str> {
        let linears = self.linears.iter().map(|l| l.name.as_str());
        linears.chain(self.convs.iter().map(|c| c.name.as_str()))
    }

    /// Every tensor of the network's weight file, by kind of layer.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut list = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, init| list.push(TensorSpec { name, shape, init });
        for l in &self.linears {
            // kaiming_uniform with a = sqrt(5), as torch.nn.Linear and Conv2d start.
            let init = Init::Uniform(1.0 / (l.inputs as f32).sqrt());
            add(format!("{}.weight", l.name), l.shape(), init);
            if l.bias {
                add(format!("{}.bias", l.name), vec![l.outputs], init);
            }
        }
        for c in &self.convs {
            let fan_in = c.inputs * c.geometry.kernel.0 * c.geometry.kernel.1;
            let init = Init::Uniform(1.0 / (fan_in as f32).sqrt());
            add(format!("{}.weight", c.name), c.shape(), init);
            add(format!("{}.bias", c.name), vec![c.outputs], init);
        }
        for n in &self.norms {
            add(format!("{}.weight", n.name), vec![n.channels], Init::Constant(1.0));
            add(format!("{}.bias", n.name), vec![n.channels], Init::Constant(0.0));
        }
        for t in &self.tables {
            add(format!("{}.weight", t.name), vec![t.rows, t.width], Init::Normal(0.02));
        }
        list
    }
}
