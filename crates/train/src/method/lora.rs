//! `method = "lora"`: an adapter of a frozen U-Net (Hu et al. 2021).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::lora::{AdaptedModule, LoraInit, LoraSpec, check_start, check_targets};
use fairhuman_diffusion::lora_file::{
    BaseModel, Convention, LoraAbout, LoraFile, LoraModule, LoraTensor, UnetLayout, kohya_metadata,
    read_lora, write_lora,
};
use fairhuman_diffusion::net::{ModelError, Plan, Trainable};
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::unet::{UNet, UNetConfig};
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::{Backend, DType, Params, Tape, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Method, Painter, Settings, Setup};
use crate::batch::Batch;
use crate::data::{CaptionUse, Data, DataError, DenoisingSource, Preparing, Sampling};
use crate::denoising::{Denoiser, DenoisingInputs};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::problems::Problems;
use crate::random::{Purpose, seed_of};
use crate::recipe::bounds;
use crate::recorded::{Tensor, TensorFile};

/// Far beyond any use, and small enough that a slip of the finger does not ask for more memory than there is.
const MAX_RANK: usize = 8192;

/// `[lora]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Rank. Default 32 (the paper's: 256).
    pub rank: Option<usize>,
    /// The adapter is multiplied by `alpha / rank`. Default: the rank.
    pub alpha: Option<f64>,
    /// Adapted modules: groups (`"attention"`, `"feed_forward"`, `"conv"`) or ends of module names
    /// (`"attn2.to_k"`). Default `["attention"]`: q, k, v and out of every attention.
    pub targets: Option<Vec<String>>,
    /// First values of A: `"gaussian"` (default, standard deviation 1 / rank) or `"kaiming"` (uniform). B
    /// starts at zero.
    pub init: Option<Init>,
    /// A LoRA file of the same model, by any program, that training begins with in place of fresh values; its
    /// rank must be the recipe's. Default: none. A run that goes on has its values in its checkpoints: the
    /// key may then name the file's new place, or be left out.
    pub from: Option<PathBuf>,
    /// Files written at the end: `"kohya"` (ComfyUI, A1111, diffusers), `"peft"` (diffusers, PEFT). Default
    /// `["kohya"]`.
    pub formats: Option<Vec<Format>>,
}

/// First values of a LoRA's A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// N(0, 1 / rank^2).
    #[default]
    Gaussian,
    /// Uniform with the variance 1 / (3 fan-in) (He et al. 2015 with a = sqrt 5).
    Kaiming,
}

/// The names that a LoRA file gives its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `lora_unet_....lora_down.weight`, with `.alpha`.
    Kohya,
    /// `unet....lora_A.weight`.
    Peft,
}

/// An adapter's settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lora {
    /// Rank.
    pub rank: usize,
    /// Multiplier times the rank.
    pub alpha: f64,
    /// Modules.
    pub targets: Vec<String>,
    /// First values of A.
    pub init: Init,
    /// The file to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Files.
    pub formats: Vec<Format>,
}

impl Settings for Lora {
    const NAME: &'static str = "lora";
    const WRITES: &'static [&'static str] = &["lora.safetensors", "lora_peft.safetensors"];
    const RECORDS: bool = true;
    const LEARNING_RATE: f64 = 1e-4;
    const FREE_KEYS: &'static [&'static str] = &["formats", "from"];
    type Table = Table;
    type Network<B: Backend> = Adapted<B>;

    fn resolve(table: Table, base: &Path, problems: &mut Problems) -> Self {
        let rank = table.rank.unwrap_or(32);
        let lora = Self {
            rank,
            alpha: table.alpha.unwrap_or(rank as f64),
            targets: table.targets.unwrap_or_else(|| vec!["attention".into()]),
            init: table.init.unwrap_or_default(),
            from: table.from.map(|path| base.join(path)),
            formats: table.formats.unwrap_or_else(|| vec![Format::Kohya]),
        };
        problems.check((1..=MAX_RANK).contains(&rank), "lora.rank", "1 to 8192", rank);
        problems.within(bounds::LEAST..=bounds::FACTOR, "lora.alpha", lora.alpha);
        problems.check(!lora.targets.is_empty(), "lora.targets", "at least one", "none");
        problems.check(!lora.formats.is_empty(), "lora.formats", "\"kohya\", \"peft\" or both", "none");
        lora
    }

    fn check_model(&self, _: &ModelFolder, (unet, _): (&UNetConfig, &VaeConfig)) -> Result<(), TrainError> {
        let (plan, spec) = (fairhuman_diffusion::unet::plan(unet), self.spec(0));
        check_targets(&plan, &spec.targets)?;
        self.beginning(&plan, unet)?;
        Ok(())
    }

    fn reads(&self) -> Vec<(&'static str, &Path)> {
        self.from.iter().map(|path| ("lora.from", path.as_path())).collect()
    }

    fn trained(&self) -> Trained {
        let targets = self.targets.iter().flat_map(|target| open_group(target)).collect();
        Trained::Adapter(self.rank, targets)
    }
}

impl Lora {
    /// The file that training begins with, if there is one, checked against the network.
    fn beginning(&self, plan: &Plan, unet: &UNetConfig) -> Result<Option<LoraFile>, ModelError> {
        let Some(path) = &self.from else { return Ok(None) };
        let modules: Vec<String> = plan.adapted_modules().map(|module| format!("unet.{module}")).collect();
        let file = read_lora(path, &modules, &unet.lora_layout())?;
        check_start(plan, &self.spec(0), "unet", &file).map_err(|error| match error {
            ModelError::Lora { problem } => {
                ModelError::Lora { problem: format!("{}: {problem}", path.display()) }
            }
            error => error,
        })?;
        Ok(Some(file))
    }

    fn spec(&self, seed: u64) -> LoraSpec {
        LoraSpec {
            rank: self.rank,
            alpha: self.alpha as f32,
            targets: self.targets.iter().flat_map(|target| open_group(target)).collect(),
            init: match self.init {
                Init::Gaussian => LoraInit::Gaussian,
                Init::Kaiming => LoraInit::Kaiming,
            },
            seed,
        }
    }
}

/// Ends of module names: groups opened up, everything else as it is.
fn open_group(target: &str) -> Vec<String> {
    let group: &[&str] = match target {
        "attention" => &["to_q", "to_k", "to_v", "to_out.0"],
        "feed_forward" => &["ff.net.0.proj", "ff.net.2"],
        "conv" => &["conv1", "conv2"],
        other => &[other],
    };
    group.iter().map(|&end| end.to_owned()).collect()
}

/// A frozen U-Net with an adapter.
pub struct Adapted<B: Backend> {
    /// The U-Net.
    pub unet: UNet<B>,
    /// The modules that carry an adapter.
    pub modules: Vec<AdaptedModule>,
}

impl<B: Backend> Denoiser<B> for Adapted<B> {
    type Inputs = DenoisingInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<DenoisingInputs>,
    ) -> Result<Var<B>, String> {
        self.unet.predict(tape, batch)
    }
}

impl<B: Backend> Method<B> for Adapted<B> {
    type Settings = Lora;
    type Source = DenoisingSource<B>;

    fn source(
        setup: &Setup<'_, B>,
        _: &Lora,
        dataset: &Dataset,
        preparing: Preparing<'_>,
    ) -> Result<Self::Source, DataError> {
        DenoisingSource::open(setup, dataset, (CaptionUse::Embedded, Sampling::default()), preparing)
    }

    fn open(setup: &Setup<'_, B>, lora: &Lora, params: &mut Params<B>) -> Result<Self, ModelError> {
        let mut unet = UNet::load(setup.backend, &setup.model.unet(), Trainable::None)?;
        let seed = seed_of(setup.seed, Purpose::Adapter);
        let modules = unet.add_lora(setup.backend, params, &lora.spec(seed))?;
        if let Some(file) = lora.beginning(unet.layers().plan(), unet.config())? {
            unet.layers().start_lora(setup.backend, params, "unet", &file, &modules);
        }
        Ok(Self { unet, modules })
    }

    fn painter(&self) -> Option<Painter<'_, B>> {
        Some(Painter { unet: &self.unet, text: None, control: None })
    }

    fn export(
        &self,
        setup: &Setup<'_, B>,
        settings: &Lora,
        params: &Params<B>,
        data: &Data<'_, B, Self::Source>,
    ) -> Result<Vec<PathBuf>, TrainError> {
        let Self { unet, modules } = self;
        let mut lora = unet.export_lora(setup.backend, params, modules, DType::F32)?;
        let layout: UnetLayout = unet.config().lora_layout();
        let about = LoraAbout {
            title: setup.out.file_name().map_or("lora".into(), |n| n.to_string_lossy().into_owned()),
            base: match (layout.sdxl, unet.config().text_width) {
                (true, _) => BaseModel::Sdxl,
                (false, 1024) => BaseModel::Sd2,
                (false, _) => BaseModel::Sd1,
            },
            prediction: data.source().prediction(),
            resolution: (setup.geometry.width as usize, setup.geometry.height as usize),
        };
        lora.metadata = kohya_metadata(&lora, &about);
        let mut files = Vec::new();
        for &format in &settings.formats {
            let (name, convention) = match format {
                Format::Kohya => ("lora.safetensors", Convention::Kohya),
                Format::Peft => ("lora_peft.safetensors", Convention::Peft),
            };
            let path = setup.out.join(name);
            write_lora(&path, &lora, convention, &layout)?;
            files.push(path);
        }
        Ok(files)
    }

    fn record_inputs(&self, settings: &Lora, batch: &Batch<DenoisingInputs>) -> TensorFile {
        let mut file = crate::record::denoising_inputs(batch);
        file.metadata.insert("rank".into(), settings.rank.to_string());
        file.metadata.insert("lora_alpha".into(), format!("{:?}", settings.alpha));
        file
    }

    /// `lora.<module>.lora_{A,B}.weight`, in the shapes of LoRA files.
    fn record_values(&self, backend: &B, params: &Params<B>) -> Result<BTreeMap<String, Tensor>, String> {
        let file = self.unet.export_lora(backend, params, &self.modules, DType::F32);
        let pairs = file.map_err(|e| e.to_string())?.modules.into_iter().flat_map(|(path, module)| {
            let path = path.strip_prefix("unet.").unwrap_or(&path).to_owned();
            let key = |side: char| format!("lora.{path}.lora_{side}.weight");
            let tensor = |t: LoraTensor| Tensor::f32(&t.shape, t.data);
            [(key('A'), tensor(module.down)), (key('B'), tensor(module.up))]
        });
        Ok(pairs.collect())
    }
}

/// Reads `unet/` of a model folder and adds the adapter of a recorded step, whose values go into `params`.
///
/// # Errors
/// Damaged or missing files, an adapter that does not fit the network.
pub fn open_recorded<B: Backend>(
    backend: &B,
    model: &Path,
    tensors: &BTreeMap<String, Tensor>,
    alpha: f64,
    params: &mut Params<B>,
) -> Result<Adapted<B>, ModelError> {
    let mut unet = UNet::load(backend, &model.join("unet"), Trainable::None)?;
    let mut file = LoraFile::default();
    for (name, down) in tensors {
        let refuse =
            |problem| Err(ModelError::Lora { problem: format!("the recorded step has {name}, {problem}") });
        let half = |end: &str| name.strip_prefix("lora.")?.strip_suffix(end);
        let Some(module) = half(".lora_A.weight").or_else(|| half(".lora_B.weight")) else {
            return refuse("expected lora.<module>.lora_A.weight or lora_B.weight".to_owned());
        };
        let [a, b] = ["A", "B"].map(|factor| format!("lora.{module}.lora_{factor}.weight"));
        let Some(up) = tensors.get(&b) else { return refuse(format!("but not {b}")) };
        if !tensors.contains_key(&a) {
            return refuse(format!("but not {a}"));
        }
        if *name == b {
            continue;
        }
        let tensor = |t: &Tensor| LoraTensor { dtype: DType::F32, shape: t.shape.clone(), data: t.to_f32() };
        let pair = LoraModule { down: tensor(down), up: tensor(up), alpha: alpha as f32 };
        file.modules.insert(format!("unet.{module}"), pair);
    }
    let modules = unet.attach_lora(backend, params, &[(&file, 1.0)])?;
    Ok(Adapted { unet, modules })
}
