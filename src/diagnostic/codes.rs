//! Every error code, what it means, and the exit status it ends in.
//!
//! One table: a code is stable once released, is documented by its line here, and is never reused. Each module
//! has its own section, so that the list reads like the code.

use std::fmt;

/// The exit status of hactl. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Everything that was asked is done.
    Done = 0,
    /// Something failed; the message says what.
    Failed = 1,
    /// The command line or a file is not valid.
    Usage = 2,
    /// A gate needs an approval that nobody here can give.
    ApprovalNeeded = 3,
    /// Another hactl holds this workspace.
    Locked = 4,
    /// The plan or an approval is out of date.
    OutOfDate = 5,
    /// A step is in doubt and needs a decision.
    InDoubt = 6,
    /// Interrupted by Ctrl-C or a signal.
    Interrupted = 130,
}

/// A stable error code, such as `ssh::unreachable`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    name: &'static str,
    exit: Exit,
    meaning: &'static str,
}

impl Code {
    /// The code as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The exit status that this code ends in.
    #[must_use]
    pub fn exit(self) -> Exit {
        self.exit
    }

    /// What the code means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.meaning
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! codes {
    ($($id:ident = $name:literal, $exit:ident, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $id: Code = Code { name: $name, exit: Exit::$exit, meaning: $meaning };)*
        /// Every code there is, in the order of the table.
        pub const ALL: &[Code] = &[$($id),*];
    };
}

codes! {
    // general
    INTERNAL = "internal", Failed, "hactl contradicts itself; this is a defect of hactl";
    IO = "io", Failed, "a file of this machine could not be read or written";
    USAGE = "usage", Usage, "the command line asks for something that does not exist";
    INTERRUPTED = "interrupted", Interrupted, "stopped on request";
    // workspace
    // runbook
    // journal
    // engine
    // ssh
    // attempt
    // postgres
    // s3
    // secret
    // step
    // lab
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_explained() {
        let mut names: Vec<_> = ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|c| c.meaning().len() > 10));
    }
}
