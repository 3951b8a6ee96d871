//! Carrying out commands of attempts, and learning what became of them.
//!
//! Invariant: "certainly did not begin" is said only where the command line never left, where the host refused it
//! before starting anything, or where its claim was made void. Everything else that has no answer is unclear, after
//! trying for a while to ask the host again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempt::{AttemptId, AttemptState};
use super::clerk::{Broken, NoReply, Request};
use super::command::{Command, Finished, MAX_INPUT};
use super::exchange::Answer;
use super::query::Certain;
use super::report::{Report, number_of_command, parse};
use super::{MAX_OUTPUT, SETUP_LIMIT, Ssh};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::digest::Digest;
use crate::redact::sanitize_for_terminal;
use crate::step::Failure;
use crate::waiting::{Await, awaited, begin, quietly};
use crate::workspace::Host;

const SETTLE: &str = concat!(include_str!("common.sh"), include_str!("settle.sh"));

/// From the end of its time to a killed command's report: termination, ten seconds, killing, syncing.
const GRACE: Duration = Duration::from_secs(30);

/// How often a running command is asked after.
const AGAIN: Duration = Duration::from_millis(500);

/// What is waited for, as the operator reads it.
fn end_of(command: &Command) -> String {
    match command.argv.program() {
        "sh" => "the script to end".to_owned(),
        program => format!("{program} to end"),
    }
}

impl Ssh {
    /// Claims and carries out the command number `number` of an attempt, and waits for its end. A connection that is
    /// lost meanwhile is opened again for a while to learn the end.
    ///
    /// # Errors
    /// `NotStarted` where it certainly did not begin, `Unclear` where nobody knows.
    pub async fn perform(
        &self,
        host: &Host,
        attempt: &AttemptId,
        number: u32,
        command: &Command,
    ) -> Result<Finished, Failure> {
        let not_started = |error: Error| Failure::NotStarted(error.host(&host.name));
        command.argv.check().map_err(not_started)?;
        let input = command.stdin.expose();
        if input.len() > MAX_INPUT {
            let what =
                format!("{} got {} bytes of input, more than is sent", command.argv.program(), input.len());
            return Err(not_started(Error::new(codes::SSH_ARGUMENT, what).state("nothing was sent")));
        }
        // Opened before anything is asked, so that a host that cannot be reached is certain not to have begun.
        let place = self.place(host).await.map_err(not_started)?;
        let mut live = self.open(host).await.map_err(not_started)?;
        let within = command.within + GRACE;
        let mut tries = 2;
        let asked = loop {
            let [epoch, seq, sum, hold, vouched] = self.ground(host, attempt.epoch).map_err(not_started)?;
            let mut fields = vec![
                attempt.fleet.to_string(),
                attempt.run.to_string(),
                attempt.folder(&host.name),
                attempt.label.to_string(),
                number.to_string(),
                epoch,
                seq,
                sum,
                hold,
                vouched.clone(),
                command.within.as_secs().max(1).to_string(),
                MAX_OUTPUT.to_string(),
                self.arriving(host, attempt),
            ];
            fields.extend(self.words(host, command));
            let request = Request { kind: "claim", fields, input };
            request.check(host).map_err(not_started)?;
            let marker = self.marker().map_err(not_started)?;
            let end = Await::new(end_of(command)).on(&host.name).within(within);
            let asked = self.ask_clerk(host, &live, &marker, &request, (MAX_OUTPUT, within));
            let asked = awaited(end, asked).await;
            match asked.map(Report::of) {
                // Refused before it began: where the line that the host remembers is one of ours, it is sent again
                // with that.
                Ok(Some(Report::Refused { word, detail }))
                    if self.vouch(host, &vouched, &word, &detail).map_err(not_started)? => {}
                Err(NoReply::NotAsked(why)) => {
                    tries -= 1;
                    self.master(host).map_err(not_started)?.lost(&live).await;
                    match self.no_clerk(host, why, within) {
                        (Certain::No, _lost) if tries > 0 => {
                            live = self.open(host).await.map_err(not_started)?;
                        }
                        (Certain::No | Certain::Yes, error) => {
                            return Err(Failure::NotStarted(error.state("nothing was started")));
                        }
                    }
                }
                Ok(report) => break Ok(report),
                Err(NoReply::Asked(broken)) => break Err(broken),
            }
        };
        let why = match asked {
            // Its wrapper was killed, and the command itself still runs.
            Ok(Some(Report::Running)) => "the command's wrapper was killed",
            Ok(Some(report)) => return self.outcome(host, command, report),
            Ok(None) => "its report cannot be understood",
            Err(Broken::Lost) => "the connection was lost",
            Err(Broken::Late) => "no answer came in time",
            Err(Broken::TooMuch) => "the host sent more than any command may print",
        };
        self.master(host).map_err(Failure::Unclear)?.lost(&live).await;
        drop(live);
        // Asking what became of it takes a place of its own: with all of them held by commands that ask, nobody could.
        drop(place);
        self.recover(host, attempt, number, command, why).await
    }

    /// Asks again, for a while, what became of a command.
    async fn recover(
        &self,
        host: &Host,
        attempt: &AttemptId,
        number: u32,
        command: &Command,
        why: &str,
    ) -> Result<Finished, Failure> {
        let program = command.argv.program();
        let unclear = |code: Code, what: String| {
            Error::new(code, what)
                .host(&host.name)
                .state("the command may or may not have had its effect")
                .next("hactl resume    (asks the host what became of it)")
        };
        let began = Instant::now();
        // A host that answers is waited for as long as the command may take; one that does not, only for a while.
        let mut heard = began;
        let (again, end) = (format!("an answer after {why}"), end_of(command));
        let recover = self.timing().recover;
        let waiting = begin(Await::new(again.clone()).on(&host.name).within(recover));
        loop {
            match quietly(self.ask_after(host, attempt, Some(number))).await {
                Ok((_, Report::Never)) => {
                    let what = format!("{why}, and {program} had not begun");
                    let error = Error::new(codes::SSH_LOST, what).state("it can no longer start");
                    return Err(Failure::NotStarted(error.host(&host.name)));
                }
                Ok((_, Report::Running)) => {
                    heard = Instant::now();
                    waiting.is_now(end.clone(), began + command.within + GRACE);
                    if began.elapsed() > command.within + GRACE {
                        let what = format!("{program} runs longer than it may, and does not end");
                        return Err(Failure::Unclear(unclear(codes::ATTEMPT_UNKNOWN, what)));
                    }
                }
                Ok((_, Report::Unknown)) => {
                    let what =
                        format!("{why}, and {program} was cut short: the machine rebooted, or it was killed");
                    return Err(Failure::Unclear(unclear(codes::ATTEMPT_UNKNOWN, what)));
                }
                Ok((_, report @ Report::Finished { .. })) => return self.outcome(host, command, report),
                // What is refused here is the question. The command was sent before it, and may be at work.
                Ok((_, Report::Refused { word, detail })) => {
                    let (_, error) = refused(host, &word, &detail);
                    if word != "setup" || heard.elapsed() > recover {
                        let what = format!("{why} while {program} was under way, and cannot be asked after");
                        return Err(Failure::Unclear(unclear(error.code(), what).source(error)));
                    }
                }
                Err(error) if heard.elapsed() > recover => {
                    let what =
                        format!("{why} while {program} was under way, and the host did not answer again");
                    return Err(Failure::Unclear(unclear(codes::SSH_LOST, what).source(error)));
                }
                Err(_again) => waiting.is_now(again.clone(), heard + recover),
            }
            sleep(AGAIN).await;
        }
    }

    /// Makes sure that nothing of an attempt can start late on a host, and says what became of it.
    ///
    /// # Errors
    /// The host could not be asked, or belongs to another fleet or a newer journal.
    pub async fn settle(&self, host: &Host, attempt: &AttemptId) -> Result<AttemptState> {
        let (command, report) = self.ask_after(host, attempt, None).await?;
        match report {
            Report::Never => Ok(AttemptState::Never),
            Report::Running => Ok(AttemptState::Running { command }),
            Report::Unknown => Ok(AttemptState::Unknown { command }),
            Report::Finished { status, .. } => Ok(AttemptState::Finished { command, status }),
            Report::Refused { word, detail } => Err(refused(host, &word, &detail).1),
        }
    }

    async fn ask_after(
        &self,
        host: &Host,
        attempt: &AttemptId,
        number: Option<u32>,
    ) -> Result<(u32, Report)> {
        let (marker, answer) = loop {
            let marker = self.marker()?;
            let [epoch, seq, sum, hold, vouched] = self.ground(host, attempt.epoch)?;
            let arguments = [
                marker.clone(),
                self.root().to_owned(),
                attempt.fleet.to_string(),
                attempt.run.to_string(),
                attempt.folder(&host.name),
                attempt.label.to_string(),
                number.map_or_else(|| "all".to_owned(), |n| n.to_string()),
                attempt.application_name(),
                epoch,
                seq,
                sum,
                hold,
                vouched.clone(),
                self.arriving(host, attempt),
            ];
            let line = self.root_script(host, SETTLE, "hactl-settle", &arguments);
            let answer = self.ask_twice(host, &line, &[], 2 * MAX_OUTPUT + 4096, SETUP_LIMIT).await?;
            match parse(&answer.stdout, &marker) {
                Some(Report::Refused { word, detail }) if self.vouch(host, &vouched, &word, &detail)? => {}
                Some(_) | None => break (marker, answer),
            }
        };
        let command = number_of_command(&answer.stdout, &marker);
        match (parse(&answer.stdout, &marker), command) {
            (Some(report @ Report::Refused { .. }), _) => Ok((0, report)),
            (Some(report), Some(command)) => Ok((command, report)),
            (None, _) | (_, None) => Err(self.no_marker(host, &answer).unwrap_or_else(|| {
                Error::new(codes::SSH_LOST, "the connection was lost while the host was asked")
                    .host(&host.name)
            })),
        }
    }

    /// Under which name what is sent for an attempt waits on a host until it is whole.
    fn arriving(&self, host: &Host, attempt: &AttemptId) -> String {
        let (run, folder, label) = (&attempt.run, attempt.folder(&host.name), &attempt.label);
        Digest::of(format!("{}/{run}/{folder}/{label}", self.root())).short()
    }

    fn outcome(&self, host: &Host, command: &Command, report: Report) -> Result<Finished, Failure> {
        match report {
            Report::Finished { status, stdout, stderr } => Ok(Finished {
                host: host.name.clone(),
                program: command.argv.program().to_owned(),
                status,
                stdout,
                stderr,
            }),
            Report::Refused { word, detail } => match refused(host, &word, &detail) {
                (Begun::No, error) => Err(Failure::NotStarted(error)),
                (Begun::Perhaps, error) => Err(Failure::Unclear(error)),
            },
            Report::Never => Err(Failure::NotStarted(
                Error::new(codes::ATTEMPT_SETUP, "the command was claimed, but could not be started")
                    .host(&host.name)
                    .state("it can no longer start")
                    .next("look at the host's disk and memory (df, dmesg), then: hactl resume"),
            )),
            Report::Running | Report::Unknown => Err(Failure::Unclear(
                Error::new(codes::ATTEMPT_UNKNOWN, format!("{} was cut short", command.argv.program()))
                    .host(&host.name)
                    .state("the command may or may not have had its effect"),
            )),
        }
    }
}

pub(super) enum Begun {
    No,
    Perhaps,
}

/// The error behind a refusal, and whether an earlier sending of the same command may have begun.
pub(super) fn refused(host: &Host, word: &str, detail: &str) -> (Begun, Error) {
    let detail = sanitize_for_terminal(detail);
    let (code, what, state) = match word {
        "claimed" => {
            let error = Error::new(codes::ATTEMPT_CLAIMED, "the command was claimed before")
                .state("it was not started again; the first time may have had its effect")
                .next("hactl resume");
            return (Begun::Perhaps, error.host(&host.name));
        }
        "void" => {
            (codes::ATTEMPT_VOID, "the command was made void before it arrived".to_owned(), "it cannot start")
        }
        "order" => (
            codes::ATTEMPT_ORDER,
            format!("the command before this one has not ended ({detail})"),
            "this command was not started",
        ),
        "other_fleet" => (
            codes::ATTEMPT_OTHER_FLEET,
            format!("the host belongs to the fleet {detail:?}, says its owner file"),
            "nothing was started",
        ),
        "other_run" => (
            codes::ATTEMPT_OTHER_RUN,
            format!("the host was changed by the run {detail} of this fleet, which another workspace began"),
            "nothing was started",
        ),
        "old_epoch" => (
            codes::ATTEMPT_OLD_EPOCH,
            format!("another machine took this fleet over (epoch {detail})"),
            "nothing was started",
        ),
        "old_journal" => (
            codes::ATTEMPT_OLD_JOURNAL,
            format!(
                "the host was changed under record {} of another copy of this run's journal",
                detail.split(' ').next().unwrap_or_default()
            ),
            "nothing was started",
        ),
        "sessions" => (
            codes::ATTEMPT_SESSIONS,
            format!("PostgreSQL sessions that the attempt left behind do not end ({detail})"),
            "they may still change the database",
        ),
        "owner_damaged" => (
            codes::ATTEMPT_OWNER_DAMAGED,
            "the host's owner file cannot be understood".to_owned(),
            "nothing was started",
        ),
        _other => (
            codes::ATTEMPT_SETUP,
            format!("the host cannot take the command: {detail}"),
            "nothing was started",
        ),
    };
    let next = match word {
        "old_epoch" | "old_journal" | "other_run" => {
            "go on in the workspace that changed the host last: its journal knows. Only where that is lost: --take-over"
        }
        "other_fleet" => "look at /var/lib/hactl/owner on the host: whose is it?",
        "owner_damaged" => "look at /var/lib/hactl/owner on the host, and at its disk",
        "sessions" => "see there what holds them: sudo -u postgres psql -xc 'select * from pg_stat_activity'",
        "void" | "order" => "hactl resume",
        _other => "mend that on the host, then: hactl resume",
    };
    (Begun::No, Error::new(code, what).host(&host.name).state(state).next(next))
}

impl Ssh {
    /// Why an answer has no marker, where that is certain: the exit status came, so the connection held.
    pub(super) fn no_marker(&self, host: &Host, answer: &Answer) -> Option<Error> {
        // What a signal ended may have been our script, after it began.
        let exit = answer.exit.filter(|exit| *exit < 128)?;
        let stderr = String::from_utf8_lossy(&answer.stderr);
        let said = super::trouble::last_lines(&stderr);
        let sudo =
            stderr.lines().any(|line| line.starts_with("sudo: ") || line.contains("sudo: command not found"));
        let no_perl =
            exit == 127 && stderr.lines().any(|line| line.starts_with("env: ") && line.contains("perl"));
        let error = if no_perl {
            Error::new(codes::SSH_PERL, "Perl is not installed, which Debian and Ubuntu have as perl-base")
                .next("apt-get install perl-base    (on the host), then: hactl doctor")
        } else if sudo {
            Error::new(codes::SSH_SUDO, format!("{} may not become root by sudo -n: {said}", host.user))
                .next("let that user run everything by sudo without a password, then: hactl doctor")
        } else {
            Error::new(
                codes::SSH_ODD_ANSWER,
                format!("the login shell ended with {exit} before it ran anything: {said}"),
            )
            .next("see that the user's shell is a POSIX shell and nothing is forced, then: hactl doctor")
        };
        Some(error.host(&host.name).state("nothing was started"))
    }
}
