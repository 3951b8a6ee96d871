//! A plan as text: per place what would happen, what stands before it, and how it could be taken back.

use std::fmt::Write as _;

use super::lacks;
use super::words::{self, count};
use crate::costs::{Cost, Costs, Estimated, Monthly};
use crate::plan::{Outlook, Plan, Planned, Returns};
use crate::runbook::Gate;

/// The text, wrapped to `width`, without an end of line.
#[must_use]
pub fn text(plan: &Plan, width: usize) -> String {
    let mut text = String::new();
    for phase in &plan.phases {
        let _ = writeln!(text, "phase {}: {}\n", phase.id, phase.title);
        if !phase.lacks.is_empty() {
            let _ = writeln!(text, "! NOT BEGUN before hactl.toml holds more:");
        }
        for lack in &phase.lacks {
            let _ = writeln!(text, "{}", lacks::text(lack, width));
        }
        if !phase.lacks.is_empty() {
            text.push('\n');
        }
        for planned in &phase.places {
            describe(&mut text, planned);
        }
        text.push('\n');
    }
    let text = words::wrap(&words::clean(text.trim_end()), width, 13);
    let mut end = vec![summary(plan)];
    end.extend(costs(plan));
    let end: Vec<String> = end.iter().map(|line| words::wrap(&words::clean(line), width, 0)).collect();
    format!("{text}\n\n{}", end.join("\n"))
}

fn amount(Monthly { net, gross }: Monthly, currency: &str) -> String {
    format!("{net} {currency} net, {gross} {currency} gross")
}

/// What everything costs, before and after.
fn costs(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &plan.costs_unknown {
        lines.push(format!("what it costs is not known: {why}"));
    }
    let Some(Costs { currency, before, after, unpriced, estimate }) = &plan.costs else { return lines };
    let (before, after_it) = (amount(*before, currency), amount(*after, currency));
    lines.push(format!(
        "costs a month: {before} now; {after_it} after this plan (servers with their public IPv4, load balancers and \
         floating IPs; not volumes, backups, traffic and object storage)"
    ));
    lines.extend(unpriced.iter().map(|what| format!("NOT COUNTED, the price list has no {what}")));
    match estimate {
        None => {}
        Some(Estimated { estimate, higher: None }) => lines.push(format!(
            "the plan's author thought of {} {}: another currency, not converted",
            estimate.amount, estimate.currency
        )),
        Some(Estimated { estimate, higher: Some(higher) }) => lines.push(format!(
            "the plan's author thought of {} {currency}: the difference is {}",
            estimate.amount,
            amount(*higher, currency)
        )),
    }
    lines
}

fn describe(text: &mut String, planned: &Planned) {
    let Planned { place, title, gate, outlook, way_back, returns, notes, orders: _, cost } = planned;
    let (mark, what) = match outlook {
        Outlook::Done => (' ', "done and verified"),
        Outlook::AlreadyThere => (' ', "nothing to change, would be verified"),
        Outlook::WillChange(_) => ('+', "would change"),
        Outlook::Blocked(_) => ('!', "BLOCKED"),
        Outlook::AfterEarlier(_) => ('?', "known only after earlier steps"),
        Outlook::CannotLook(_) => ('!', "CANNOT LOOK"),
        Outlook::InDoubt => ('!', "IN DOUBT, decided first"),
        Outlook::Skipped => ('-', "skipped, unproven"),
    };
    let _ = writeln!(text, "{mark} {place}: {what}");
    let _ = writeln!(text, "  {title}");
    match outlook {
        Outlook::WillChange(change) => {
            let _ = writeln!(text, "  change:    {}", change.summary);
            for detail in change.details.iter().flat_map(|d| d.lines()) {
                let _ = writeln!(text, "             {detail}");
            }
        }
        Outlook::Blocked(reasons) => {
            for reason in reasons {
                let _ = writeln!(text, "  because:   {reason}");
            }
        }
        Outlook::AfterEarlier(reason) | Outlook::CannotLook(reason) => {
            let _ = writeln!(text, "  because:   {reason}");
        }
        Outlook::Done | Outlook::AlreadyThere | Outlook::InDoubt | Outlook::Skipped => {}
    }
    match outlook {
        Outlook::WillChange(_) | Outlook::Blocked(_) | Outlook::AfterEarlier(_) | Outlook::CannotLook(_) => {
            let asks = match gate {
                Gate::None => None,
                Gate::Confirm => Some("asks for a yes"),
                Gate::Type => Some("asks you to type a name"),
                Gate::Sign => Some("asks for a signature"),
            };
            if let Some(asks) = asks {
                let _ = writeln!(text, "  gate:      {asks}");
            }
            match (way_back, returns) {
                (Some(how), Returns::NoReturn) => {
                    let _ = writeln!(text, "  WAY BACK:  {how}");
                }
                (Some(how), Returns::CanReturn | Returns::NotKnownYet) => {
                    let _ = writeln!(text, "  way back:  {how}");
                }
                (None, _) => {}
            }
            if let Some(Cost { currency, monthly, of, unpriced }) = cost {
                let _ =
                    writeln!(text, "  cost:      {} a month: {}", amount(*monthly, currency), of.join(", "));
                for what in unpriced {
                    let _ = writeln!(text, "  COST:      not known: the price list has no {what}");
                }
            }
            for note in notes {
                let _ = writeln!(text, "  note:      {note}");
            }
        }
        Outlook::Done | Outlook::AlreadyThere | Outlook::InDoubt | Outlook::Skipped => {}
    }
    text.push('\n');
}

/// One sentence over all, with what stands in the way.
fn summary(plan: &Plan) -> String {
    let (mut changes, mut done, mut blocked, mut later, mut other, mut no_return) = (0, 0, 0, 0, 0, 0);
    for planned in plan.places() {
        match planned.outlook {
            Outlook::WillChange(_) => changes += 1,
            Outlook::Done | Outlook::AlreadyThere => done += 1,
            Outlook::Blocked(_) | Outlook::CannotLook(_) => blocked += 1,
            Outlook::AfterEarlier(_) => later += 1,
            Outlook::InDoubt | Outlook::Skipped => other += 1,
        }
        if planned.returns == Returns::NoReturn && matches!(planned.outlook, Outlook::WillChange(_)) {
            no_return += 1;
        }
    }
    let mut parts = vec![format!("{} would change something", count(changes, "step"))];
    for (number, what) in [
        (done, "done already"),
        (blocked, "blocked or out of reach"),
        (later, "known only later"),
        (other, "skipped or in doubt"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    let points = match no_return {
        0 => "no point of no return among them".to_owned(),
        number => format!("{} OF NO RETURN among them", count(number, "POINT")),
    };
    format!("{}; {points}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::text;
    use crate::journal::record::{Change, Place};
    use crate::name::{HostName, PhaseId, StepId};
    use crate::plan::{Outlook, Plan, Planned, PlannedPhase, Returns};
    use crate::runbook::Gate;

    fn planned(step: &str, gate: Gate, outlook: Outlook, returns: Returns) -> Planned {
        let place = Place { step: StepId::new(step).unwrap(), host: Some(HostName::new("node-1").unwrap()) };
        let way_back = match returns {
            Returns::NoReturn => "NONE, this is a point of no return: the old data is gone",
            Returns::CanReturn | Returns::NotKnownYet => "hactl phase rollback restores what was there",
        };
        Planned {
            place,
            title: format!("The step {step}"),
            gate,
            outlook,
            way_back: Some(way_back.to_owned()),
            returns,
            notes: vec!["3 clients are connected: api (2), psql (1)".to_owned()],
            orders: Vec::new(),
            cost: None,
        }
    }

    #[test]
    fn a_plan_says_what_would_happen_and_where_there_is_no_way_back() {
        let change = |summary: &str| {
            Outlook::WillChange(Change {
                summary: summary.to_owned(),
                details: vec!["archive_mode: off -> on".to_owned(), "downtime: about 2 s".to_owned()],
            })
        };
        let plan = Plan {
            costs: None,
            costs_unknown: None,
            phases: vec![PlannedPhase {
                lacks: Vec::new(),
                id: PhaseId::new("0").unwrap(),
                title: "Backstop".to_owned(),
                places: vec![
                    planned("inspect", Gate::None, Outlook::Done, Returns::CanReturn),
                    planned("restart", Gate::Type, change("restart postgresql@17-main"), Returns::CanReturn),
                    planned(
                        "drop",
                        Gate::Type,
                        change("drop the old cluster with all that it holds, on the only server there is"),
                        Returns::NoReturn,
                    ),
                    planned(
                        "copy",
                        Gate::Confirm,
                        Outlook::Blocked(vec!["/var has 1GiB free, 4GiB are wanted".to_owned()]),
                        Returns::CanReturn,
                    ),
                    planned(
                        "prove",
                        Gate::None,
                        Outlook::AfterEarlier("${steps.copy.path} has no value yet".to_owned()),
                        Returns::NotKnownYet,
                    ),
                ],
            }],
        };
        assert_snapshot!(text(&plan, 72), @"
        phase 0: Backstop

          inspect on node-1: done and verified
          The step inspect

        + restart on node-1: would change
          The step restart
          change:    restart postgresql@17-main
                     archive_mode: off -> on
                     downtime: about 2 s
          gate:      asks you to type a name
          way back:  hactl phase rollback restores what was there
          note:      3 clients are connected: api (2), psql (1)

        + drop on node-1: would change
          The step drop
          change:    drop the old cluster with all that it holds, on the only
                     server there is
                     archive_mode: off -> on
                     downtime: about 2 s
          gate:      asks you to type a name
          WAY BACK:  NONE, this is a point of no return: the old data is gone
          note:      3 clients are connected: api (2), psql (1)

        ! copy on node-1: BLOCKED
          The step copy
          because:   /var has 1GiB free, 4GiB are wanted
          gate:      asks for a yes
          way back:  hactl phase rollback restores what was there
          note:      3 clients are connected: api (2), psql (1)

        ? prove on node-1: known only after earlier steps
          The step prove
          because:   ${steps.copy.path} has no value yet
          way back:  hactl phase rollback restores what was there
          note:      3 clients are connected: api (2), psql (1)

        2 steps would change something, 1 done already, 1 blocked or out of
        reach, 1 known only later; 1 POINT OF NO RETURN among them
        ");
    }
}
