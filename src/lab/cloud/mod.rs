//! The lab's cloud: a server that speaks `/v1` of the Hetzner Cloud API, and makes what it is asked for.
//!
//! Invariant: what the API says is what is there. A request is answered by the [`model`], a pure function of the project
//! as it was; what has to be done for it in the world is done by the [`backend`] afterwards, and shown as an action until
//! it is done. The project is on the disk before a request is answered, so an end of this process loses nothing: what
//! was not done by then is done by the next one.
//!
//! It is a stand-in, and says so: the API, its limits and its errors are as documented, prices and stocks are the lab's
//! own. Not here: what hactl does with such an API (`transport`, `step`).

mod answer;
pub mod backend;
mod catalogue;
mod fault;
mod http;
mod keep;
mod list;
mod model;
mod request;
mod route;
mod run;
mod serve;
mod server_at;
mod whole;
mod wire;

pub use fault::{Fault, FaultKind};
pub use model::{Existing, Ground};
pub use run::{Access, serve};
pub(crate) use run::{NAME, ensure, look, prepare};
pub use serve::{Cloud, CloudSettings, Tls};
pub(crate) use server_at::ServerAt;
pub(crate) use whole::Whole;
pub use wire::{Health, Seen};
