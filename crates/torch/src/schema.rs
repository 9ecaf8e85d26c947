//! Operators' schemas, as libtorch prints them: `aten::mm(Tensor self, Tensor mat2) -> Tensor`. Calls are
//! checked against them, because libtorch does not notice that arguments are missing.

/// A schema's name, and the kinds of its arguments and results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// `aten::mm`.
    pub name: String,
    /// Empty for most.
    pub overload: String,
    pub arguments: Vec<Kind>,
    pub results: Vec<Kind>,
}

/// Kind of an argument or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub base: Base,
    pub list: bool,
    pub optional: bool,
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Tensor,
    Int,
    Float,
    Bool,
    Type,
    Layout,
    Device,
    Format,
    Text,
}

impl Signature {
    /// # Errors
    /// The part that is not understood.
    pub(crate) fn parse(schema: &str) -> Result<Self, String> {
        let (name, rest) = schema.split_once('(').ok_or("no arguments")?;
        let (arguments, results) = rest.rsplit_once(" -> ").ok_or("no results")?;
        let arguments = arguments.strip_suffix(')').ok_or("arguments without an end")?;
        let (name, overload) = name.split_once('.').unwrap_or((name, ""));
        let results = results.strip_prefix('(').and_then(|list| list.strip_suffix(')')).unwrap_or(results);
        Ok(Self {
            name: name.to_owned(),
            overload: overload.to_owned(),
            arguments: kinds(arguments)?,
            results: kinds(results)?,
        })
    }
}

fn kinds(list: &str) -> Result<Vec<Kind>, String> {
    let parts = list.split(", ").filter(|part| !part.is_empty() && *part != "*");
    parts.map(|part| kind(part.split(' ').next().unwrap_or(part))).collect()
}

/// The kind of a type such as `Tensor(a!)[]`, `int[1]?` or `SymInt`.
fn kind(text: &str) -> Result<Kind, String> {
    let (text, optional) = text.strip_suffix('?').map_or((text, false), |text| (text, true));
    let (text, list) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((text, _)) => (text, true),
        None => (text, false),
    };
    // `(a!)` names what is written to or shared.
    let base = match text.split('(').next().unwrap_or(text) {
        "Tensor" => Base::Tensor,
        "int" | "SymInt" => Base::Int,
        "float" => Base::Float,
        "bool" => Base::Bool,
        "ScalarType" => Base::Type,
        "Layout" => Base::Layout,
        "Device" => Base::Device,
        "MemoryFormat" => Base::Format,
        "str" => Base::Text,
        other => return Err(format!("a type that this crate does not use, {other}")),
    };
    Ok(Kind { base, list, optional })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn plain(base: Base) -> Kind {
        Kind { base, list: false, optional: false }
    }

    #[test]
    fn names_overloads_and_kinds_are_read() {
        let schema = "aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) \
                      -> Tensor";
        let parsed = Signature::parse(schema).expect("a signature");
        assert_eq!((parsed.name.as_str(), parsed.overload.as_str()), ("aten::sum", "dim_IntList"));
        let optional = |base, list| Kind { base, list, optional: true };
        let expected =
            [plain(Base::Tensor), optional(Base::Int, true), plain(Base::Bool), optional(Base::Type, false)];
        assert_eq!(parsed.arguments, expected);
        assert_eq!(parsed.results, [plain(Base::Tensor)]);
    }

    #[test]
    fn lists_results_and_marks_of_writing_are_read() {
        let parsed =
            Signature::parse("aten::f_(Tensor(a!)[] self, str how=\"none\") -> (Tensor, SymInt max_q)");
        let parsed = parsed.expect("a signature");
        assert_eq!(parsed.arguments[0], Kind { list: true, ..plain(Base::Tensor) });
        assert_eq!(parsed.results, [plain(Base::Tensor), plain(Base::Int)]);
        assert_eq!(Signature::parse("aten::g(Tensor self) -> ()").expect("a signature").results, []);
    }

    #[test]
    fn other_types_are_refused() {
        assert!(Signature::parse("aten::add(Tensor self, Scalar other) -> Tensor").is_err());
        assert!(Signature::parse("aten::add").is_err());
    }
}
