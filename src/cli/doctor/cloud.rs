//! The project in the Hetzner Cloud: does the token open it, and what is ours in it?
//!
//! Not here: whether the token may write, and how much the project may hold. The API tells neither to somebody who only
//! reads; the first step that changes something meets it, before anything is made.

use super::{Found, LIMIT, Verdict};
use crate::access::View;
use crate::access::hcloud::Owner;
use crate::diagnostic::Result;
use crate::render::words::count;
use crate::transport::hcloud::SshKey;
use crate::workspace::Workspace;

pub(super) async fn examine(view: View<'_>, workspace: &Workspace) -> Option<Found> {
    let config = workspace.hcloud.as_ref()?;
    let what = "cloud project";
    let asked = async {
        let cloud = view.hcloud().await?;
        let keys = cloud.list::<SshKey>(&[]).await?;
        let ours = keys.iter().filter(|key| matches!(cloud.owner(&key.head), Owner::Fleet(_))).count();
        let keys = count(keys.len(), "SSH key");
        Result::Ok(format!(
            "the token opens it, at {}; it has {keys}, {ours} of them made for this fleet",
            config.endpoint
        ))
    };
    Some(match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(text)) => Found::ok(what, text),
        Ok(Err(error)) => Found::fail(what, &error),
        Err(_elapsed) => Found::new(what, Verdict::Fail, "does not answer"),
    })
}
