//! `command`: a program on a host, for the plan that nobody foresaw.
//!
//! It says of itself what the other kinds know: how to observe that it has happened, whether twice is once, and how
//! it is taken back. Without an `observe` probe a command could not be resumed, so it is required.

use serde::{Deserialize, Serialize};

use super::kind::{Effect, Evidence, Failure, Scope, StepKind, WayBack};
use crate::access::{Command, Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::probe::{Probe, Verdict};
use crate::units::HumanDuration;

/// A program with its arguments; nothing is given to a shell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// The program and its arguments. Everybody on the host can read them: never a secret.
    argv: Argv,
    /// What it reads from its standard input.
    #[serde(default)]
    stdin: Option<String>,
    /// As whom: a user's name; `root` where nothing is said.
    #[serde(default = "root")]
    user: String,
    /// How long it may take, at most the step's own timeout.
    #[serde(default = "a_minute")]
    within: HumanDuration,
    /// What changes, as one sentence.
    change: String,
    /// The probe that holds once it has happened.
    observe: Probe,
    /// `idempotent` or `one_shot`.
    effect: Effect,
    /// The program that takes it back.
    #[serde(default)]
    undo: Option<Argv>,
    /// Why it cannot be taken back. One of `undo`, `irreversible` and `changes_nothing` is needed.
    #[serde(default)]
    irreversible: Option<String>,
}

/// A program and its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
struct Argv {
    program: String,
    arguments: Vec<String>,
}

impl TryFrom<Vec<String>> for Argv {
    type Error = &'static str;
    fn try_from(mut words: Vec<String>) -> Result<Self, Self::Error> {
        if words.first().is_none_or(String::is_empty) {
            return Err("a command begins with a program");
        }
        let arguments = words.split_off(1);
        Ok(Self { program: words.swap_remove(0), arguments })
    }
}

impl From<Argv> for Vec<String> {
    fn from(argv: Argv) -> Self {
        argv.words().map(str::to_owned).collect()
    }
}

impl Argv {
    fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.program).chain(&self.arguments).map(String::as_str)
    }

    /// As a shell would be given it.
    fn shown(&self) -> String {
        shell_words::join(self.words())
    }
}

fn root() -> String {
    "root".to_owned()
}

fn a_minute() -> HumanDuration {
    HumanDuration::from_secs(60)
}

impl RunCommand {
    fn command(&self, argv: &Argv) -> Command {
        let mut command = Command::new(&argv.program).args(&argv.arguments).within(self.within.get());
        if self.user != "root" {
            command = command.as_user(&self.user);
        }
        if let Some(stdin) = &self.stdin {
            command = command.stdin(stdin.as_str());
        }
        command
    }
}

impl StepKind for RunCommand {
    const NAME: &'static str = "command";
    const SUMMARY: &'static str = "run a program on a host, with a probe that tells whether it has happened";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn way_back(&self) -> WayBack {
        match (&self.undo, &self.irreversible) {
            (Some(argv), _) => WayBack::Compensate(format!("runs {}", argv.shown())),
            (None, Some(why)) => WayBack::Irreversible { why: why.clone() },
            (None, None) => WayBack::Irreversible { why: "the runbook names no way back".to_owned() },
        }
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let measured = self.observe.measure(view).await?;
        Ok(match measured.verdict {
            Verdict::Holds => Observed::Applied(Outputs::new()),
            Verdict::Fails => Observed::NotApplied {
                change: Change {
                    summary: self.change.clone(),
                    details: vec![format!("runs as {}: {}", self.user, self.argv.shown())],
                },
                before: Before::default(),
            },
        })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let command = self.command(&self.argv);
        let _finished = hands.here()?.run(&command).await?.ok("the command failed")?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let measured = self.observe.measure(trial).await?;
        match measured.verdict {
            Verdict::Holds => Ok(Evidence::facts([measured.text])),
            Verdict::Fails => Err(Error::new(codes::NOT_VERIFIED, measured.text)),
        }
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let Some(argv) = &self.undo else { return Ok(()) };
        let command = self.command(argv);
        let _finished = hands.here()?.run(&command).await?.ok("the way back failed")?;
        Ok(())
    }
}
