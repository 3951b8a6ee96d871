//! What is behind the API: real machines, or nothing.

mod machines;
mod objects;

pub use machines::Machines;
pub use objects::ObjectsOnly;

pub(crate) use super::model::{Effect, Outcome, Project};
use super::wire::Seen;

/// What carries out effects and looks at the world.
///
/// Its methods block: they are called on threads of their own, several at once for different objects. An effect is
/// described by the project as it is when the effect begins; carrying it out again must lead to the same.
pub trait Backend: Send + Sync + 'static {
    /// What `hactl lab status` says it is.
    fn description(&self) -> &'static str;

    /// Carries out one piece of work.
    #[doc(hidden)]
    fn perform(&self, work: Work<'_>) -> Outcomes;

    /// What can be seen now.
    #[doc(hidden)]
    fn look(&self, world: World<'_>) -> Seen;
}

/// One piece of work: an effect, and the project that describes it.
pub struct Work<'a> {
    pub(crate) effect: &'a Effect,
    pub(crate) project: &'a Project,
}

/// The project that is to be looked at.
pub struct World<'a>(pub(crate) &'a Project);

/// How a piece of work ended.
pub struct Outcomes(pub(crate) Outcome);
