//! What a host reports of an attempt's command, as text and as a type.
//!
//! Invariant: a report is taken whole or not at all.

use super::clerk::Reply;
use super::command::{Captured, Status};

/// What a host says of an attempt's command.
#[derive(Debug)]
pub(super) enum Report {
    Refused { word: String, detail: String },
    Never,
    Running,
    Unknown,
    Finished { status: Status, stdout: Captured, stderr: Captured },
}

/// Our own lines: what follows the marker, and the bytes after the line.
fn lines<'a>(bytes: &'a [u8], marker: &str) -> impl Iterator<Item = (String, &'a [u8])> {
    let marker = format!("{marker} ").into_bytes();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let end = rest.iter().position(|b| *b == b'\n')?;
            let (line, after) = rest.split_at(end);
            rest = after.get(1..)?;
            if let Some(words) = line.strip_prefix(marker.as_slice()) {
                return Some((String::from_utf8_lossy(words).into_owned(), rest));
            }
        }
    })
}

pub(super) fn number_of_command(bytes: &[u8], marker: &str) -> Option<u32> {
    lines(bytes, marker).find_map(|(line, _)| line.strip_prefix("command ")?.parse().ok())
}

impl Report {
    /// What stands in one word or two; nothing where a command ended, whose output belongs to it.
    fn plain(line: &str) -> Option<Self> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("refused", detail) => {
                let (word, detail) = detail.split_once(' ').unwrap_or((detail, ""));
                Some(Self::Refused { word: word.to_owned(), detail: detail.to_owned() })
            }
            ("never", _) => Some(Self::Never),
            ("running", _) => Some(Self::Running),
            ("unknown", _) => Some(Self::Unknown),
            _other => None,
        }
    }

    /// What a clerk reported: `finished STATUS : CUT CUT` or `timeout : CUT CUT`, or how it stands otherwise.
    pub(super) fn of(reply: Reply) -> Option<Self> {
        if let Some(plain) = Self::plain(&reply.how) {
            return Some(plain);
        }
        let (how, cuts) = reply.how.split_once(" : ")?;
        let (out, err) = cuts.split_once(' ')?;
        let (out, err) = (out.parse().ok()?, err.parse().ok()?);
        Some(Self::Finished {
            status: status(how)?,
            stdout: Captured { bytes: reply.stdout, cut: out },
            stderr: Captured { bytes: reply.stderr, cut: err },
        })
    }
}

fn status(how: &str) -> Option<Status> {
    match how.split_once(' ') {
        Some(("finished", status)) => Some(Status::Exited(status.trim().parse().ok()?)),
        None if how == "timeout" => Some(Status::TimedOut),
        Some(_) | None => None,
    }
}

/// Reads what settling reported; nothing where the report is not whole.
pub(super) fn parse(bytes: &[u8], marker: &str) -> Option<Report> {
    for (line, rest) in lines(bytes, marker) {
        if let Some(plain) = Report::plain(&line) {
            return Some(plain);
        }
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("command", _) => {}
            ("finished" | "timeout", _) => return finished(&line, rest, marker),
            _other => return None,
        }
    }
    None
}

/// `finished STATUS : OUT CUT ERR CUT` or `timeout : …`, then the bytes, then `end`.
fn finished(line: &str, rest: &[u8], marker: &str) -> Option<Report> {
    let (how, sizes) = line.split_once(" : ")?;
    let status = status(how)?;
    let sizes: Vec<u64> = sizes.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [out, out_cut, err, err_cut] = sizes.as_slice() else { return None };
    let (out, err) = (usize::try_from(*out).ok()?, usize::try_from(*err).ok()?);
    let stdout = rest.get(..out)?;
    let after = rest.get(out..)?;
    let stderr = after.get(..err)?;
    let end = format!("{marker} end\n");
    if after.get(err..)? != end.as_bytes() {
        return None;
    }
    Some(Report::Finished {
        status,
        stdout: Captured { bytes: stdout.to_vec(), cut: *out_cut },
        stderr: Captured { bytes: stderr.to_vec(), cut: *err_cut },
    })
}

#[cfg(test)]
mod tests {
    use super::{Reply, Report};

    fn of(how: &str) -> String {
        let reply = Reply { stdout: b"out".to_vec(), stderr: Vec::new(), how: how.to_owned() };
        format!("{:?}", Report::of(reply))
    }

    #[test]
    fn how_a_command_ended_is_read_strictly() {
        assert!(of("finished 3 : 7 0").contains("Exited(3)") && of("finished 3 : 7 0").contains("cut: 7"));
        assert!(of("timeout : 0 0").contains("TimedOut"));
        assert!(of("refused other_fleet a b").contains("detail: \"a b\""));
        for (how, state) in [("never", "Never"), ("running", "Running"), ("unknown", "Unknown")] {
            assert_eq!(of(how), format!("Some({state})"));
        }
        for odd in [
            "",
            "finished",
            "finished 3",
            "finished 256 : 0 0",
            "finished 0 : 0",
            "finished 0 : -1 0",
            "done",
        ] {
            assert_eq!(of(odd), "None", "{odd:?}");
        }
    }
}
