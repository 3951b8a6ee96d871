//! What things in the cloud cost a month: what a step would order, what is there already, and what the plan's author
//! thought.
//!
//! Invariant: amounts are exact decimals in the currency of the price list, net and gross as it says, and rounded only
//! where they are shown. What has no price in the list is said to have none; it is never taken for free.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Serialize, Serializer};

use crate::transport::hcloud::{Price, PriceList, Priced};

/// Something that costs money each month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A server of this type, without its public address.
    Server(String),
    /// A load balancer of this type.
    LoadBalancer(String),
    /// A floating IPv4 address.
    FloatingIpv4,
    /// The public IPv4 address of a server.
    PrimaryIpv4,
}

/// One of it, in a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// What.
    pub item: Item,
    /// Where, such as `hel1`.
    pub location: String,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.location;
        match &self.item {
            Item::Server(kind) => write!(f, "server {kind} in {place}"),
            Item::LoadBalancer(kind) => write!(f, "load balancer {kind} in {place}"),
            Item::FloatingIpv4 => write!(f, "floating IPv4 in {place}"),
            Item::PrimaryIpv4 => write!(f, "public IPv4 of a server in {place}"),
        }
    }
}

/// An exact amount, in ten-thousand-millionths: the API writes ten decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

const DECIMALS: usize = 10;
const UNIT: i128 = 10_000_000_000;

impl Amount {
    /// Reads a decimal such as `5.3900000000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || whole.len() > 18 || !digits(whole) || !digits(part) || part.len() > 18 {
            return None;
        }
        let part: String = part.chars().chain(std::iter::repeat('0')).take(DECIMALS).collect();
        Some(Self(whole.parse::<i128>().ok()? * UNIT + part.parse::<i128>().ok()?))
    }

    /// This less the other.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cent = UNIT / 100;
        let cents = (self.0.abs() + cent / 2) / cent;
        let sign = if self.0 < 0 && cents > 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is paid a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Monthly {
    /// Without value added tax.
    pub net: Amount,
    /// With it.
    pub gross: Amount,
}

impl Add for Monthly {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { net: Amount(self.net.0 + other.net.0), gross: Amount(self.gross.0 + other.gross.0) }
    }
}

impl Sum for Monthly {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl Monthly {
    fn of(price: &Price) -> Option<Self> {
        Some(Self { net: Amount::parse(&price.net)?, gross: Amount::parse(&price.gross)? })
    }
}

/// What a step adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The currency.
    pub currency: String,
    /// A month of it.
    #[serde(flatten)]
    pub monthly: Monthly,
    /// What it is made of.
    pub of: Vec<String>,
    /// What has no price in the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<String>,
}

/// What the project costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// The currency.
    pub currency: String,
    /// What is there now.
    pub before: Monthly,
    /// With what the plan would order.
    pub after: Monthly,
    /// What has no price in the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<String>,
    /// What the plan's author thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimated>,
}

/// What the plan's author thought that it would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimated {
    /// So much a month.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// By how much the costs after the plan are higher; none where the currencies differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub higher: Option<Monthly>,
}

/// An amount in a currency, as `45 USD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The amount.
    pub amount: Amount,
    /// The currency.
    pub currency: String,
}

impl Estimate {
    /// Reads `45 USD`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (amount, currency) = text.trim().split_once(' ')?;
        let is_one = currency.len() == 3 && currency.chars().all(|c| c.is_ascii_uppercase());
        let currency = is_one.then(|| currency.to_owned())?;
        Some(Self { amount: Amount::parse(amount)?, currency })
    }
}

/// What prices are looked up in, and what is there already.
#[derive(Clone, Debug)]
pub struct Book {
    /// The price list.
    pub list: PriceList,
    /// What costs money now.
    pub there: Vec<Order>,
    /// What the plan's author thought.
    pub estimate: Option<Estimate>,
}

impl Book {
    fn price(&self, order: &Order) -> Option<Monthly> {
        let (kinds, name): (&[Priced], &str) = match &order.item {
            Item::Server(name) => (&self.list.server_types, name),
            Item::LoadBalancer(name) => (&self.list.load_balancer_types, name),
            Item::FloatingIpv4 => (&self.list.floating_ips, "ipv4"),
            Item::PrimaryIpv4 => (&self.list.primary_ips, "ipv4"),
        };
        let kind = kinds.iter().find(|kind| kind.name == name)?;
        let at = kind.prices.iter().find(|at| at.location == order.location)?;
        Monthly::of(&at.price_monthly)
    }

    fn sum(&self, orders: &[Order]) -> (Monthly, Vec<String>) {
        let priced = orders.iter().filter_map(|order| self.price(order)).sum();
        let unpriced = orders.iter().filter(|order| self.price(order).is_none());
        (priced, unpriced.map(ToString::to_string).collect())
    }

    /// What these orders of a step add; nothing where there are none.
    #[must_use]
    pub fn cost(&self, orders: &[Order]) -> Option<Cost> {
        let (monthly, unpriced) = self.sum(orders);
        let of = orders.iter().map(ToString::to_string).collect();
        let currency = self.list.currency.clone();
        (!orders.is_empty()).then_some(Cost { currency, monthly, of, unpriced })
    }

    /// What everything costs before and after these orders.
    #[must_use]
    pub fn total(&self, orders: &[Order]) -> Costs {
        let (before, mut unpriced) = self.sum(&self.there);
        let (more, also) = self.sum(orders);
        unpriced.extend(also);
        let after = before + more;
        let estimate = self.estimate.clone().map(|estimate| {
            let higher = (estimate.currency == self.list.currency).then(|| Monthly {
                net: after.net.less(estimate.amount),
                gross: after.gross.less(estimate.amount),
            });
            Estimated { estimate, higher }
        });
        Costs { currency: self.list.currency.clone(), before, after, unpriced, estimate }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Amount, Book, Estimate, Item, Order};

    fn order(item: Item) -> Order {
        Order { item, location: "hel1".into() }
    }

    fn book(estimate: &str) -> Book {
        let at = |net: &str, gross: &str| json!([{ "location": "hel1", "price_monthly": { "net": net, "gross": gross } }]);
        let list = json!({
            "currency": "EUR",
            "server_types": [{ "id": 1, "name": "cx33", "prices": at("5.4900000000", "6.5331000000") }],
            "load_balancer_types": [{ "id": 1, "name": "lb11", "prices": at("5.3900000000", "6.4141000000") }],
            "floating_ips": [{ "type": "ipv4", "prices": at("3.0000000000", "3.5700000000") }],
            "primary_ips": [{ "type": "ipv4", "prices": at("0.5000000000", "0.5950000000") }],
        });
        let there = vec![order(Item::Server("cx33".into())), order(Item::PrimaryIpv4)];
        Book { list: serde_json::from_value(list).unwrap(), there, estimate: Estimate::parse(estimate) }
    }

    #[test]
    fn amounts_are_exact_and_rounded_where_they_are_shown() {
        for (text, shown) in
            [("5.4900000000", "5.49"), ("0.0050000000", "0.01"), ("12", "12.00"), ("0.1", "0.10")]
        {
            assert_eq!(Amount::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", ".5", "-1", "1e3", "1,5", "five"] {
            assert_eq!(Amount::parse(wrong), None, "{wrong}");
        }
        let third = Amount::parse("0.0040000000").unwrap();
        assert_eq!(third.less(Amount::parse("0.5").unwrap()).to_string(), "-0.50");
        assert_eq!(Estimate::parse("45 USD").unwrap().amount.to_string(), "45.00");
        for wrong in ["45", "USD 45", "45 dollars", "about 45 USD"] {
            assert_eq!(Estimate::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_plan_costs_what_the_list_says_and_what_has_no_price_is_not_free() {
        let orders = [order(Item::LoadBalancer("lb11".into())), order(Item::FloatingIpv4)];
        let costs = book("12 EUR").total(&orders);
        let shown = |m: super::Monthly| (m.net.to_string(), m.gross.to_string());
        assert_eq!(shown(costs.before), ("5.99".into(), "7.13".into()));
        assert_eq!(shown(costs.after), ("14.38".into(), "17.11".into()));
        assert_eq!(shown(costs.estimate.unwrap().higher.unwrap()), ("2.38".into(), "5.11".into()));
        // Another currency is shown and not converted.
        assert_eq!(book("45 USD").total(&orders).estimate.unwrap().higher, None);

        let book = book("12 EUR");
        assert_eq!(book.cost(&[]), None);
        let unknown = order(Item::LoadBalancer("lb99".into()));
        let cost = book.cost(&[unknown.clone(), order(Item::FloatingIpv4)]).unwrap();
        assert_eq!((cost.monthly.net.to_string(), cost.unpriced), ("3.00".into(), vec![unknown.to_string()]));
        assert_eq!(book.total(&[unknown]).unpriced, ["load balancer lb99 in hel1"]);
    }
}
