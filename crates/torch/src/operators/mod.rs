//! One function for each operator of libtorch that is used, by family. Each names its schema, and passes its
//! arguments in the schema's order. Results are new values, save for functions that say otherwise.

mod attention;
mod convolution;
mod data;
mod norm;
mod parameter;
mod pointwise;
mod product;
mod structure;

pub(crate) use crate::abi::{add, add_product, scale};
pub(crate) use attention::*;
pub(crate) use convolution::*;
pub(crate) use data::*;
pub(crate) use norm::*;
pub(crate) use parameter::*;
pub(crate) use pointwise::*;
pub(crate) use product::*;
pub(crate) use structure::*;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The golden file is made by reference/torch_schemas.py.
    #[test]
    fn schemas_are_libtorchs_own() {
        let golden: BTreeSet<_> = include_str!("../../tests/data/schemas.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let families = [
            super::attention::ALL,
            super::convolution::ALL,
            super::data::ALL,
            super::norm::ALL,
            super::parameter::ALL,
            super::pointwise::ALL,
            super::product::ALL,
            super::structure::ALL,
        ];
        let ours: BTreeSet<_> = families.concat().iter().map(|operator| operator.schema()).collect();
        assert_eq!(ours, golden);
    }
}
