//! The project in the Hetzner Cloud: does the token open it, may it write, how much may still be asked, and can what the
//! runbook wants be ordered?
//!
//! Not here: how much the project may hold. The API does not tell; the first order beyond it is refused before anything
//! is made.

use super::{Found, LIMIT, Verdict};
use crate::access::View;
use crate::access::hcloud::{HcloudView, Owner};
use crate::diagnostic::{Result, codes};
use crate::render::words::count;
use crate::runbook::{Bindings, Runbook, StepOutputs};
use crate::step::hcloud::server::HcloudServer;
use crate::step::kind::StepKind as _;
use crate::step::{Table, Weight};
use crate::transport::hcloud::{MayWrite, Server, SshKey};
use crate::workspace::Workspace;

pub(super) async fn examine(view: View<'_>, workspace: &Workspace, runbook: &Runbook) -> Vec<Found> {
    let Some(config) = &workspace.hcloud else { return Vec::new() };
    let asked = async {
        let cloud = match view.hcloud().await {
            Ok(cloud) => cloud,
            Err(error) => return vec![Found::fail(PROJECT, &error)],
        };
        let project = match project(&cloud, &config.endpoint).await {
            Ok(text) => Found::ok(PROJECT, text),
            // Without it nothing else can be asked.
            Err(error) => return vec![Found::fail(PROJECT, &error)],
        };
        let mut found = vec![project, permission(&cloud).await];
        found.extend(servers(view, workspace, runbook).await);
        found.extend(requests(&cloud));
        found
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(found) => found,
        Err(_elapsed) => vec![Found::new(PROJECT, Verdict::Fail, "does not answer")],
    }
}

const PROJECT: &str = "cloud project";

/// Below this share of the hour's requests, others are in the way.
const FEW: u64 = 10;

async fn project(cloud: &HcloudView, endpoint: &str) -> Result<String> {
    let keys = cloud.list::<SshKey>(&[]).await?;
    let servers = cloud.list::<Server>(&[]).await?;
    let heads = keys.iter().map(|key| &key.head).chain(servers.iter().map(|server| &server.head));
    let ours = heads.filter(|head| matches!(cloud.owner(head), Owner::Fleet(_))).count();
    let (keys, servers) = (count(keys.len(), "SSH key"), count(servers.len(), "server"));
    Ok(format!(
        "the token opens it, at {endpoint}; it has {servers} and {keys}, {ours} of them made for this fleet; how much \
         more it may hold is not told by the API, but in its console (Limits)"
    ))
}

async fn permission(cloud: &HcloudView) -> Found {
    let what = "cloud token";
    match cloud.may_write().await {
        Ok(MayWrite::Yes) => Found::ok(
            what,
            "may write: an empty order was refused for being empty, not for the token; nothing was made",
        ),
        Ok(MayWrite::Unknown(said)) => Found::new(
            what,
            Verdict::Warn,
            format!("nobody knows whether it may write: an empty order was answered by {said}"),
        ),
        Err(error) if error.code() == codes::HCLOUD_DENIED => Found::fail(what, &error),
        Err(error) => Found::new(
            what,
            Verdict::Warn,
            format!("nobody knows whether it may write: {}", error.one_line()),
        ),
    }
}

/// The servers that steps make or use: whether they can be had, as each step's own check says.
async fn servers(view: View<'_>, workspace: &Workspace, runbook: &Runbook) -> Vec<Found> {
    let outputs = StepOutputs::new();
    let bindings = Bindings { workspace, runbook, host: None, outputs: &outputs };
    let mut found = Vec::new();
    for (_, step) in runbook.steps().filter(|(_, step)| step.action.kind == HcloudServer::NAME) {
        let what = format!("cloud server of step {}", step.id);
        // What other steps give is not known yet; its own plan says more.
        let Ok(action) = step.resolve::<Table>(&bindings) else { continue };
        let findings = match action.check(&view).await {
            Ok(findings) => findings.0,
            Err(error) => {
                found.push(Found::new(what, Verdict::Warn, error.one_line()));
                continue;
            }
        };
        let heaviest = findings.iter().map(|finding| finding.weight).max();
        // It stops its own step, not the run before it.
        let verdict = match heaviest {
            Some(Weight::Blocks | Weight::Warning) => Verdict::Warn,
            Some(Weight::Note) | None => Verdict::Ok,
        };
        let texts: Vec<_> = findings.into_iter().map(|finding| finding.text).collect();
        let text = if texts.is_empty() { "nothing stands in its way".to_owned() } else { texts.join("; ") };
        let next = format!("hactl plan --dry-run    (before the step {})", step.id);
        let one = Found::new(what, verdict, text);
        found.push(if heaviest == Some(Weight::Blocks) { one.next(next) } else { one });
    }
    found
}

/// How many requests are left, as the newest answer said.
fn requests(cloud: &HcloudView) -> Option<Found> {
    let (left, limit) = cloud.requests_left()?;
    let verdict = if left < limit / FEW { Verdict::Warn } else { Verdict::Ok };
    let text = format!("{left} of {limit} an hour are left for the whole project");
    let found = Found::new("cloud requests", verdict, text);
    Some(match verdict {
        Verdict::Ok => found,
        Verdict::Warn | Verdict::Fail => {
            found.next("see who else asks so much; hactl goes on slowly meanwhile")
        }
    })
}
