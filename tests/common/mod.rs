//! What the tests share.

pub(crate) mod cli;
pub(crate) mod lab;
pub(crate) mod readme;
