//! What a token may do. The API does not say; a refusal tells.

use serde_json::json;

use super::HcloudClient;
use super::answer::Doing;
use super::exchange::Request;
use crate::diagnostic::{Result, codes};

/// Whether a token may change anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MayWrite {
    /// It may: what it sent was refused for what it lacked.
    Yes,
    /// The answer says neither; what it was.
    Unknown(String),
}

impl HcloudClient {
    /// Whether the token may write: an SSH key without name and content is ordered, of which nothing can come. A token
    /// that may only read is told so before anybody looks at the order.
    ///
    /// # Errors
    /// It may not ([`codes::HCLOUD_DENIED`]), or no usable answer came.
    pub async fn may_write(&self) -> Result<MayWrite> {
        let doing = Doing::read("try whether the token may write");
        match self.send(&doing, &Request::post("ssh_keys", json!({}))).await {
            Err(error) if error.code() == codes::HCLOUD_ANSWERED => {
                let said = error.message();
                let lacking = said.contains("invalid_input");
                Ok(if lacking { MayWrite::Yes } else { MayWrite::Unknown(said.to_owned()) })
            }
            Err(error) => Err(error),
            Ok(_) => Ok(MayWrite::Unknown("no refusal".to_owned())),
        }
    }

    /// How many requests the project has left this hour, and of how many, as the newest answer said.
    #[must_use]
    pub fn requests_left(&self) -> Option<(u64, u64)> {
        self.0.pace.left()
    }
}
