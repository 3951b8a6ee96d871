//! `hactl approve`: answer a step's gate ahead of its run, or let somebody else sign it on a machine of their own.
//!
//! Invariant: signing needs the request's text and a key, nothing else; who signs reads the whole of it first.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::Global;
use super::approver::{ask_plainly, show};
use super::work::on_fleet;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::approver::Answer;
use crate::engine::request::{Request, export_command};
use crate::engine::seam::Task;
use crate::journal::record::Signed;
use crate::name::{HostName, StepId};
use crate::render::{Format, Out, Progress, words};
use crate::session::{Drift, Session};
use crate::signature;

/// Arguments of `hactl approve`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It looks, shows what the step would change, and asks the gate's own question at
this terminal. The approval binds exactly that change on exactly those hosts, and
counts for 24 hours. A run without a terminal then goes through the gate.

With --export somebody else can approve, on any machine, with an SSH key that
[approvals] allowed_signers in hactl.toml names:
  operator   hactl approve retire --host node-1 --export retire.approval
  signer     hactl approve --sign retire.approval --key ~/.ssh/id_ed25519
  operator   hactl approve --import retire.approval

The signature is over the text of the request: fleet, run, runbook, step, change,
action, the keys of the hosts, and when it expires. It says nothing of how things
are measured to be, and it is no protection from an operator who means harm.

Example:
  hactl approve wal-archive --host node-1")]
pub struct ApproveArgs {
    /// The step
    #[arg(required_unless_present_any = ["sign", "import"])]
    step: Option<StepId>,
    /// Only on this host
    #[arg(long, value_name = "HOST", requires = "step")]
    host: Option<HostName>,
    /// Write a request that somebody else can sign
    #[arg(long, value_name = "FILE", requires = "step")]
    export: Option<PathBuf>,
    /// Read a request, and sign it into FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with_all = ["step", "import"])]
    sign: Option<PathBuf>,
    /// The SSH key to sign with; of a key in an agent, its public half
    #[arg(long, value_name = "KEY", requires = "sign")]
    key: Option<PathBuf>,
    /// Bring in a request that was signed, with FILE.sig beside it
    #[arg(long, value_name = "FILE", conflicts_with = "step")]
    import: Option<PathBuf>,
}

impl ApproveArgs {
    /// Asks, and records the answer.
    ///
    /// # Errors
    /// There is nothing to approve, nobody to ask, or the answer was no.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        match (&self.step, &self.export, &self.sign, &self.import) {
            (None, _, Some(file), _) => sign(file, self.key.as_deref(), out)?,
            (None, _, None, Some(file)) => import(file, global, out)?,
            (Some(step), Some(file), ..) => self.export(step, file, global, out)?,
            (Some(step), None, ..) => self.ask(step, global, out)?,
            (None, _, None, None) => {
                return Err(Error::new(codes::USAGE, "no step was named").next("hactl approve --help"));
            }
        }
        Ok(Exit::Done)
    }

    fn ask(&self, step: &StepId, global: &Global, out: &Out) -> Result<()> {
        on_fleet(global, out, Drift::Refuse, async |session, work, _asker| {
            let tasks = tasks(session, step, self.host.as_ref())?;
            session.begin()?;
            let mut approved = 0_usize;
            let mut nothing = None;
            for task in &tasks {
                match work.approve_ahead(task).await {
                    Ok(()) => approved += 1,
                    // One host that needs nothing must not keep the others from being approved.
                    Err(error) if error.code() == codes::NOTHING_TO_APPROVE => nothing = Some(error),
                    Err(error) => return Err(error),
                }
            }
            match (approved, nothing) {
                (0, Some(error)) => Err(error),
                (_, _) if out.format() == Format::Human => out.say(out.typed_here("next: hactl resume")),
                (_, _) => Ok(()),
            }
        })
    }

    fn export(&self, step: &StepId, file: &Path, global: &Global, out: &Out) -> Result<()> {
        on_fleet(global, out, Drift::Refuse, async |session, work, _asker| {
            let tasks = tasks(session, step, self.host.as_ref())?;
            let [task] = &tasks[..] else {
                let error =
                    Error::new(codes::USAGE, format!("{step} runs on several hosts, each with a request"))
                        .state("nothing was written");
                return Err(tasks
                    .iter()
                    .fold(error, |error, task| error.next(export_command(&task.place).0)));
            };
            session.begin()?;
            let text = work.request(task).await?;
            write_new(file, &text)?;
            match out.format() {
                Format::Json => Ok(()),
                Format::Human => {
                    let file = file.display();
                    out.say(format!("written: {file}"))?;
                    out.say(format!("whoever signs: hactl approve --sign {file}    (makes {file}.sig)"))?;
                    out.say(out.typed_here(&format!("then: hactl approve --import {file}")))
                }
            }
        })
    }
}

/// The places of a step, or the one on a host.
fn tasks(session: &Session, step: &StepId, host: Option<&HostName>) -> Result<Vec<Task>> {
    let all = session.fleet.tasks(session.step(step)?).tasks;
    let tasks: Vec<Task> =
        all.into_iter().filter(|task| host.is_none() || task.place.host.as_ref() == host).collect();
    if tasks.is_empty() {
        return Err(Error::new(codes::USAGE, "the step does not run there")
            .step(step)
            .state("nothing was approved")
            .next("hactl phase list; hactl phase show N says where steps run"));
    }
    Ok(tasks)
}

/// Shows a request to whoever signs, and signs it.
fn sign(file: &Path, key: Option<&Path>, out: &Out) -> Result<()> {
    let text = read(file)?;
    let request = Request::parse(&text)?;
    let somebody_there = std::io::stdin().is_terminal();
    let key = match key {
        Some(key) => key.to_owned(),
        // Without a terminal nobody has been asked, so the key at least has to be named.
        None if !somebody_there => {
            return Err(Error::new(
                codes::APPROVAL_NEEDED,
                "there is no terminal to ask at, and no key was named",
            )
            .state("nothing was signed")
            .next(format!("hactl approve --sign {} --key KEY", file.display())));
        }
        None => default_key()?,
    };
    let to = beside(file);
    if to.exists() {
        return Err(Error::new(codes::USAGE, format!("{} is there already", to.display()))
            .state("nothing was signed")
            .next(format!("move {} away, then the same command again", to.display())));
    }
    let shown = words::wrap(&words::clean(&request.shown()), out.width(), 13);
    match out.format() {
        Format::Human => out.say(shown.trim_end())?,
        // A program reads standard output; whoever is asked reads the request all the same.
        Format::Json if somebody_there => show(&format!("{}\n", shown.trim_end()))?,
        Format::Json => {}
    }
    if request.expires <= SystemClock.now() {
        return Err(Error::new(
            codes::APPROVAL_EXPIRED,
            format!("the request expired at {}", request.expires),
        )
        .state("nothing was signed")
        .next("ask for a new one: hactl approve STEP --export FILE"));
    }
    if somebody_there {
        match ask_plainly(&Progress::new(out), &format!("Sign this with {}?", key.display()))? {
            Answer::Yes(_) => {}
            Answer::No | Answer::NobodyThere => {
                return Err(Error::new(codes::APPROVAL_REFUSED, "you did not sign it")
                    .state("nothing was signed")
                    .next("tell whoever asked that you do not approve it"));
            }
        }
    }
    let signature = signature::sign(&text, &key)?;
    write_new(&to, &signature)?;
    if out.format() == Format::Json {
        return Ok(());
    }
    out.say(format!("signed: {} goes back to whoever asked, beside {}", to.display(), file.display()))
}

/// Takes a signed request into the journal.
fn import(file: &Path, global: &Global, out: &Out) -> Result<()> {
    let text = read(file)?;
    let request = Request::parse(&text)?;
    let signature = read(&beside(file))?;
    on_fleet(global, out, Drift::Refuse, async |session, work, _asker| {
        let Some(approvals) = &session.workspace.approvals else {
            return Err(Error::new(codes::SIGNATURE, "hactl.toml does not say whose signatures count")
                .state("nothing was approved")
                .next("write [approvals] allowed_signers = \"allowed_signers\" in hactl.toml"));
        };
        let signers = std::fs::read(&approvals.allowed_signers).map_err(|e| {
            Error::new(codes::SIGNATURE, format!("cannot read {}", approvals.allowed_signers.display()))
                .state("nothing was approved")
                .source(e)
                .next("put the file back, then the same command again")
        })?;
        let signer = signature::verify(&text, &signature, &signers, SystemClock.now())?;
        let tasks = tasks(session, &request.step, request.host.as_ref())?;
        let [task] = &tasks[..] else {
            return Err(Error::new(
                codes::APPROVAL_OTHER,
                "the step runs on other hosts than the request says",
            )
            .step(&request.step)
            .state("nothing was approved")
            .next("hactl phase list; hactl phase show N says where steps run"));
        };
        // What is refused leaves no trace, and begins no run.
        let judged = work.judge(task, &request, &text)?;
        let signers = session.evidence.put("allowed signers", &signers)?;
        session.begin()?;
        let signed =
            Signed { principal: signer.principal, key: signer.key, signature: signature.clone(), signers };
        work.accept(judged, signed)?;
        match out.format() {
            Format::Human => out.say(out.typed_here("next: hactl resume")),
            Format::Json => Ok(()),
        }
    })
}

/// The signature's file.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| {
        Error::new(codes::USAGE, format!("cannot read {}", file.display()))
            .state("nothing was approved")
            .source(e)
            .next("hactl approve --help    (shows the way of a request)")
    })
}

/// Writes a file that is not there yet: a request or a signature is never replaced unseen.
fn write_new(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let made = std::fs::File::create_new(file);
    made.and_then(|mut to| to.write_all(text.as_bytes()).and_then(|()| to.sync_all())).map_err(|e| {
        Error::new(codes::USAGE, format!("cannot write {}", file.display()))
            .state("nothing was written")
            .source(e)
            .next("name another file, or move that one away")
    })
}

fn default_key() -> Result<PathBuf> {
    let key = std::env::home_dir().map(|home| home.join(".ssh/id_ed25519"));
    key.filter(|key| key.is_file()).ok_or_else(|| {
        Error::new(codes::USAGE, "no key was named, and there is no ~/.ssh/id_ed25519")
            .state("nothing was signed")
            .next("hactl approve --sign FILE --key KEY")
    })
}
