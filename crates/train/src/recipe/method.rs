//! What a run trains: an adapter, a whole U-Net or an autoencoder, and the settings that only it has.

use serde::Serialize;

use super::raw::{RawFull, RawLora, RawVae};
use super::resolve::Problems;
use super::{Format, Init, MethodName, RawRecipe, StoredType, VaePart};

/// Far beyond any use, and small enough that a slip of the finger does not ask for more memory than there is.
const MAX_RANK: usize = 8192;

/// What a run trains.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Method {
    /// An adapter of the U-Net.
    Lora {
        /// The adapter.
        lora: Lora,
    },
    /// Every weight of the U-Net.
    Full {
        /// What is written.
        full: Full,
    },
    /// Every weight of the autoencoder.
    Vae {
        /// Its losses, and what is written.
        vae: Autoencoder,
    },
}

/// The adapter.
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
    /// Files.
    pub formats: Vec<Format>,
}

/// A whole network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Full {
    /// Whether the text encoders are trained, too.
    pub text_encoders: bool,
    /// Type of the written weights.
    pub dtype: StoredType,
}

/// An autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Autoencoder {
    /// What of it is trained.
    pub part: VaePart,
    /// Weight of the latents' divergence from N(0, 1).
    pub kl: f64,
    /// Weight of the differences between neighbouring pixels.
    pub edges: f64,
    /// Type of the written weights.
    pub dtype: StoredType,
}

/// The method of a recipe, with its defaults; tables of other methods are problems.
pub(super) fn method(raw: &mut RawRecipe, problems: &mut Problems) -> Method {
    let (lora, full, vae) = (raw.lora.take(), raw.full.take(), raw.vae.take());
    let tables = [
        (MethodName::Lora, "lora", lora.is_some()),
        (MethodName::Full, "full", full.is_some()),
        (MethodName::Vae, "vae", vae.is_some()),
    ];
    for (method, name, given) in tables {
        let key = format!("method = \"{name}\"");
        problems.check(!given || method == raw.method, &format!("[{name}]"), &key, "another method");
    }
    let method = match raw.method {
        MethodName::Lora => Method::Lora { lora: adapter(lora.unwrap_or_default()) },
        MethodName::Full => Method::Full { full: network(&full.unwrap_or_default()) },
        MethodName::Vae => Method::Vae { vae: autoencoder(&vae.unwrap_or_default()) },
    };
    check(&method, problems);
    method
}

fn adapter(raw: RawLora) -> Lora {
    let rank = raw.rank.unwrap_or(256);
    Lora {
        rank,
        alpha: raw.alpha.unwrap_or(rank as f64),
        targets: raw.targets.unwrap_or_else(|| vec!["attention".into()]),
        init: raw.init.unwrap_or_default(),
        formats: raw.formats.unwrap_or_else(|| vec![Format::Kohya]),
    }
}

fn network(raw: &RawFull) -> Full {
    Full { text_encoders: raw.text_encoders.unwrap_or(false), dtype: raw.dtype.unwrap_or_default() }
}

fn autoencoder(raw: &RawVae) -> Autoencoder {
    Autoencoder {
        part: raw.part.unwrap_or_default(),
        kl: raw.kl.unwrap_or(1e-4),
        edges: raw.edges.unwrap_or(1.0),
        dtype: raw.dtype.unwrap_or_default(),
    }
}

fn check(method: &Method, problems: &mut Problems) {
    match method {
        Method::Lora { lora } => {
            problems.check((1..=MAX_RANK).contains(&lora.rank), "lora.rank", "1 to 8192", lora.rank);
            let positive = lora.alpha > 0.0 && lora.alpha.is_finite();
            problems.check(positive, "lora.alpha", "more than 0", lora.alpha);
            problems.check(!lora.targets.is_empty(), "lora.targets", "at least one", "none");
            problems.check(!lora.formats.is_empty(), "lora.formats", "\"kohya\", \"peft\" or both", "none");
        }
        Method::Full { .. } => {}
        Method::Vae { vae } => {
            let fine = |v: f64| v >= 0.0 && v.is_finite();
            problems.check(fine(vae.kl), "vae.kl", "0 or more", vae.kl);
            problems.check(fine(vae.edges), "vae.edges", "0 or more", vae.edges);
        }
    }
}
