//! Options that say where a command computes.

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use fairhuman_train::recipe::{Device, Precision};

/// Where a command computes, unless a recipe says so.
#[derive(Debug, Clone, Copy, Args)]
pub struct Compute {
    /// Where to compute: cpu, or by libtorch cuda, cuda:N, torch-cpu
    #[arg(long, value_name = "DEVICE", default_value_t, value_parser = device())]
    pub device: Device,
    /// Type of activations and frozen weights [default: bf16 on cuda, else f32]
    #[arg(long, value_name = "TYPE", value_parser = precision())]
    pub precision: Option<Precision>,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub threads: usize,
}

pub(super) fn device() -> impl TypedValueParser<Value = Device> {
    NonEmptyStringValueParser::new().try_map(|name| name.parse::<Device>())
}

pub(super) fn precision() -> impl TypedValueParser<Value = Precision> {
    let named = |name: String| Precision::ALL.into_iter().find(|precision| precision.name() == name);
    let names = PossibleValuesParser::new(Precision::ALL.map(Precision::name));
    names.try_map(move |name| named(name).ok_or("expected a type"))
}
