//! The price list of the cloud.

use serde::Deserialize;

use super::HcloudClient;
use super::answer::Doing;
use super::exchange::Request;
use crate::diagnostic::Result;

/// The price list, as far as hactl orders anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PriceList {
    /// The currency of all prices.
    pub currency: String,
    /// Servers, by type.
    #[serde(default)]
    pub server_types: Vec<Priced>,
    /// Load balancers, by type.
    #[serde(default)]
    pub load_balancer_types: Vec<Priced>,
    /// Floating IPs, by family.
    #[serde(default)]
    pub floating_ips: Vec<Priced>,
    /// Public addresses of servers, by family.
    #[serde(default)]
    pub primary_ips: Vec<Priced>,
}

/// Something that has a price, place by place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Priced {
    /// What it is, such as `lb11` or `ipv4`.
    #[serde(alias = "type")]
    pub name: String,
    /// Where it can be had, and for how much.
    #[serde(default)]
    pub prices: Vec<PriceAt>,
}

/// A price in a place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PriceAt {
    /// The place.
    pub location: String,
    /// For a month.
    pub price_monthly: Price,
}

/// A price, in decimals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Price {
    /// Without value added tax.
    pub net: String,
    /// With it.
    pub gross: String,
}

impl HcloudClient {
    /// The price list.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn prices(&self) -> Result<PriceList> {
        let doing = Doing::read("read the price list");
        let mut answer = self.send(&doing, &Request::get("pricing", &[])).await?;
        self.understood(&doing, answer.get_mut("pricing").map(serde_json::Value::take))
    }
}
