//! Carrying out a runbook: the pure transition table, and the loop that drives steps through it.

pub mod approver;
mod ask;
pub mod doubt;
pub mod driver;
pub mod gate;
pub mod interrupt;
mod look;
pub mod request;
pub mod seam;
pub mod state;
pub mod unwind;
mod verify;
