//! Carrying out a runbook: the pure transition table, and the loop that drives steps through it.

pub mod approver;
pub mod interrupt;
pub mod state;
