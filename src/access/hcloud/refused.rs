//! Why an object is not used or not deleted: whose it is, and who uses it.

use super::Owner;
use crate::diagnostic::{Error, codes};
use crate::transport::hcloud::{Head, Resource};

/// An object is to be deleted, and others would lose it.
pub(super) fn in_use<R: Resource>(head: &Head, users: &[String]) -> Error {
    let (id, name, words, users) = (head.id, &head.name, R::WORDS, users.join(", "));
    Error::new(codes::HCLOUD_IN_USE, format!("the {words} {name} (number {id}) is still used by {users}"))
        .state("it was left as it is: deleting it would take it away from them without asking")
        .next("take them out of it, then: hactl phase rollback N    (N is the phase's id)")
}

/// What a step wanted with an object that is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To use it.
    Used,
    /// To delete it, in a rollback.
    Deleted,
}

/// An object has the name that is wanted, and is not ours.
#[must_use]
pub fn not_ours<R: Resource>(head: &Head, owner: &Owner, wanted: Wanted) -> Error {
    let (id, name, words) = (head.id, &head.name, R::WORDS);
    let whose = match owner {
        Owner::Fleet(run) => format!("was made by the run {run} of this fleet, not by this one"),
        Owner::OtherFleet(fleet) => format!("belongs to the fleet {fleet}"),
        Owner::Nobody => "was not made by hactl".to_owned(),
    };
    let error = Error::new(codes::HCLOUD_NOT_OURS, format!("the {words} {name} (number {id}) {whose}"))
        .state("it was left as it is");
    match (wanted, owner) {
        (Wanted::Deleted, _) => error.next(format!(
            "delete or rename the {words} {name} yourself if nobody wants it, then the same rollback again"
        )),
        (Wanted::Used, Owner::Nobody) => error.next(format!(
            "to use it as it is: adopt = true in the step; else rename one of the two ({words} {name})"
        )),
        // What a fleet made, it also deletes: two fleets never share one.
        (Wanted::Used, Owner::OtherFleet(_) | Owner::Fleet(_)) => error.next(format!(
            "another name in the step: what a fleet made is never used by another one ({words} {name})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Wanted, not_ours};
    use crate::diagnostic::codes;
    use crate::transport::hcloud::{Head, SshKey};

    #[test]
    fn whose_an_object_is_is_said_with_its_number() {
        let head = Head { id: 7, name: "ops".into(), labels: Default::default() };
        let said = |owner| {
            let error = not_ours::<SshKey>(&head, &owner, Wanted::Used);
            assert_eq!(error.code(), codes::HCLOUD_NOT_OURS);
            // What another fleet made cannot be adopted, and a rollback adopts nothing.
            let can = error.next_moves().iter().any(|next| next.contains("adopt = true"));
            assert_eq!(can, owner == Owner::Nobody);
            let error = not_ours::<SshKey>(&head, &owner, Wanted::Deleted);
            assert!(error.next_moves().iter().all(|next| !next.contains("adopt")), "{error:?}");
            error.message().to_owned()
        };
        assert_eq!(said(Owner::Nobody), "the SSH key ops (number 7) was not made by hactl");
        assert_eq!(said(Owner::OtherFleet("b".into())), "the SSH key ops (number 7) belongs to the fleet b");
        assert_eq!(
            said(Owner::Fleet("run1".into())),
            "the SSH key ops (number 7) was made by the run run1 of this fleet, not by this one"
        );
    }
}
