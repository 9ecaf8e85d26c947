//! (crate front page)
