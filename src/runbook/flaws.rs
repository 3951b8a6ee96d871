//! Flaws of a plan that can be seen in its runbook alone: every step is sound, and together they do not do what they are
//! for.

use super::{Input, Runbook, Value};
use crate::costs::Estimate;
use crate::diagnostic::codes;
use crate::document::{Found, suggest};
use crate::workspace::Workspace;

/// Steps whose outputs are the address of a floating IP.
const FLOATING: [&str; 2] = ["hcloud_floating_ip", "hcloud_assign_floating_ip"];

/// The step that makes a load balancer.
const BALANCER: &str = "hcloud_load_balancer";

/// Remarks names that lead users past the load balancer: a floating IP leads to one server, never to a load balancer.
pub(super) fn public_names(runbook: &Runbook, found: &mut Found) {
    let balancer = runbook.steps().find(|(_, step)| step.action.kind == BALANCER).map(|(_, step)| &step.id);
    for public in &runbook.public_names {
        let named = public.points_at.strip_prefix("${steps.").and_then(|rest| rest.strip_suffix('}'));
        let id = named.and_then(|rest| rest.split('.').next());
        let step = id.and_then(|id| runbook.steps().find(|(_, step)| step.id.as_str() == id));
        let Some((_, step)) = step else {
            let all: Vec<&str> = runbook.steps().map(|(_, step)| step.id.as_str()).collect();
            found
                .add(
                    codes::RUNBOOK_UNKNOWN_REFERENCE,
                    format!("{} points at {:?}, which is no output of a step", public.name, public.points_at),
                )
                .at(public.span.clone(), "here")
                .help(format!("write ${{steps.<step>.<output>}}; {}", suggest(id.unwrap_or_default(), &all)));
            continue;
        };
        if let Some(balancer) = balancer
            && FLOATING.contains(&step.action.kind.as_str())
        {
            found
                .add(
                    codes::RUNBOOK_BYPASSES_BALANCER,
                    format!(
                        "{} points at a floating IP: it leads to one server and never to a load balancer, so its users \
                         bypass the load balancer of the step {balancer}, and lose the system with that server",
                        public.name
                    ),
                )
                .at(public.span.clone(), "bypasses the load balancer")
                .help(format!(
                    "write points_at = \"${{steps.{balancer}.ipv4}}\", and keep the floating IP as the way to fall back on"
                ));
        }
    }
}

/// Remarks an estimate that is none.
pub(super) fn cost_estimate(runbook: &Runbook, found: &mut Found, workspace: Option<&Workspace>) {
    let Some(estimate) = &runbook.cost_estimate else { return };
    let input = runbook.inputs.iter().find(|input| input.name == estimate.input);
    let Some(Input { name, default, .. }) = input else {
        let known: Vec<&str> = runbook.inputs.iter().map(|input| input.name.as_str()).collect();
        found
            .add(codes::RUNBOOK_UNKNOWN_INPUT, format!("there is no input {:?}", estimate.input))
            .at(estimate.span.clone(), "not declared")
            .help(suggest(&estimate.input, &known));
        return;
    };
    let given = workspace.and_then(|workspace| workspace.inputs.get(name));
    let is_one = |value: &Value| match value {
        Value::Text(text) => Estimate::parse(text).is_some(),
        _ => false,
    };
    if given.or(default.as_ref()).is_some_and(|value| !is_one(value)) {
        found
            .add(codes::RUNBOOK_ILL_TYPED_INPUT, format!("the input {name} is no amount in a currency"))
            .at(estimate.span.clone(), "wants it")
            .help(format!("write {name} = \"45 USD\": what the plan's author thought that a month costs"));
    }
}
