//! A firewall that is seen to block.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EVERY, SETTLE, address_in, changes_nothing};
use crate::access::{Become, HostTrial, HostView, Knock, Trial};
use crate::cidr::Cidr;
use crate::diagnostic::Result;
use crate::digest::Digest;
use crate::name::RoleName;
use crate::step::common::{unverified, wait_for};
use crate::step::{Evidence, Scope, StepKind};

/// Changes nothing. A port of the host is open inside the private network, seen by another host that connects and is told a
/// word; at the same time the operator's machine, which stands outside, is not let through to it, though it is let through
/// to the host's sshd. Where nothing listens on that port, a small program of hactl does meanwhile, for less than a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeeFirewall {
    /// A TCP port that no rule lets in from outside.
    port: u16,
    /// The private subnet, such as `10.0.1.0/24`.
    subnet: Cidr,
    /// Who looks from inside: any other host of this role.
    inside: RoleName,
}

/// Listens on `$1`, says the word `$2` to everybody, and ends when somebody says `end` and the word, or after `$3` seconds.
const LISTEN: &str = r#"exec perl -e '
use IO::Socket::INET;
my ($port, $word, $for) = @ARGV;
alarm $for;
my $socket = IO::Socket::INET->new(LocalPort => $port, Listen => 16, ReuseAddr => 1) or die "cannot listen: $!\n";
while (1) {
  my $one = $socket->accept or next;
  my $said = "";
  eval { local $SIG{PIPE} = "IGNORE"; syswrite $one, "$word\n"; };
  my $ready = "";
  vec($ready, fileno($one), 1) = 1;
  sysread $one, $said, 256 if select($ready, undef, undef, 1);
  close $one;
  exit 0 if $said eq "end $word\n";
}
' "$@""#;

/// How long the small program listens at most.
const LISTENS: u64 = 45;

impl StepKind for SeeFirewall {
    const NAME: &'static str = "see_firewall";
    const SUMMARY: &'static str = "sees a firewall block a port from outside that is open inside";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    changes_nothing!();

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let here = trial.here()?;
        let inside = trial.hosts(&self.inside).into_iter().find(|host| host.name() != here.name());
        let Some(inside) = inside else {
            let text = format!("no other host has the role {}, so nobody can look from inside", self.inside);
            return Err(unverified(text).host(here.name()));
        };
        let there = here.listening().await?.into_iter().find(|listener| listener.port == self.port);
        match there {
            Some(listener) => {
                let who = listener.process.unwrap_or_else(|| "a service".to_owned());
                self.look(trial, &here, &inside, None, &who).await
            }
            None => self.listen_and_look(trial, &here, &inside).await,
        }
    }
}

impl SeeFirewall {
    async fn listen_and_look(
        &self,
        trial: &Trial<'_>,
        here: &HostTrial<'_>,
        inside: &HostView<'_>,
    ) -> Result<Evidence> {
        let word = Digest::of(format!("{} {}", here.scratch(), here.name())).short();
        let (port, seconds) = (self.port.to_string(), LISTENS.to_string());
        let arguments = [port.as_str(), &word, &seconds];
        let within = Duration::from_secs(LISTENS + 10);
        let listen = here.script(LISTEN, &arguments, Vec::new(), Become::Login, within);
        let look = async {
            let seen = self.look(trial, here, inside, Some(&word), "a program of hactl").await;
            // However it ended, nobody needs the program any more; where this does not reach it, it ends by itself.
            if let Ok(private) = address_in(here, self.subnet).await {
                let _ = inside.tcp_says(private, self.port, &format!("end {word}")).await;
            }
            seen
        };
        let (listened, seen) = tokio::join!(listen, look);
        let listened = listened?;
        match seen {
            Ok(evidence) => Ok(evidence),
            Err(error) if listened.succeeded() => Err(error),
            Err(error) => Err(error
                .state(format!("the program that was to listen: {}", listened.error("it ended").one_line()))),
        }
    }

    /// Looks from inside, from outside, and from inside again.
    async fn look(
        &self,
        trial: &Trial<'_>,
        here: &HostView<'_>,
        inside: &HostView<'_>,
        word: Option<&str>,
        who: &str,
    ) -> Result<Evidence> {
        let private = address_in(here, self.subnet).await?;
        let public = trial.ip_of(here.host()).await?;
        let (port, ssh, name) = (self.port, here.host().port, here.name());
        let open_inside = async || {
            let said = inside.tcp_says(private, port, "").await?;
            Ok(said.filter(|said| word.is_none_or(|word| said == word)))
        };
        let what = format!("TCP port {port} of {name} to be open inside");
        let closed = |when: &str| {
            let text = format!(
                "TCP port {port} of {name} is {when} open inside: {} cannot connect to it at {private}, so that it is \
                 closed outside says nothing",
                inside.name()
            );
            unverified(text).host(name)
        };
        if wait_for(&what, SETTLE, EVERY, open_inside).await?.is_none() {
            return Err(closed("not"));
        }
        if trial.knock(public, ssh).await != Knock::Accepted {
            let text = format!(
                "this machine does not reach port {ssh} of {name} at {public} either, so what it does not reach says nothing \
                 of a firewall"
            );
            return Err(unverified(text)
                .host(name)
                .next("try it from a machine that reaches the host without a jump host"));
        }
        let mut knocks = Vec::new();
        let blocked = wait_for("the firewall to block it", SETTLE, EVERY, async || {
            let knock = trial.knock(public, port).await;
            knocks.push(knock);
            Ok((knock != Knock::Accepted).then_some(knock))
        })
        .await?;
        let Some(blocked) = blocked else {
            let text =
                format!("TCP port {port} of {name} is open from outside, at {public}: no firewall blocks it");
            return Err(unverified(text).host(name).next(
                "hactl plan    (is the firewall applied to this server, and do its rules let the port in?)",
            ));
        };
        if open_inside().await?.is_none() {
            return Err(closed("no longer"));
        }
        let how = match blocked {
            Knock::Silence => "got no answer",
            Knock::Refused | Knock::Accepted => "was refused",
        };
        Ok(Evidence::facts([
            format!(
                "{} reached TCP port {port} of {name} at {private}, before and after: {who} answered",
                inside.name()
            ),
            format!("this machine {how} at {public}, port {port}, and was let through to port {ssh}"),
        ]))
    }
}
