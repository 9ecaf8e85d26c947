//! `Reference`, the oracle that other backends are compared with, against central differences and the laws of
//! lanes.

use fairhuman_engine::Reference;
use fairhuman_engine_conformance::Subject;

fn subject() -> Subject<Reference> {
    Subject::reference()
}

fairhuman_engine_conformance::laws!(crate::reference::subject);
