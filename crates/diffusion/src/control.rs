//! Kinds of control networks in files and folders, told by the rules of ComfyUI, A1111 and diffusers, and the
//! check that one is for a model.

use std::path::Path;

use fairhuman_engine::Backend;

use crate::adapter::{Adapter, AdapterConfig};
use crate::config_check::Config;
pub use crate::control_network::ControlNetwork;
use crate::controlnet::{ControlNet, ControlNetConfig, UNIONS};
use crate::net::{ModelError, Trainable};
use crate::unet::{UNetConfig, residual_shapes};
use crate::weights::{WeightError, WeightFiles};

/// A loaded control network.
pub enum Control<B: Backend> {
    /// A ControlNet.
    ControlNet(Box<ControlNet<B>>),
    /// A T2I-Adapter.
    Adapter(Box<Adapter<B>>),
}

/// A borrowed control network, frozen or in training.
pub enum ControlRef<'a, B: Backend> {
    /// A ControlNet.
    ControlNet(&'a ControlNet<B>),
    /// A T2I-Adapter.
    Adapter(&'a Adapter<B>),
}

// Derived, they would ask the same of the backend.
impl<B: Backend> Clone for ControlRef<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for ControlRef<'_, B> {}

/// The settings of a control network, without its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlConfig {
    /// A ControlNet's.
    ControlNet(Box<ControlNetConfig>),
    /// A T2I-Adapter's.
    Adapter(AdapterConfig),
}

/// Kinds of control networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// [`crate::controlnet::ControlNet`].
    ControlNet,
    /// [`crate::adapter::Adapter`].
    Adapter,
}

/// Names in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A ControlNet under diffusers' names.
    ControlNet,
    /// A ControlNet under those of the original code.
    Cldm,
    /// A T2I-Adapter.
    Adapter(AdapterNames),
}

/// Names of a T2I-Adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdapterNames {
    /// diffusers': `adapter.body.0.resnets.0.block1`.
    Diffusers,
    /// TencentARC's: `body.0.block1`, of light ones `body.0.body.0.block1`.
    Tencent,
}

/// Kind of the control network at `path`, a folder or a file, by its `config.json` or the names of its
/// tensors.
///
/// # Errors
/// Nothing there, and other networks, by name.
pub fn kind(path: &Path) -> Result<ControlKind, ModelError> {
    if !path.exists() {
        return Err(folder(path, "there is no such file or folder"));
    }
    if path.join("model_index.json").exists() {
        let what = "this is the folder of a whole model, and no control network: name the folder that holds a ControlNet's or \
                    T2I-Adapter's config.json";
        return Err(folder(path, what));
    }
    if path.is_dir() {
        let mut config = Config::read(&path.join("config.json"))?;
        return match config.string("_class_name")?.as_deref() {
            Some(class) if class == "ControlNetModel" || UNIONS.contains(&class) => {
                Ok(ControlKind::ControlNet)
            }
            Some("T2IAdapter") => Ok(ControlKind::Adapter),
            found => {
                let found = found.unwrap_or("nothing").to_owned();
                Err(config
                    .unsupported(
                        "_class_name",
                        found,
                        "\"ControlNetModel\", \"ControlNetUnionModel\", \"T2IAdapter\"",
                    )
                    .into())
            }
        };
    }
    Ok(match layout(&WeightFiles::open_file(path)?)? {
        Layout::ControlNet | Layout::Cldm => ControlKind::ControlNet,
        Layout::Adapter(_) => ControlKind::Adapter,
    })
}

/// Names of the tensors of a file.
pub(crate) fn layout(files: &WeightFiles) -> Result<Layout, ModelError> {
    let path = files.path();
    let any = |part: &str| files.names().any(|name| name.contains(part));
    let unsupported = [
        (any("lora_controlnet"), "a Control-LoRA"),
        (any("lllite"), "a ControlNet-LLLite"),
        (files.contains("difference"), "the difference of a ControlNet from a model's weights"),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(found, _)| *found) {
        return Err(folder(path, &format!("is {what}, which is not supported")));
    }
    if files.contains("controlnet_cond_embedding.conv_in.weight") {
        Ok(Layout::ControlNet)
    } else if any("zero_convs.0.0.weight") {
        Ok(Layout::Cldm)
    } else if files.contains("adapter.body.0.resnets.0.block1.weight") {
        Ok(Layout::Adapter(AdapterNames::Diffusers))
    } else if any("body.0.block1.weight") || any("body.0.body.0.block1.weight") {
        Ok(Layout::Adapter(AdapterNames::Tencent))
    } else {
        Err(folder(path, "holds neither a ControlNet nor a T2I-Adapter, by the names of its tensors"))
    }
}

impl<B: Backend> Control<B> {
    /// The network, for a guide.
    pub fn by_ref(&self) -> ControlRef<'_, B> {
        match self {
            Self::ControlNet(net) => ControlRef::ControlNet(net),
            Self::Adapter(adapter) => ControlRef::Adapter(adapter),
        }
    }

    /// Reads a network of either kind for the U-Net in the folder `unet` and an autoencoder with `reduction`
    /// pixels for each cell of the latents.
    ///
    /// # Errors
    /// As [`ControlNet::load`] and [`Adapter::load`].
    pub fn load(backend: &B, path: &Path, unet: &Path, reduction: usize) -> Result<Self, ModelError> {
        Ok(match kind(path)? {
            ControlKind::ControlNet => {
                let net = ControlNet::load(backend, path, unet, Trainable::None)?;
                Self::ControlNet(Box::new(net))
            }
            ControlKind::Adapter => {
                let adapter = Adapter::load(backend, path, reduction, Trainable::None)?;
                Self::Adapter(Box::new(adapter))
            }
        })
    }
}

impl ControlConfig {
    /// Reads the settings only; see [`Control::load`].
    ///
    /// # Errors
    /// Files that cannot be read, other networks.
    pub fn read(path: &Path, unet: &Path, reduction: usize) -> Result<Self, ModelError> {
        Ok(match kind(path)? {
            ControlKind::ControlNet => Self::ControlNet(Box::new(ControlNetConfig::read(path, unet)?)),
            ControlKind::Adapter => Self::Adapter(AdapterConfig::read(path, reduction)?),
        })
    }

    /// Checks that a union is given types that it has, and other networks none.
    ///
    /// # Errors
    /// As [`ControlNetConfig::check_types`].
    pub fn check_types(&self, types: &[usize]) -> Result<(), ModelError> {
        match self {
            Self::ControlNet(c) => c.check_types(types),
            Self::Adapter(_) if types.is_empty() => Ok(()),
            Self::Adapter(_) => {
                let problem = "are given, but the network is a T2I-Adapter: it has one type".into();
                Err(ModelError::Input { model: "T2I-Adapter", input: "types of the control images", problem })
            }
        }
    }

    /// Checks that the network at `path` is for a U-Net, an autoencoder with `reduction` pixels for each cell
    /// of the latents, and pictures of a size.
    ///
    /// # Errors
    /// Another model's network; sizes that it does not take, with the nearest ones that it does.
    pub fn check(
        &self,
        path: &Path,
        unet: &UNetConfig,
        reduction: usize,
        (width, height): (usize, usize),
    ) -> Result<(), ModelError> {
        match self {
            Self::ControlNet(config) => check_controlnet(config, path, unet, reduction, (width, height)),
            Self::Adapter(config) => check_adapter(config, path, unet, reduction, (width, height)),
        }
    }
}

fn check_controlnet(
    config: &ControlNetConfig,
    path: &Path,
    unet: &UNetConfig,
    reduction: usize,
    (width, height): (usize, usize),
) -> Result<(), ModelError> {
    let encoder = &config.encoder;
    let added = [&encoder.added, &unet.added].map(|added| usize::from(added.is_some()));
    for (what, found, expected) in [
        ("pixels for each cell", config.reduction(), reduction),
        ("control images of channels", config.hint_inputs, 3),
        ("latents of channels", encoder.in_channels, unet.out_channels),
        ("text of width", encoder.text_width, unet.text_width),
        ("added conditions", added[0], added[1]),
    ] {
        if found != expected {
            return Err(for_another_model(path, what, &found.to_string(), &expected.to_string()));
        }
    }
    let size = (height / reduction, width / reduction);
    let [found, expected] = [encoder, unet].map(|unet| residual_shapes(unet, size).0);
    if found != expected {
        let channels =
            |shapes: &[[usize; 3]]| shapes.iter().map(|s| s[2].to_string()).collect::<Vec<_>>().join(" ");
        let (found, expected) = (channels(&found), channels(&expected));
        return Err(for_another_model(path, "residuals of channels", &found, &expected));
    }
    Ok(())
}

fn check_adapter(
    config: &AdapterConfig,
    path: &Path,
    unet: &UNetConfig,
    reduction: usize,
    (width, height): (usize, usize),
) -> Result<(), ModelError> {
    let multiple = config.downscale;
    if width % multiple != 0 || height % multiple != 0 {
        let near = |side: usize| match side / multiple * multiple {
            0 => multiple.to_string(),
            below if below == side => side.to_string(),
            below => format!("{below} or {}", below + multiple),
        };
        let problem = format!(
            "{width}x{height} pixels: this T2I-Adapter needs sides that are multiples of {multiple}; \
             the nearest are {} wide and {} high",
            near(width),
            near(height)
        );
        return Err(folder(path, &problem));
    }
    let found = config.feature_shapes((height, width));
    let (_, expected) = residual_shapes(unet, (height / reduction, width / reduction));
    let fits = (unet.channels.len()..=expected.len()).contains(&found.len())
        && found.iter().zip(&expected).all(|(a, b)| a == b);
    if !fits {
        let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
        return Err(for_another_model(path, "features of height, width and channels", &found, &expected));
    }
    Ok(())
}

fn for_another_model(path: &Path, what: &str, found: &str, expected: &str) -> ModelError {
    folder(path, &format!("is for another model: {what} {found}, the model needs {expected}"))
}

/// Refuses names of files by which A1111 and ComfyUI would take a network for another kind.
///
/// # Errors
/// Such a name.
pub fn check_name(file: &Path) -> Result<(), ModelError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match ["shuffle", "instant_id"].iter().find(|word| name.contains(**word)) {
        None => Ok(()),
        Some(word) => {
            let problem =
                format!("has \"{word}\" in its name, by which A1111 and ComfyUI take it for another network");
            Err(folder(file, &problem))
        }
    }
}

/// The error of a file whose tensors are not those that were expected of it, with what that means.
pub(crate) fn unfit(path: &Path, problem: &str, error: ModelError) -> ModelError {
    match error {
        ModelError::Weights(
            WeightError::Missing { .. } | WeightError::Shape { .. } | WeightError::Unused { .. },
        ) if path.is_file() => folder(path, &format!("{problem}: {error}")),
        error => error,
    }
}

fn folder(path: &Path, problem: &str) -> ModelError {
    ModelError::Folder { path: path.into(), problem: problem.into() }
}
