//! `hactl init`: asks for what a workspace needs, tries it out, and writes it down.

mod ask;
mod cloud;
mod flags;
mod flow;
mod hosts;
mod inputs;
mod mirror;
mod secrets;
mod storage;

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use self::ask::Asking;
use self::flags::{HostFlag, Named, SecretFlag};
use self::flow::Flow;
use super::{Global, runtime};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::interrupt::Interrupt;
use crate::init::is_free;
use crate::render::Out;

/// Arguments of `hactl init`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It asks at the terminal for what the flags do not say, tries every answer out (each
host's key, login, sudo, system and PostgreSQL; the bucket with each key; the cloud's
token; every secret), and writes a commented hactl.toml that passes `hactl check`. A hactl.toml
that is there is never replaced. Until the end nothing is written but what you have
it make; interrupted, that goes again.

A REF says where a secret is kept: file:PATH, env:NAME, command:'PROGRAM ARGUMENT',
sops:FILE#PATH.TO.VALUE. A secret itself is never asked for. MAKE stands for a new
one in a file under secrets/ that its owner alone can read.

Without a terminal every answer is a flag, and a host's key is pinned only with
--fingerprint.

Examples:
  hactl init
  hactl init --runbook cell0 --fleet acme --user ops --identity secrets/id_ed25519 \\
    --host node-1=203.0.113.11 --role postgres=node-1 \\
    --host prover=203.0.113.20 --role prover=prover \\
    --fingerprint node-1=SHA256:… --fingerprint prover=SHA256:… \\
    --s3-endpoint https://objects.example --s3-region eu --s3-bucket acme-backups \\
    --s3-access-key env:S3_KEY --s3-secret-key sops:secrets.yaml#s3.secret \\
    --s3-restore-access-key file:secrets/restore.key \\
    --s3-restore-secret-key file:secrets/restore.secret \\
    --mirror s3://acme-state/cell0 \\
    --hcloud-token file:secrets/hcloud-token \\
    --cipher-pass make --age-identity make")]
pub struct Init {
    /// A bundled runbook, or the path of one of your own, from the workspace's folder
    #[arg(long, value_name = "NAME|PATH")]
    runbook: Option<String>,
    /// The fleet's name, written on each host that is changed
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,
    /// Who logs in to every host; any other than root needs sudo without a password
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The key that logs in, from the workspace's folder, or `make`
    #[arg(long, value_name = "PATH|make")]
    identity: Option<String>,
    /// A server. May be given more than once
    #[arg(long, value_name = "NAME=ADDRESS[:PORT]")]
    host: Vec<HostFlag>,
    /// The hosts of a role of the runbook. May be given more than once
    #[arg(long, value_name = "ROLE=HOST[,HOST]")]
    role: Vec<Named>,
    /// The host through which a host is reached. May be given more than once
    #[arg(long, value_name = "HOST=HOST")]
    jump: Vec<Named>,
    /// Pin this host's key without asking, if it has this fingerprint. May be given more than once
    #[arg(long, value_name = "HOST=SHA256:…")]
    fingerprint: Vec<Named>,
    /// A value of the runbook's inputs. May be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    input: Vec<Named>,
    /// PostgreSQL's major version [default: what is found]
    #[arg(long, value_name = "MAJOR")]
    postgres_version: Option<String>,
    /// Debian's name of PostgreSQL's cluster [default: what is found]
    #[arg(long, value_name = "NAME")]
    postgres_cluster: Option<String>,
    /// Where the object storage answers
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Its region
    #[arg(long, value_name = "NAME")]
    s3_region: Option<String>,
    /// The bucket for backups; it need not exist yet where the runbook makes it
    #[arg(long, value_name = "NAME")]
    s3_bucket: Option<String>,
    /// The only certificate authority to trust for it, from the workspace's folder
    #[arg(long, value_name = "PATH")]
    s3_ca: Option<String>,
    /// Address the bucket as https://bucket.endpoint [default: whichever answers, the path first]
    #[arg(long)]
    s3_virtual_host: bool,
    /// The key that writes backups
    #[arg(long, value_name = "REF")]
    s3_access_key: Option<SecretFlag>,
    /// Its secret
    #[arg(long, value_name = "REF")]
    s3_secret_key: Option<SecretFlag>,
    /// The key that only reads
    #[arg(long, value_name = "REF")]
    s3_restore_access_key: Option<SecretFlag>,
    /// Its secret
    #[arg(long, value_name = "REF")]
    s3_restore_secret_key: Option<SecretFlag>,
    /// Where the run is kept a second time, on that object storage; its bucket is made where it is missing [default: nowhere]
    #[arg(long, value_name = "S3-URL|none")]
    mirror: Option<String>,
    /// A token of the project in the Hetzner Cloud, which may read and write [default: what needs it is to be added later]
    #[arg(long, value_name = "REF")]
    hcloud_token: Option<SecretFlag>,
    /// Where its API is [default: the provider's own]
    #[arg(long, value_name = "URL")]
    hcloud_endpoint: Option<String>,
    /// The only certificate authority to trust for it, from the workspace's folder
    #[arg(long, value_name = "PATH")]
    hcloud_ca: Option<String>,
    /// The pass phrase of pgBackRest's repository, or `make`
    #[arg(long, value_name = "REF|make")]
    cipher_pass: Option<SecretFlag>,
    /// A public key of age to encrypt to. May be given more than once
    #[arg(long, value_name = "age1…")]
    age_recipient: Vec<String>,
    /// The age identity that decrypts, or `make`
    #[arg(long, value_name = "REF|make")]
    age_identity: Option<SecretFlag>,
    /// Whose signatures count at gates, from the workspace's folder
    #[arg(long, value_name = "PATH")]
    allowed_signers: Option<String>,
    /// Make the workspace of this lab, and try the answers out in it
    #[cfg(all(feature = "lab", target_os = "linux"))]
    #[arg(long, value_name = "NAME")]
    lab: Option<String>,
    /// Try nothing out; the file says so
    #[arg(long)]
    offline: bool,
    /// Write down also what failed when it was tried out, with a note
    #[arg(long)]
    keep: bool,
}

impl Init {
    /// Makes a workspace.
    ///
    /// # Errors
    /// There is one already, an answer is missing or wrong, something failed when it was tried out and is not to be kept,
    /// or it was interrupted. Then nothing is written.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let failed = |e| Error::new(codes::IO, "cannot tell which folder this is").source(e);
        let folder = global.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
        let folder = std::path::absolute(folder).map_err(failed)?;
        is_free(&folder)?;
        let new = Folder::make(&folder)?;
        self.enter(&folder)?;
        runtime::block_on(async {
            let interrupt = Interrupt::default();
            let asking = Asking::new(out, &interrupt);
            let made = Box::pin(self.make(&folder, &asking, out));
            // The first Ctrl-C ends it, wherever it is: nothing is half done that would have to be finished.
            tokio::select! {
                biased;
                made = made => made,
                stopped = asked_to_stop() => Err(stopped),
            }
        })?;
        new.keep();
        self.give_back(&folder);
        Ok(Exit::Done)
    }

    async fn make(&self, folder: &Path, asking: &Asking, out: &Out) -> Result<()> {
        if !asking.somebody_there() {
            // What is missing is said before anything is reached, and all at once.
            let mut flow = Flow::dry(self, asking, folder, out)?;
            flow.answers().await?;
            asking.complete()?;
        }
        let mut flow = Flow::new(self, asking, folder, out)?;
        flow.answers().await?;
        asking.complete()?;
        flow.write()
    }

    #[cfg(all(feature = "lab", target_os = "linux"))]
    fn enter(&self, folder: &Path) -> Result<()> {
        use crate::lab::{Lab, LabName};
        let Some(name) = &self.lab else { return Ok(()) };
        let name = LabName::new(name).map_err(|e| {
            Error::new(codes::LAB_NOT_UP, format!("{name:?} is not the name of a lab")).source(e)
        })?;
        crate::lab::enter(&Lab::named(name), &[folder.to_owned()])
    }

    #[cfg(all(feature = "lab", target_os = "linux"))]
    fn give_back(&self, folder: &Path) {
        if self.lab.is_some() {
            // Files that stay root's are a nuisance, not a failure.
            let _ = crate::lab::give_back(folder);
        }
    }

    #[cfg(not(all(feature = "lab", target_os = "linux")))]
    fn enter(&self, _folder: &Path) -> Result<()> {
        Ok(())
    }

    #[cfg(not(all(feature = "lab", target_os = "linux")))]
    fn give_back(&self, _folder: &Path) {}

    fn lab_name(&self) -> Option<String> {
        #[cfg(all(feature = "lab", target_os = "linux"))]
        return self.lab.clone();
        #[cfg(not(all(feature = "lab", target_os = "linux")))]
        return None;
    }
}

/// Ends with the first Ctrl-C, also one that comes while no question reads the keys.
async fn asked_to_stop() -> Error {
    let refused = |e| Error::new(codes::IO, "cannot listen for signals").source(e);
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(e) => return refused(e),
    };
    // The terminal's window was closed, or the connection to it was lost.
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(e) => return refused(e),
    };
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => match stopped {
            Ok(()) => {}
            Err(e) => return refused(e),
        },
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Error::new(codes::INTERRUPTED, "stopped as you asked").state("nothing was written")
}

/// The folder that was made for the workspace, removed again where it stays empty.
struct Folder(Option<PathBuf>);

impl Folder {
    fn make(folder: &Path) -> Result<Self> {
        if folder.is_dir() {
            return Ok(Self(None));
        }
        std::fs::create_dir_all(folder)
            .map_err(|e| Error::new(codes::IO, format!("cannot make {}", folder.display())).source(e))?;
        Ok(Self(Some(folder.to_owned())))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // One that is not empty stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}
