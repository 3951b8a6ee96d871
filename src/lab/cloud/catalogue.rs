//! What can be ordered: locations, server types, images, load balancer types, and what each costs.
//!
//! Names and sizes are those of the real cloud as it was late in 2026; ids are the lab's own, and so are prices, which
//! are near the real ones. `cx22` and `cx32` are no longer there, as in the real one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::Id;

/// A place where things are made.
pub(crate) struct Location {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) zone: &'static str,
    city: &'static str,
    country: &'static str,
    at: (f64, f64),
}

/// A kind of server.
pub(crate) struct ServerType {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) disk: u32,
    cpu: &'static str,
    cores: u32,
    memory: u32,
    locations: &'static [&'static str],
    /// Net, a month, in ten-thousandths of a euro.
    monthly: u64,
}

/// A system that a server begins with.
pub(crate) struct Image {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) arch: &'static str,
    flavor: &'static str,
    version: &'static str,
    title: &'static str,
}

/// A size of load balancer.
pub(crate) struct BalancerType {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) services: usize,
    pub(crate) targets: usize,
    connections: u32,
    monthly: u64,
}

const EU: &[&str] = &["fsn1", "nbg1", "hel1"];
const ALL: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];

pub(crate) const LOCATIONS: &[Location] = &[
    place(1, "fsn1", "eu-central", "Falkenstein", "DE", (50.47612, 12.370071)),
    place(2, "nbg1", "eu-central", "Nuremberg", "DE", (49.452102, 11.076665)),
    place(3, "hel1", "eu-central", "Helsinki", "FI", (60.169855, 24.938379)),
    place(4, "ash", "us-east", "Ashburn, VA", "US", (39.045821, -77.487073)),
    place(5, "hil", "us-west", "Hillsboro, OR", "US", (45.54222, -122.951924)),
    place(6, "sin", "ap-southeast", "Singapore", "SG", (1.283333, 103.833333)),
];

pub(crate) const SERVER_TYPES: &[ServerType] = &[
    kind(114, "cx23", "x86", (2, 4, 40), EU, 34_900),
    kind(115, "cx33", "x86", (4, 8, 80), EU, 54_900),
    kind(116, "cx43", "x86", (8, 16, 160), EU, 94_900),
    kind(117, "cx53", "x86", (16, 32, 320), EU, 174_900),
    kind(45, "cax11", "arm", (2, 4, 40), EU, 37_900),
    kind(93, "cax21", "arm", (4, 8, 80), EU, 64_900),
    kind(109, "cpx22", "x86", (2, 4, 80), ALL, 64_900),
    kind(110, "cpx32", "x86", (4, 8, 160), ALL, 109_900),
];

pub(crate) const IMAGES: &[Image] = &[
    image(114_690_387, "debian-12", "x86", "debian", "12", "Debian 12"),
    image(310_557_660, "debian-13", "x86", "debian", "13", "Debian 13"),
    image(310_557_661, "debian-13", "arm", "debian", "13", "Debian 13"),
    image(161_547_269, "ubuntu-24.04", "x86", "ubuntu", "24.04", "Ubuntu 24.04"),
    image(161_547_270, "ubuntu-24.04", "arm", "ubuntu", "24.04", "Ubuntu 24.04"),
];

pub(crate) const BALANCER_TYPES: &[BalancerType] = &[
    BalancerType { id: 1, name: "lb11", services: 5, targets: 25, connections: 10_000, monthly: 53_900 },
    BalancerType { id: 2, name: "lb21", services: 15, targets: 75, connections: 20_000, monthly: 164_000 },
    BalancerType { id: 3, name: "lb31", services: 30, targets: 150, connections: 40_000, monthly: 329_000 },
];

/// Net, a month, in ten-thousandths of a euro.
const FLOATING_IPV4: u64 = 30_000;
const PRIMARY_IPV4: u64 = 5_000;
/// Gross is this many hundredths of net.
const GROSS: u64 = 119;
/// Hours of a month, as prices are made.
const HOURS: u64 = 624;
const TRAFFIC: u64 = 20 << 40;

const fn place(
    id: Id,
    name: &'static str,
    zone: &'static str,
    city: &'static str,
    country: &'static str,
    at: (f64, f64),
) -> Location {
    Location { id, name, zone, city, country, at }
}

const fn kind(
    id: Id,
    name: &'static str,
    arch: &'static str,
    (cores, memory, disk): (u32, u32, u32),
    locations: &'static [&'static str],
    monthly: u64,
) -> ServerType {
    ServerType { id, name, arch, disk, cpu: "shared", cores, memory, locations, monthly }
}

const fn image(
    id: Id,
    name: &'static str,
    arch: &'static str,
    flavor: &'static str,
    version: &'static str,
    title: &'static str,
) -> Image {
    Image { id, name, arch, flavor, version, title }
}

/// The entry that an id or a name means.
pub(crate) fn find<'a, T>(all: &'a [T], which: &str, of: impl Fn(&T) -> (Id, &str)) -> Option<&'a T> {
    all.iter().find(|entry| {
        let (id, name) = of(entry);
        name == which || id.to_string() == which
    })
}

impl Location {
    pub(crate) fn named(which: &str) -> Option<&'static Self> {
        find(LOCATIONS, which, |l| (l.id, l.name))
    }

    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": format!("{} DC Park 1", self.city),
            "city": self.city, "country": self.country, "latitude": self.at.0, "longitude": self.at.1,
            "network_zone": self.zone,
        })
    }
}

/// Which types are sold out, as `type` or `type@location`.
pub(crate) type SoldOut = BTreeSet<String>;

impl ServerType {
    pub(crate) fn named(which: &str) -> Option<&'static Self> {
        find(SERVER_TYPES, which, |t| (t.id, t.name))
    }

    pub(crate) fn is_offered(&self, location: &Location) -> bool {
        self.locations.contains(&location.name)
    }

    pub(crate) fn is_available(&self, location: &str, sold_out: &SoldOut) -> bool {
        !sold_out.contains(self.name) && !sold_out.contains(&format!("{}@{location}", self.name))
    }

    pub(crate) fn view(&self, sold_out: &SoldOut) -> Value {
        let locations = LOCATIONS.iter().filter(|l| self.is_offered(l)).map(|l| {
            json!({
                "id": l.id, "name": l.name, "deprecation": null,
                "available": self.is_available(l.name, sold_out), "recommended": false,
            })
        });
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(), "category": "cost_optimized",
            "cores": self.cores, "memory": self.memory, "disk": self.disk, "architecture": self.arch,
            "cpu_type": self.cpu, "storage_type": "local", "deprecated": false, "deprecation": null,
            "locations": locations.collect::<Vec<_>>(), "prices": self.prices(),
        })
    }

    fn prices(&self) -> Vec<Value> {
        self.locations.iter().map(|l| with_traffic(per_time(self.monthly, l))).collect()
    }
}

impl Image {
    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": self.title, "type": "system", "status": "available",
            "architecture": self.arch, "os_flavor": self.flavor, "os_version": self.version, "disk_size": 5,
            "image_size": null, "bound_to": null, "created": "2026-01-01T00:00:00Z", "created_from": null,
            "deleted": null, "deprecated": null, "labels": {}, "protection": { "delete": false },
            "rapid_deploy": true,
        })
    }

    /// The image of an id, or of a name for an architecture.
    pub(crate) fn named(which: &str, arch: &str) -> Option<&'static Self> {
        IMAGES.iter().find(|i| i.id.to_string() == which || (i.name == which && i.arch == arch))
    }

    pub(crate) fn of(id: Id) -> Option<&'static Self> {
        IMAGES.iter().find(|i| i.id == id)
    }
}

impl BalancerType {
    pub(crate) fn named(which: &str) -> Option<&'static Self> {
        find(BALANCER_TYPES, which, |t| (t.id, t.name))
    }

    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(), "deprecated": null,
            "max_assigned_certificates": 10, "max_connections": self.connections, "max_services": self.services,
            "max_targets": self.targets, "prices": self.prices(),
        })
    }

    fn prices(&self) -> Vec<Value> {
        ALL.iter().map(|l| with_traffic(per_time(self.monthly, l))).collect()
    }
}

/// A price, as the API writes it: net and gross, with ten decimals.
fn price(ten_thousandths: u64) -> Value {
    let text = |millionths: u64| format!("{}.{:06}0000", millionths / 1_000_000, millionths % 1_000_000);
    json!({ "net": text(ten_thousandths * 100), "gross": text(ten_thousandths * GROSS) })
}

fn per_time(monthly: u64, location: &str) -> Value {
    json!({ "location": location, "price_hourly": price(monthly.div_ceil(HOURS)), "price_monthly": price(monthly) })
}

fn with_traffic(mut price_of: Value) -> Value {
    price_of["included_traffic"] = json!(TRAFFIC);
    price_of["price_per_tb_traffic"] = price(10_000);
    price_of
}

/// What everything costs.
pub(crate) fn pricing() -> Value {
    let monthly =
        |m: u64| ALL.iter().map(|l| json!({ "location": l, "price_monthly": price(m) })).collect::<Vec<_>>();
    let servers = SERVER_TYPES.iter().map(|t| json!({ "id": t.id, "name": t.name, "prices": t.prices() }));
    let balancers =
        BALANCER_TYPES.iter().map(|t| json!({ "id": t.id, "name": t.name, "prices": t.prices() }));
    let primary: Vec<Value> = ALL.iter().map(|l| per_time(PRIMARY_IPV4, l)).collect();
    json!({
        "currency": "EUR", "vat_rate": "19.000000",
        "floating_ip": { "price_monthly": price(FLOATING_IPV4) },
        "floating_ips": [{ "type": "ipv4", "prices": monthly(FLOATING_IPV4) }],
        "image": { "price_per_gb_month": price(110) },
        "load_balancer_types": balancers.collect::<Vec<_>>(),
        "primary_ips": [{ "type": "ipv4", "prices": primary }],
        "server_backup": { "percentage": "20.000000" },
        "server_types": servers.collect::<Vec<_>>(),
        "volume": { "price_per_gb_month": price(440) },
    })
}
