//! `manual`: instructions to a person, typed answers, and probes that check what the person did.
//!
//! Some things only a person can do: call the registrar, plug in a cable, decide. The answers become outputs. Where
//! probes can see the result, they decide a doubt; where none can, hactl asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kind::{Effect, Evidence, Failure, OutputType, Scope, StepKind, WayBack};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::name::OutputName;
use crate::probe::{Probe, Verdict};

/// Something that a person does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manual {
    /// What to do, in the second person.
    instructions: String,
    /// What is asked afterwards: a name, which becomes an output, and the question.
    #[serde(default)]
    answers: BTreeMap<OutputName, String>,
    /// Probes that all hold once it was done.
    #[serde(default)]
    done_when: Vec<Probe>,
    /// How it is taken back, in the second person.
    #[serde(default)]
    way_back: Option<String>,
}

impl StepKind for Manual {
    const NAME: &'static str = "manual";
    const SUMMARY: &'static str = "have a person do something, record the answers, and check it by probes";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::OneShot
    }

    fn way_back(&self) -> WayBack {
        match &self.way_back {
            Some(how) => WayBack::Compensate(format!("asks you to: {how}")),
            None => WayBack::Irreversible { why: "the runbook names no way back for what you do".to_owned() },
        }
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        self.answers.keys().map(|name| (name.as_str(), OutputType::String)).collect()
    }

    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
        let mut missing = Vec::new();
        for probe in &self.done_when {
            let measured = probe.measure(view).await?;
            match measured.verdict {
                Verdict::Holds => {}
                Verdict::Fails => missing.push(measured.text),
            }
        }
        let seen = !self.done_when.is_empty() && missing.is_empty();
        // An answer cannot be observed: where one is wanted, only asking again can give it.
        if seen && self.answers.is_empty() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        if before.is_some() && self.done_when.is_empty() {
            return Ok(Observed::Indeterminate("only you know whether you did it".to_owned()));
        }
        Ok(Observed::NotApplied {
            change: Change { summary: "you do something by hand".to_owned(), details: self.lines() },
            before: Before::default(),
        })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let answers = hands.ask_person(&self.instructions, &self.answers).await?;
        Ok(answers.into_iter().map(|(name, text)| (name, OutputValue::String(text))).collect())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let mut facts = Vec::new();
        for probe in &self.done_when {
            let measured = probe.measure(trial).await?;
            match measured.verdict {
                Verdict::Holds => facts.push(measured.text),
                Verdict::Fails => {
                    return Err(Error::new(codes::NOT_VERIFIED, measured.text)
                        .next("do what the step says, then: hactl resume"));
                }
            }
        }
        if facts.is_empty() {
            facts.push("taken on your word: the runbook has no probe for it".to_owned());
        }
        Ok(Evidence::facts(facts))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        if let Some(how) = &self.way_back {
            hands.ask_person(how, &BTreeMap::new()).await?;
        }
        Ok(())
    }
}

impl Manual {
    fn lines(&self) -> Vec<String> {
        self.instructions.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}
