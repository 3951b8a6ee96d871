//! What several kinds need: the instance, what was seen before, lines that changed, waiting with a limit.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::access::View;
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::Before;
use crate::name::OutputName;
use crate::waiting::{Await, begin};
use crate::workspace::PostgresConfig;

/// The workspace's PostgreSQL instance.
pub(super) fn instance<'a>(view: &View<'a>) -> Result<&'a PostgresConfig> {
    view.workspace().instance()
}

/// The systemd unit of an instance, as Debian names it.
pub(crate) fn unit(instance: &PostgresConfig) -> String {
    format!("postgresql@{}-{}.service", instance.version, instance.cluster)
}

/// What is to be remembered, as the journal keeps it.
pub(super) fn remember(seen: &impl Serialize) -> Result<Before> {
    serde_json::to_value(seen)
        .map(Before)
        .map_err(|e| Error::new(codes::INTERNAL, "what was seen before has no JSON form").source(e))
}

/// What was remembered. None where nothing was, as before the first intent.
pub(super) fn recall<T: DeserializeOwned>(before: Option<&Before>) -> Result<Option<T>> {
    match before {
        None => Ok(None),
        Some(Before(serde_json::Value::Null)) => Ok(None),
        Some(Before(value)) => serde_json::from_value(value.clone()).map(Some).map_err(|e| {
            Error::new(codes::INTERNAL, "what the journal remembers of before does not fit this step")
                .source(e)
        }),
    }
}

/// The name of an output, which the code spells.
pub(super) fn output(name: &'static str) -> Result<OutputName> {
    OutputName::new(name).map_err(|e| Error::new(codes::INTERNAL, format!("the output {name:?}: {e}")))
}

/// A change was made and does not do what it is for.
pub(super) fn unverified(what: impl Into<String>) -> Error {
    Error::new(codes::NOT_VERIFIED, what)
}

/// Looks again and again until `look` finds something, for at most `limit`. `what` fits after "waits for".
pub(super) async fn wait_for<T>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let until = Instant::now() + limit;
    let _waiting = begin(Await::new(what).within(limit));
    loop {
        let found = look().await?;
        if found.is_some() || Instant::now() >= until {
            return Ok(found);
        }
        sleep(every).await;
    }
}

/// The lines that go (`- `) and come (`+ `) between two texts, in order; what stays is left out.
pub(super) fn changed_lines(from: &str, to: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    // The longest common subsequence, from the end; configuration files are small.
    let width = new.len() + 1;
    let mut longest = vec![0_usize; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

/// A number of bytes for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::{bytes, changed_lines};

    #[test]
    fn lines_that_change_are_shown_in_order() {
        assert_eq!(changed_lines("a\nb\nc\n", "a\nx\nc\nd\n"), ["- b", "+ x", "+ d"]);
        assert_eq!(changed_lines("", "a\n"), ["+ a"]);
        assert_eq!(changed_lines("a\n", ""), ["- a"]);
        assert!(changed_lines("a\nb", "a\nb\n").is_empty());
    }

    #[test]
    fn bytes_are_for_people() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(22 * 1024 * 1024 + 1), "22.0 MiB");
    }
}
