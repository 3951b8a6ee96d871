//! The owner file of a host: whose it is, and under which line of which journal it was changed last.
//!
//! Invariant: a host takes changes only from the fleet, the run and the epoch that it remembers, and only from a
//! process that either left the owner file itself or has the line that stands in it in its own journal. So an older
//! copy of a journal is refused however much was appended to it since, and what a former process sent and what arrives
//! late is refused as soon as the next one has been there.

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{Epoch, Seq};
use crate::journal::{Hold, RunState, Tail};
use crate::name::{FleetName, RunId};
use crate::workspace::Host;

use super::perform::refused;
use super::query::split_marker;
use super::{SETUP_LIMIT, Ssh};
use std::rc::Rc;

const READ: &str = include_str!("owner.sh");
const PRUNE: &str = concat!(include_str!("common.sh"), include_str!("prune.sh"));

const RAISE: &str = concat!(include_str!("common.sh"), include_str!("raise.sh"));

/// More than an owner file has.
const OWNER_LIMIT: usize = 64 * 1024;

/// What claims leave on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Whose it is.
    pub fleet: FleetName,
    /// The run that claimed last.
    pub run: RunId,
    /// Which machine's hold on the fleet.
    pub epoch: Epoch,
    /// The journal's last line when the last claim was sent.
    pub line: Tail,
    /// The process that sent it; `-` after what it left was removed.
    pub hold: String,
}

/// Whose changes are made: what an owner file is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose servers.
    pub fleet: FleetName,
    /// The run; none before one began.
    pub run: Option<RunId>,
    /// Which machine's hold on the fleet.
    pub epoch: Epoch,
}

impl Standing {
    /// That of a journal, for the fleet of its workspace.
    #[must_use]
    pub fn of(fleet: &FleetName, state: &RunState) -> Self {
        Self { fleet: fleet.clone(), run: state.run().map(|run| run.run.clone()), epoch: state.epoch() }
    }
}

impl Owner {
    /// Reads the file: six lines `fleet …`, `run …`, `epoch …`, `seq …`, `sum …`, `hold …`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        Some(Self {
            fleet: field("fleet")?.parse().ok()?,
            run: field("run")?.parse().ok()?,
            epoch: Epoch(field("epoch")?.parse().ok()?),
            line: Tail { seq: Seq(field("seq")?.parse().ok()?), sum: field("sum")?.parse().ok()? },
            hold: field("hold")?,
        })
    }
}

/// The line of our journal under which a host was changed last, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    sum: Option<Digest>,
    /// How often a refusal of the host named it.
    times: u32,
}

/// So often at most a host's refusals are answered with the line that it names. A host that remembers a line of ours needs
/// that once, and once more for each of the requests that were under way; one that names another line each time lies.
const VOUCHINGS: u32 = 32;

/// The line that a host's refusal names: `SEQ SUM`.
fn named_line(detail: &str) -> Option<Tail> {
    let (seq, sum) = detail.split_once(' ')?;
    Some(Tail { seq: Seq(seq.parse().ok()?), sum: sum.parse().ok()? })
}

impl Ssh {
    /// Shows hosts this hold on the journal with every claim. The first one given stays.
    pub fn stand_on(&self, hold: Rc<Hold>) {
        let _ = self.hold.set(hold);
    }

    fn hold(&self) -> Result<&Hold> {
        self.hold.get().map(Rc::as_ref).ok_or_else(|| {
            Error::new(codes::INTERNAL, "a host was to be changed without a journal")
                .state("nothing was sent")
        })
    }

    /// What a claim is made on: the epoch, the journal's last line now, who we are, and the line that is vouched for.
    pub(super) fn ground(&self, host: &Host, epoch: Epoch) -> Result<[String; 5]> {
        let hold = self.hold()?;
        let Tail { seq, sum } = hold.last();
        let vouched = match self.vouched.borrow().get(&host.name) {
            Some(Vouched { sum: Some(sum), .. }) => sum.to_string(),
            Some(Vouched { sum: None, .. }) | None => "-".to_owned(),
        };
        Ok([epoch.to_string(), seq.to_string(), sum.to_string(), hold.id().to_owned(), vouched])
    }

    /// Looks up the line that a host refused for; true where it is one of ours, so that asking again makes sense.
    /// `told` is the line that the refused request vouched for.
    pub(super) fn vouch(&self, host: &Host, told: &str, word: &str, detail: &str) -> Result<bool> {
        let Some(line) = named_line(detail).filter(|_| word == "old_journal") else { return Ok(false) };
        let sum = line.sum.to_string();
        // A host that refuses what it was just told is not asked for ever. What was learnt since this request was sent
        // is another matter: requests that are under way together are all refused for the same line.
        if told == sum || !self.hold()?.contains(line)? {
            return Ok(false);
        }
        let mut vouched = self.vouched.borrow_mut();
        let vouched = vouched.entry(host.name.clone()).or_default();
        vouched.times += 1;
        vouched.sum = Some(line.sum);
        Ok(vouched.times <= VOUCHINGS)
    }

    /// The owner file of a host; none where nothing was ever changed by hactl there.
    ///
    /// # Errors
    /// The host cannot be asked, or the file cannot be understood.
    pub async fn owner(&self, host: &Host) -> Result<Option<Owner>> {
        let marker = self.marker()?;
        let line = self.root_script(host, READ, "hactl-owner", &[marker.clone(), self.root().to_owned()]);
        let answer = self.ask_twice(host, &line, &[], OWNER_LIMIT, self.timing().connect).await?;
        let Some((text, 0)) = split_marker(&answer.stdout, &marker) else {
            return Err(self
                .no_marker(host, &answer)
                .unwrap_or_else(|| refused(host, "owner_damaged", "").1));
        };
        if text.is_empty() {
            return Ok(None);
        }
        let owner = std::str::from_utf8(text).ok().and_then(Owner::parse);
        owner.map(Some).ok_or_else(|| refused(host, "owner_damaged", "").1)
    }

    /// Makes sure, before anything is begun, that a host was changed last by this very journal, or by none.
    ///
    /// # Errors
    /// It was changed by another one, or it cannot be asked.
    pub async fn check_owner(&self, host: &Host, standing: &Standing) -> Result<()> {
        let Some(owner) = self.owner(host).await? else { return Ok(()) };
        let Standing { fleet, run, epoch } = standing;
        let refuse = |word: &str, detail: &str| Err(refused(host, word, detail).1);
        if owner.fleet != *fleet {
            return refuse("other_fleet", owner.fleet.as_str());
        }
        if owner.epoch != *epoch {
            return if owner.epoch < *epoch { Ok(()) } else { refuse("old_epoch", &owner.epoch.to_string()) };
        }
        if run.as_ref() != Some(&owner.run) {
            return refuse("other_run", owner.run.as_str());
        }
        let detail = format!("{} {}", owner.line.seq, owner.line.sum);
        let ours = owner.hold == self.hold()?.id() || self.vouch(host, "-", "old_journal", &detail)?;
        if ours { Ok(()) } else { refuse("old_journal", &detail) }
    }

    /// Removes what the attempts of a finished run left on a host.
    ///
    /// # Errors
    /// The host cannot be asked, or belongs to somebody else.
    pub async fn prune(&self, host: &Host, standing: &Standing) -> Result<()> {
        self.tell(host, standing, Tell { script: PRUNE, name: "hactl-prune", done: "pruned" }).await
    }

    /// Writes a host's owner file for this hold and its epoch, so that whoever holds a lower one is refused there from
    /// now on, whatever he sends.
    ///
    /// # Errors
    /// The host cannot be asked, or belongs to somebody else.
    pub async fn raise(&self, host: &Host, standing: &Standing) -> Result<()> {
        self.tell(host, standing, Tell { script: RAISE, name: "hactl-raise", done: "raised" }).await
    }

    async fn tell(&self, host: &Host, standing: &Standing, what: Tell) -> Result<()> {
        let Some(run) = &standing.run else { return Ok(()) };
        loop {
            let marker = self.marker()?;
            let last = self.hold()?.last();
            let [epoch, seq, sum, hold, vouched] = self.ground(host, standing.epoch)?;
            let arguments = [
                marker.clone(),
                self.root().to_owned(),
                standing.fleet.to_string(),
                run.to_string(),
                epoch,
                seq,
                sum,
                hold,
                vouched.clone(),
            ];
            let line = self.root_script(host, what.script, what.name, &arguments);
            let answer = self.ask_twice(host, &line, &[], OWNER_LIMIT, SETUP_LIMIT).await?;
            let said = String::from_utf8_lossy(&answer.stdout);
            let said = said.lines().find_map(|line| line.strip_prefix(&marker)?.strip_prefix(' '));
            match said.map(|said| said.split_once(' ').unwrap_or((said, ""))) {
                Some((word, _)) if word == what.done => {
                    self.vouched.borrow_mut().entry(host.name.clone()).or_default().sum = Some(last.sum);
                    return Ok(());
                }
                Some(("refused", why)) => {
                    let (word, detail) = why.split_once(' ').unwrap_or((why, ""));
                    if !self.vouch(host, &vouched, word, detail)? {
                        return Err(refused(host, word, detail).1);
                    }
                }
                Some(_) | None => {
                    return Err(self.no_marker(host, &answer).unwrap_or_else(|| {
                        let what = format!("the connection was lost during {}", what.name);
                        Error::new(codes::SSH_LOST, what).host(&host.name)
                    }));
                }
            }
        }
    }
}

/// A script that changes the owner file.
#[derive(Clone, Copy)]
struct Tell {
    script: &'static str,
    name: &'static str,
    /// What it says once it has.
    done: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{Owner, named_line};
    use crate::digest::Digest;
    use crate::journal::record::{Epoch, Seq};

    #[test]
    fn an_owner_is_read_strictly() {
        let sum = Digest::of("line 17");
        let text = format!("fleet cell0\nrun abc\nepoch 2\nseq 17\nsum {sum}\nhold h1\n");
        let owner = Owner::parse(&text).unwrap();
        assert_eq!((owner.fleet.as_str(), owner.epoch, owner.line.seq), ("cell0", Epoch(2), Seq(17)));
        assert_eq!((owner.line.sum, owner.hold.as_str()), (sum, "h1"));
        assert_eq!(Owner::parse(&text.replace("epoch 2\n", "")), None);
        assert_eq!(Owner::parse(&text.replace("sum ", "sum 0")), None);
        assert_eq!(Owner::parse(""), None);
        assert_eq!(named_line(&format!("17 {sum}")), Some(owner.line));
        assert_eq!(named_line("17"), None);
    }
}
