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
        let ours: BTreeSet<_> = families().concat().iter().map(|operator| operator.schema()).collect();
        assert_eq!(ours, golden);
    }

    fn families() -> [&'static [&'static crate::abi::Operator]; 8] {
        [
            super::attention::ALL,
            super::convolution::ALL,
            super::data::ALL,
            super::norm::ALL,
            super::parameter::ALL,
            super::pointwise::ALL,
            super::product::ALL,
            super::structure::ALL,
        ]
    }

    #[test]
    fn every_operator_is_in_its_family_s_list() {
        let sources = [
            include_str!("attention.rs"),
            include_str!("convolution.rs"),
            include_str!("data.rs"),
            include_str!("norm.rs"),
            include_str!("parameter.rs"),
            include_str!("pointwise.rs"),
            include_str!("product.rs"),
            include_str!("structure.rs"),
        ];
        for (source, listed) in sources.iter().zip(families()) {
            assert_eq!(source.matches("Operator::new(").count(), listed.len(), "{source}");
        }
    }

    /// Those are called in child processes by the tests of traps; all others run in the conformance suite.
    #[test]
    fn operators_of_cuda_alone_are_those_that_are_tested_as_such() {
        let of_cuda = |schema: &&str| {
            let name = schema.split('(').next().unwrap_or(schema);
            let fused = name.contains("attention") && !name.contains("for_cpu");
            fused || name.ends_with(".dtype")
        };
        let all = families().concat();
        let ours: BTreeSet<_> = all.iter().map(|operator| operator.schema()).filter(of_cuda).collect();
        let tested = crate::testing::CUDA_ONLY.map(|name| format!("aten::{name}("));
        assert_eq!(ours.len(), tested.len());
        for name in &tested {
            assert!(ours.iter().any(|schema| schema.starts_with(name)), "{name}");
        }
    }
}
