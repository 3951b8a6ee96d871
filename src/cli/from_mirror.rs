//! `hactl resume --from-mirror`: a run whose machine is lost is brought here, and taken over.
//!
//! Invariant: nothing is taken over before everything was brought and checked, every secret that the run needs is at
//! hand, and a person said yes.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::approver::{Answers, Asker};
use super::{Global, runtime, work};
use crate::clock::SystemClock;
use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::Answer;
use crate::engine::interrupt::Interrupt;
use crate::mirror::bring::{Brought, bring};
use crate::mirror::connect;
use crate::redact::{Redactor, sanitize_for_terminal};
use crate::render::{Format, Out, Progress, words};
use crate::runbook;
use crate::secret::SecretRef;
use crate::session::this_operator;
use crate::step::table::Table;
use crate::workspace::{Addressing, Demand, FILE_NAME, MirrorConfig, MirrorUrl, S3Config, Workspace};

const HEADING: &str = "Where the machine with the run is lost";
/// Where the keys come from, unless files are named.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// What opens the key of the secrets' digests.
const IDENTITY: &str = "[age] identity";

/// What says where the mirror is: the file that said so is lost.
#[derive(Debug, clap::Args)]
pub struct FromMirror {
    /// Bring the run from its mirror into this folder, take it over, and go on
    #[arg(long, value_name = "S3-URL", help_heading = HEADING, requires = "mirror_endpoint")]
    pub from_mirror: Option<MirrorUrl>,
    /// Where its server answers, such as https://s3.example
    #[arg(long, value_name = "URL", help_heading = HEADING, requires = "from_mirror")]
    mirror_endpoint: Option<String>,
    /// Its region
    #[arg(long, value_name = "REGION", help_heading = HEADING, requires = "from_mirror", default_value = "us-east-1")]
    mirror_region: String,
    /// The certificate authority of its server, where it has one of its own
    #[arg(long, value_name = "FILE", help_heading = HEADING, requires = "from_mirror")]
    mirror_ca: Option<PathBuf>,
    /// The file with its access key [default: $AWS_ACCESS_KEY_ID]
    #[arg(long, value_name = "FILE", help_heading = HEADING, requires = "mirror_secret_key")]
    mirror_access_key: Option<PathBuf>,
    /// The file with its secret key [default: $AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE", help_heading = HEADING, requires = "mirror_access_key")]
    mirror_secret_key: Option<PathBuf>,
    /// The lab that the run was rehearsed in
    #[arg(long, value_name = "NAME", help_heading = HEADING, requires = "from_mirror")]
    mirror_lab: Option<String>,
}

impl FromMirror {
    /// Brings the run and takes it over, where that was asked for. What follows is an ordinary resume.
    ///
    /// # Errors
    /// It cannot be brought, a secret is missing here, or the answer was no.
    pub fn run(&self, global: &Global, out: &Out) -> Result<()> {
        let Some(url) = &self.from_mirror else { return Ok(()) };
        let root = folder(global)?;
        if let Some(lab) = &self.mirror_lab {
            work::enter_lab(lab, std::slice::from_ref(&root))?;
        }
        let config = self.config(url);
        runtime::block_on(async {
            let redactor = Rc::new(Redactor::of_process());
            let bucket = connect(&config, &root, redactor, None).await.map_err(|e| {
                e.default_next(format!(
                    "export {} and {}    (read -rs NAME keeps a secret out of the history)",
                    KEYS[0], KEYS[1]
                ))
                .next("or give files: --mirror-access-key FILE --mirror-secret-key FILE")
            })?;
            let bucket = Rc::new(bucket);
            let brought = bring(bucket.as_ref(), &root).await?;
            let file = root.join(FILE_NAME);
            let workspace =
                runbook::load_kept::<Table>(&file, &brought.workspace, &brought.runbook)?.workspace;
            // Only then: what is brought may name programs that print secrets, and whoever writes the bucket names them.
            self.agree(&workspace, &brought, global, out).await?;
            let closed = at_hand(&workspace, &brought, url).await?;
            brought.take_over(bucket, this_operator(), Rc::new(SystemClock)).await?;
            say_taken(url, closed, out)
        })
    }

    fn config(&self, url: &MirrorUrl) -> MirrorConfig {
        let [access, secret] = KEYS.map(|name| SecretRef::Env(name.to_owned()));
        let file = |path: &Option<PathBuf>, else_: SecretRef| path.clone().map_or(else_, SecretRef::File);
        MirrorConfig {
            s3: S3Config {
                endpoint: self.mirror_endpoint.clone().unwrap_or_default(),
                region: self.mirror_region.clone(),
                bucket: url.bucket.clone(),
                addressing: Addressing::Path,
                ca: self.mirror_ca.clone(),
                access_key: file(&self.mirror_access_key, access),
                secret_key: file(&self.mirror_secret_key, secret),
                restore: None,
            },
            prefix: url.prefix.clone(),
            demand: Demand::Required,
        }
    }

    async fn agree(
        &self,
        workspace: &Workspace,
        brought: &Brought,
        global: &Global,
        out: &Out,
    ) -> Result<()> {
        let answers = Answers::new(global.yes, workspace)?;
        let asker = Asker::new(answers, Rc::new(Progress::new(out)), out.clone(), Interrupt::default());
        let run =
            brought.state.run().map_or_else(String::new, |run| format!("run {} of {}", run.run, run.runbook));
        let text = format!(
            "Taking over {run}, fleet {}\n  \
             brought and checked: {} records, {} pieces of evidence\n  \
             written last: record {} by {} at {} (epoch {})\n\
             The former machine is refused from then on: by the mirror at its next record, by each host at its next \
             command. End hactl there first, where that machine still runs. What it had begun is looked at, and never \
             run again blindly.{}",
            workspace.fleet,
            brought.records,
            brought.evidence,
            brought.records,
            brought.by,
            brought.at,
            brought.state.epoch(),
            programs_of(workspace),
        );
        match asker.confirm(&text, "  Take the run over?").await? {
            Answer::Yes(_) => Ok(()),
            Answer::No => Err(Error::new(codes::APPROVAL_REFUSED, "taking over was refused")
                .state("nothing was taken over")),
            Answer::NobodyThere => Err(Error::new(
                codes::APPROVAL_NEEDED,
                "taking over is confirmed at a terminal, and there is none here",
            )
            .state("everything was brought; nothing was taken over")
            .next("the same command at a terminal")),
        }
    }
}

/// The programs that the brought files name for their secrets, for somebody to see before they run.
fn programs_of(workspace: &Workspace) -> String {
    let programs = references(workspace).into_iter().filter_map(|(name, reference)| match reference {
        SecretRef::Command(argv) => {
            let argv = argv.iter().map(|word| sanitize_for_terminal(word));
            Some(format!("\n  {name} is printed by a program here: {}", shell_words::join(argv)))
        }
        SecretRef::Env(_) | SecretRef::File(_) | SecretRef::Sops(_) => None,
    });
    programs.collect()
}

/// The folder that the run is brought into.
fn folder(global: &Global) -> Result<PathBuf> {
    let folder = global.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
    folder.canonicalize().map_err(|e| {
        Error::new(codes::IO, format!("cannot bring a run into {}", folder.display()))
            .source(e)
            .state("nothing was done")
            .next("make the folder, then the same command")
    })
}

/// Something that the run needs and that no mirror holds.
struct Lack {
    what: String,
    why: String,
    next: Vec<String>,
}

/// Makes sure that what the run needs beside its mirror can be had on this machine: keys that log in, secrets. Says why
/// the key of the secrets' digests stays encrypted, where it does: the run can go on without it.
async fn at_hand(workspace: &Workspace, brought: &Brought, url: &MirrorUrl) -> Result<Option<String>> {
    let mut lacks = Vec::new();
    let mut identity = None;
    for (name, reference) in references(workspace) {
        let redactor = Redactor::of_process();
        match reference.resolve(&name, &workspace.root, &redactor).await {
            Ok(secret) if name == IDENTITY => identity = Some(secret),
            Ok(_) => {}
            Err(error) => {
                let mut next = error.next_moves();
                if next.is_empty() {
                    next.push(how_to_have(&reference, &workspace.root));
                }
                lacks.push(Lack { what: name, why: error.one_line(), next });
            }
        }
    }
    let mut keys: Vec<_> = workspace.hosts.iter().filter_map(|host| host.identity.clone()).collect();
    keys.sort();
    keys.dedup();
    for key in keys.into_iter().filter(|key| !key.is_file()) {
        lacks.push(Lack {
            what: "the key that logs in to the hosts".to_owned(),
            why: format!("{} is not there", key.display()),
            next: vec![format!("put the key there: install -m 600 KEY {}", key.display())],
        });
    }
    if lacks.is_empty() {
        return brought.open_digest_key(identity.as_ref());
    }
    let told: Vec<_> = lacks.iter().map(|lack| format!("{}: {}", lack.what, lack.why)).collect();
    let error =
        Error::new(codes::MIRROR_SECRETS, format!("the run needs what no mirror holds: {}", told.join("; ")))
            .state(format!(
                "hactl.toml and what belongs to it were brought into {}; nothing was taken over",
                workspace.root.display()
            ));
    let error = lacks.iter().flat_map(|lack| &lack.next).fold(error, |error, next| error.next(next.clone()));
    Err(error.next(format!("then the same command: hactl resume --from-mirror {url} …")))
}

fn how_to_have(reference: &SecretRef, root: &Path) -> String {
    match reference {
        SecretRef::Env(name) => {
            format!("export {name}=…    (read -rs {name} keeps it out of the shell's history)")
        }
        SecretRef::File(path) => {
            format!("put the secret there: install -m 600 FILE {}", root.join(path).display())
        }
        SecretRef::Command(argv) => {
            format!("let this machine have what prints it: {}", shell_words::join(argv))
        }
        SecretRef::Sops(place) => format!("let sops decrypt it on this machine: {place}"),
    }
}

/// Every secret that a workspace refers to, with where.
fn references(workspace: &Workspace) -> Vec<(String, SecretRef)> {
    let mut all = Vec::new();
    let mut add = |name: &str, reference: &SecretRef| all.push((name.to_owned(), reference.clone()));
    if let Some(s3) = &workspace.s3 {
        add("[s3] access_key", &s3.access_key);
        add("[s3] secret_key", &s3.secret_key);
        if let Some(restore) = &s3.restore {
            add("[s3] restore_access_key", &restore.access_key);
            add("[s3] restore_secret_key", &restore.secret_key);
        }
    }
    if let Some(mirror) = &workspace.mirror {
        add("[state] access_key", &mirror.s3.access_key);
        add("[state] secret_key", &mirror.s3.secret_key);
    }
    if let Some(hcloud) = &workspace.hcloud {
        add("[hcloud] token", &hcloud.token);
    }
    if let Some(pgbackrest) = &workspace.pgbackrest {
        add("[pgbackrest] cipher_pass", &pgbackrest.cipher_pass);
    }
    if let Some(identity) = workspace.age.as_ref().and_then(|age| age.identity.as_ref()) {
        add(IDENTITY, identity);
    }
    let mut seen: Vec<SecretRef> = Vec::new();
    all.retain(|(_, reference)| {
        let new = !seen.contains(reference);
        seen.push(reference.clone());
        new
    });
    all
}

/// Says that the run was taken over, for people; what came along and could not be opened is said to `hactl doctor` too.
fn say_taken(url: &MirrorUrl, closed: Option<String>, out: &Out) -> Result<()> {
    match out.format() {
        Format::Json => return Ok(()),
        Format::Human => out.say(format!("taken over from {url}; going on here"))?,
    }
    let Some(why) = closed else { return Ok(()) };
    let text = format!(
        "WARNING: the key of the secrets' digests stays encrypted: {why}. The run goes on; a step that makes a secret, or \
         compares one, says that it needs the key"
    );
    out.wrapped(&words::clean(&text), 2)
}
