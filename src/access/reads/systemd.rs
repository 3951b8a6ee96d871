//! Units and timers of systemd.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// The state of a unit, in systemd's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, …
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active_state: String,
    /// `running`, `exited`, `dead`, …
    pub sub_state: String,
    /// `enabled`, `disabled`, `static`, …; empty where there is no file.
    pub unit_file_state: String,
    /// `success`, `exit-code`, `timeout`, …: how it ended last.
    pub result: String,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
    /// Its main process; 0 where there is none.
    pub main_pid: u32,
    /// When its main process started last.
    pub started: Option<Timestamp>,
    /// The same since boot, in microseconds: with the boot id it recognises *this* start.
    pub started_monotonic: u64,
    /// When its main process ended last.
    pub exited: Option<Timestamp>,
    /// The exit status of its main process.
    pub exit_status: i32,
    /// The id of this activation.
    pub invocation: String,
    /// The unit's file.
    pub fragment: String,
    /// Its files changed since systemd read them.
    pub needs_reload: String,
}

impl Unit {
    /// Does the unit exist?
    #[must_use]
    pub fn exists(&self) -> bool {
        self.load_state != "not-found"
    }

    /// Is it active?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active_state == "active"
    }

    /// Is it enabled?
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.unit_file_state == "enabled"
    }
}

/// The state of a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The timer as a unit.
    pub unit: Unit,
    /// When it elapses next.
    pub next: Option<Timestamp>,
    /// When it elapsed last.
    pub last: Option<Timestamp>,
}

const PROPERTIES: &str = "LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,MainPID,ExecMainPID,\
    ExecMainStartTimestamp,ExecMainStartTimestampMonotonic,ExecMainExitTimestamp,ExecMainStatus,InvocationID,\
    FragmentPath,NeedDaemonReload,NextElapseUSecRealtime,LastTriggerUSec";

impl HostView<'_> {
    /// The state of a unit, such as `postgresql@17-main.service`.
    ///
    /// # Errors
    /// systemd does not answer.
    pub async fn unit(&self, name: &str) -> Result<Unit> {
        self.show(name).await.map(|properties| Unit::from_properties(&properties))
    }

    /// The state of a timer, such as `hactl-dump.timer`.
    ///
    /// # Errors
    /// systemd does not answer.
    pub async fn timer(&self, name: &str) -> Result<Timer> {
        let properties = self.show(name).await?;
        Ok(Timer {
            unit: Unit::from_properties(&properties),
            next: time(properties.get("NextElapseUSecRealtime")),
            last: time(properties.get("LastTriggerUSec")),
        })
    }

    async fn show(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let show = Command::new("systemctl")
            .args(["show", "--timestamp=unix", &format!("--property={PROPERTIES}"), "--", name])
            .env("SYSTEMD_PAGER", "")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        let text = self.ask_ok(&show, &format!("cannot ask systemd about {name}")).await?.text();
        let properties: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if properties.contains_key("ActiveState") {
            Ok(properties)
        } else {
            Err(self.odd("systemctl show", &text))
        }
    }
}

impl Unit {
    fn from_properties(properties: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| properties.get(key).cloned().unwrap_or_default();
        fn number<T: std::str::FromStr + Default>(text: &str) -> T {
            text.parse().unwrap_or_default()
        }
        Self {
            load_state: text("LoadState"),
            active_state: text("ActiveState"),
            sub_state: text("SubState"),
            unit_file_state: text("UnitFileState"),
            result: text("Result"),
            restarts: number(&text("NRestarts")),
            main_pid: number(&text("MainPID")),
            started: time(properties.get("ExecMainStartTimestamp")),
            started_monotonic: number(&text("ExecMainStartTimestampMonotonic")),
            exited: time(properties.get("ExecMainExitTimestamp")),
            exit_status: number(&text("ExecMainStatus")),
            invocation: text("InvocationID"),
            fragment: text("FragmentPath"),
            needs_reload: text("NeedDaemonReload"),
        }
    }
}

/// `@1700000000`, as `--timestamp=unix` prints times; those of timers it prints as `Sun 2026-11-22 02:32:25 UTC`.
fn time(text: Option<&String>) -> Option<Timestamp> {
    match text?.strip_prefix('@') {
        Some(seconds) => Timestamp::from_second(seconds.split('.').next()?.parse().ok()?).ok(),
        None => jiff::civil::DateTime::strptime("%a %Y-%m-%d %H:%M:%S UTC", text?)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            .map(|time| time.timestamp())
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Unit;

    #[test]
    fn a_unit_is_read_from_its_properties() {
        let text = "LoadState=loaded\nActiveState=active\nNRestarts=2\nExecMainStartTimestamp=@1700000000\n\
            ExecMainStartTimestampMonotonic=123456789\nUnitFileState=enabled\nMainPID=77";
        let properties: BTreeMap<_, _> =
            text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        let unit = Unit::from_properties(&properties);
        assert!(unit.exists() && unit.is_active() && unit.is_enabled());
        assert_eq!((unit.restarts, unit.main_pid, unit.started_monotonic), (2, 77, 123_456_789));
        assert_eq!(unit.started.map(|t| t.as_second()), Some(1_700_000_000));
        assert_eq!(unit.exited, None);
    }

    #[test]
    fn a_timer_prints_its_times_another_way() {
        let next = super::time(Some(&"Sun 2026-11-22 02:32:25 UTC".to_owned()));
        assert_eq!(next.map(|t| t.to_string()).as_deref(), Some("2026-11-22T02:32:25Z"));
        assert_eq!(super::time(Some(&String::new())), None);
    }
}
