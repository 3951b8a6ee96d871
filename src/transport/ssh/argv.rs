//! The words of a remote command.
//!
//! Invariant: a remote command is built from arguments, never from a string. Quoting happens in one place, when the
//! words are handed to ssh, which joins them with spaces for the login shell.

use crate::diagnostic::{Error, Result, codes};

/// Linux takes no argument longer than 128 KiB, its NUL included.
pub const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// The longest list of arguments that leaves room for the environment within the usual 2 MiB.
pub const MAX_ARGUMENTS: usize = 1024 * 1024;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Argv(Vec<String>);

impl Argv {
    /// A program without arguments yet.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self(vec![program.into()])
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, arguments: I) -> Self {
        self.0.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The program's name.
    #[must_use]
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// Refuses what no program can be given: a NUL, an empty program name, or more than Linux takes.
    ///
    /// # Errors
    /// `ssh::argument`, naming the word by its position and never by its content.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::new(codes::SSH_ARGUMENT, format!("the command {:?} {what}", self.program()))
                .state("nothing was sent"))
        };
        if self.program().is_empty() {
            return refuse("has no program".into());
        }
        if self.program().contains('=') {
            return refuse("would be taken for a variable of the environment".into());
        }
        let mut total = 0;
        for (index, word) in self.0.iter().enumerate() {
            total += word.len() + 1;
            if word.contains('\0') {
                return refuse(format!("has a NUL in argument {index}"));
            }
            if word.len() > MAX_ARGUMENT {
                return refuse(format!(
                    "has {} bytes in argument {index}, more than Linux takes",
                    word.len()
                ));
            }
        }
        if total > MAX_ARGUMENTS {
            return refuse(format!("has {total} bytes of arguments, more than Linux takes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Argv, MAX_ARGUMENT};
    use crate::diagnostic::codes;

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let code = |argv: &Argv| argv.check().map_err(|e| e.code());
        assert_eq!(code(&Argv::new("echo").arg("$(reboot)\n'\"")), Ok(()));
        assert_eq!(code(&Argv::new("echo").arg("a\0b")), Err(codes::SSH_ARGUMENT));
        assert_eq!(code(&Argv::new("")), Err(codes::SSH_ARGUMENT));
        assert_eq!(code(&Argv::new("echo").arg("x".repeat(MAX_ARGUMENT + 1))), Err(codes::SSH_ARGUMENT));
        let many = std::iter::repeat_n("x".repeat(100_000), 11);
        assert_eq!(code(&Argv::new("echo").args(many)), Err(codes::SSH_ARGUMENT));
    }
}
