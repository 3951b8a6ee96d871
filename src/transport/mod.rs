//! How effects and reads reach the world: one module a protocol, no decisions.

pub mod s3;
