//! What joins two objects in the cloud, as Terraform imports it: an attachment, a target, a service.
//!
//! Invariant: a step names objects by their names, and the journal knows the numbers of those that the run made or
//! adopted. What joins another one is said to be unknown, never guessed. The forms of the ids are those that the
//! provider's documentation gives for each resource.

use std::collections::BTreeMap;

use toml::Value;

use crate::runbook::with_inputs;

/// What joins objects: Terraform's type of resource, what it is called there, and its id, or what is not known of it.
pub(super) struct Join {
    pub(super) resource: &'static str,
    pub(super) label: Vec<String>,
    pub(super) id: Result<String, String>,
}

/// The parameters of a step, with the values of inputs in them.
pub(super) struct Parameters<'a> {
    pub(super) table: &'a Value,
    pub(super) inputs: &'a BTreeMap<String, Value>,
}

impl Parameters<'_> {
    /// A parameter as text; none where it is not given, or is what another step gave.
    fn text(&self, key: &str) -> Option<String> {
        match self.table.get(key)? {
            Value::String(text) => self.with_inputs(text),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                None
            }
        }
    }

    fn with_inputs(&self, text: &str) -> Option<String> {
        with_inputs(text, |name| match self.inputs.get(name)? {
            Value::String(value) => Some(value.clone()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                None
            }
        })
    }
}

/// The numbers of the objects of the run, by Terraform's type and their names.
pub(super) type Numbers = BTreeMap<(&'static str, String), i64>;

/// What a step of this kind joins.
pub(super) fn of(kind: &str, parameters: &Parameters<'_>, numbers: &Numbers) -> Vec<Join> {
    let text = |key: &str| parameters.text(key);
    let number = |resource: &'static str, key: &str| -> Result<i64, String> {
        let name = text(key).ok_or_else(|| format!("`{key}` of the step is not known before it runs"))?;
        let found = numbers.get(&(resource, name.clone())).copied();
        found.ok_or_else(|| {
            format!("the run neither made nor adopted {name}, so its number is not known here")
        })
    };
    let label = |keys: &[&str]| keys.iter().filter_map(|key| text(key)).collect::<Vec<_>>();
    let between = |resource, (one, of): (&'static str, &str), (other, to): (&'static str, &str)| {
        let id = number(one, of).and_then(|one| Ok(format!("{one}-{}", number(other, to)?)));
        Join { resource, label: label(&[of, to]), id }
    };
    const SERVER: &str = "hcloud_server";
    const NETWORK: &str = "hcloud_network";
    const BALANCER: &str = "hcloud_load_balancer";
    let in_network = text("network").is_some();
    match kind {
        "hcloud_network" => {
            let range =
                text("subnet").ok_or_else(|| "`subnet` of the step is not known before it runs".to_owned());
            let id = number(NETWORK, "name").and_then(|network| Ok(format!("{network}-{}", range?)));
            let join = Join { resource: "hcloud_network_subnet", label: label(&["name"]), id };
            parameters.table.get("subnet").map(|_| join).into_iter().collect()
        }
        "hcloud_server" if in_network => {
            vec![between("hcloud_server_network", (SERVER, "name"), (NETWORK, "network"))]
        }
        "hcloud_attach" => vec![between("hcloud_server_network", (SERVER, "server"), (NETWORK, "network"))],
        "hcloud_load_balancer" if in_network => {
            vec![between("hcloud_load_balancer_network", (BALANCER, "name"), (NETWORK, "network"))]
        }
        "hcloud_apply_firewall" => vec![Join {
            resource: "hcloud_firewall_attachment",
            label: label(&["firewall"]),
            id: number("hcloud_firewall", "firewall").map(|id| id.to_string()),
        }],
        "hcloud_assign_floating_ip" => vec![Join {
            resource: "hcloud_floating_ip_assignment",
            label: label(&["floating_ip"]),
            id: number("hcloud_floating_ip", "floating_ip").map(|id| id.to_string()),
        }],
        "hcloud_balancer_target" => {
            let target = match text("ip") {
                Some(ip) => Ok(format!("ip__{ip}")),
                None => number(SERVER, "server").map(|server| format!("server__{server}")),
            };
            vec![Join {
                resource: "hcloud_load_balancer_target",
                label: label(&["balancer", "server", "ip"]),
                id: number(BALANCER, "balancer").and_then(|balancer| Ok(format!("{balancer}__{}", target?))),
            }]
        }
        "hcloud_balancer_service" => {
            let port = text("listen_port")
                .ok_or_else(|| "`listen_port` of the step is not known before it runs".to_owned());
            vec![Join {
                resource: "hcloud_load_balancer_service",
                label: label(&["balancer", "listen_port"]),
                id: number(BALANCER, "balancer").and_then(|balancer| Ok(format!("{balancer}__{}", port?))),
            }]
        }
        _joins_nothing => Vec::new(),
    }
}
