//! The Hetzner Cloud API, as the operator's side speaks it: what each answer means, and what becomes of objects whatever
//! becomes of requests.

#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[cfg(all(feature = "lab", target_os = "linux"))]
mod balancing;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod bench;
mod client;
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod doctor;
mod files;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod floating;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod kinds;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod projects;
mod scripted;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod see_spread;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod servers;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod sweeps;
