//! The runbook's inputs, and whose signatures count.

use super::ask::{Ask, wrong};
use super::flags::value;
use super::flow::Flow;
use crate::diagnostic::Result;
use crate::runbook::{Input, Runbook, Value};

impl Flow<'_> {
    pub(super) async fn inputs(&mut self, runbook: &Runbook) -> Result<()> {
        for named in &self.init.input {
            if !runbook.inputs.iter().any(|input| input.name == named.name) {
                return Err(wrong("--input", &format!("the runbook has no input {:?}", named.name)));
            }
        }
        for input in &runbook.inputs {
            let flag = format!("--input {}=VALUE", input.name);
            let given = self.init.input.iter().find(|named| named.name == input.name);
            let value = match given {
                Some(given) => Some(value(input, &given.value).map_err(|why| wrong(&flag, &why))?),
                None if self.answered.contains_key(&input.name) => self.answered.get(&input.name).cloned(),
                None if input.default.is_some() => None,
                None => self.input(input, &flag).await?,
            };
            self.draft.inputs.push((input.clone(), value));
        }
        Ok(())
    }

    /// A value of an input that has no default; none where nobody is there to give it.
    async fn input(&self, input: &Input, flag: &str) -> Result<Option<Value>> {
        loop {
            let ask = Ask {
                flag,
                prompt: &input.name,
                help: &input.help,
                given: None,
                default: None,
                check: |_| Ok(()),
            };
            let text = self.asking.text(ask).await?;
            match value(input, &text) {
                _ if !self.asking.somebody_there() => return Ok(None),
                Ok(value) => return Ok(Some(value)),
                Err(why) => self.say("note", &input.name, &why)?,
            }
        }
    }

    pub(super) async fn signers(&mut self) -> Result<()> {
        let help = "The runbook has gates that are signed. Whose signatures count stands in a file as ssh-keygen -Y verify reads it.";
        let given = self.init.allowed_signers.clone();
        self.draft.allowed_signers = Some(
            self.asking
                .text(Ask {
                    flag: "--allowed-signers PATH",
                    prompt: "Its path, from the workspace's folder",
                    help,
                    given,
                    default: None,
                    check: |_| Ok(()),
                })
                .await?,
        );
        Ok(())
    }
}
