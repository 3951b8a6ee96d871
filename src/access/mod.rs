//! Who may change what, as types: [`View`] reads, [`Trial`] may also create and remove objects marked as ours,
//! [`Hands`] can change the world on the hosts of its intent.
//!
//! Invariant: a `Trial` needs a `TrialRecorded` and `Hands` an
//! `IntentRecorded`, which only the journal makes, after fsync. Nothing here
//! decides whether to act.

pub mod s3;

/// Typed reads, and no free command.
#[derive(Debug)]
pub struct View<'a>(std::marker::PhantomData<&'a ()>);
/// A view that may also create and remove objects marked as ours.
#[derive(Debug)]
pub struct Trial<'a>(std::marker::PhantomData<&'a ()>);
/// What changes the world.
#[derive(Debug)]
pub struct Hands<'a>(std::marker::PhantomData<&'a ()>);
