//! The API's description: which document belongs to which answer, as JSON Schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Where the description lies, beside the checkout.
const FILE: &str = "../shared/data/hcloud-openapi.json";

/// In what the real API of late 2026 differs from the description, which is of February 2026.
const NO_LONGER_REQUIRED: &[(&str, &str)] = &[
    // Removed on 1 July 2026; `location` is what is left.
    ("server", "datacenter"),
];
/// What the real API has beyond it.
const ADDED: &[(&str, &str)] =
    &[("server_type_location", "available"), ("server_type_location", "recommended"), ("error", "details")];

/// The description.
pub(crate) struct Description(Value);

impl Description {
    /// Reads it, or says why not.
    pub(crate) fn load() -> Result<Self, String> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
        // A worktree may lie one folder deeper than a clone.
        let places = [checkout.join(FILE), checkout.join("..").join(FILE)];
        let Some(path) = places.iter().find(|p| p.is_file()) else {
            return Err(format!("the API's description is not at {FILE}"));
        };
        let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
        let mut all: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let schemas = &mut all["components"]["schemas"];
        for (schema, field) in NO_LONGER_REQUIRED {
            let required =
                schemas[*schema]["required"].as_array_mut().ok_or("an exception is out of date")?;
            required.retain(|r| r != field);
        }
        for (schema, field) in ADDED {
            schemas[*schema]["properties"][*field] = json!({});
        }
        Ok(Self(all))
    }

    /// The path of the description that a request's path is one of: literal words before placeholders.
    fn template(&self, path: &str) -> String {
        let given: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == given.len() && parts.iter().zip(&given).all(|(p, g)| p.starts_with('{') || p == g)
        };
        let paths = self.0["paths"].as_object().unwrap();
        let all = paths.keys().filter(|t| fits(t));
        let chosen = all.min_by_key(|t| t.matches('{').count());
        chosen.unwrap_or_else(|| panic!("{path} is not in the description")).clone()
    }

    /// What is wrong with a request and with its answer.
    pub(crate) fn faults(
        &self,
        method: &str,
        path: &str,
        request: &Value,
        status: u16,
        body: &Value,
    ) -> Vec<String> {
        let path = path.split('?').next().unwrap();
        let operation = &self.0["paths"][self.template(path)][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not in the description");
        let mut faults = Vec::new();
        let asked = &operation["requestBody"]["content"]["application/json"]["schema"];
        if asked.is_object() && !request.is_null() {
            faults.extend(self.check(asked, request, "request"));
        }
        let exact = &operation["responses"][status.to_string()];
        let class = &operation["responses"][format!("{}xx", status / 100)];
        let answer = if exact.is_object() { exact } else { class };
        if !answer.is_object() {
            faults.push(format!("status {status} is not described"));
        }
        let schema = &answer["content"]["application/json"]["schema"];
        if schema.is_object() {
            faults.extend(self.check(schema, body, "answer"));
        } else if !body.is_null() {
            faults.push("an answer without a document has one".to_owned());
        }
        faults
    }

    fn check(&self, schema: &Value, instance: &Value, what: &str) -> Vec<String> {
        let mut definitions = BTreeMap::new();
        for (name, schema) in self.0["components"]["schemas"].as_object().unwrap() {
            definitions.insert(name.clone(), plain(schema));
        }
        let mut root = plain(schema);
        root["definitions"] = json!(definitions);
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&root).unwrap();
        let errors = validator.iter_errors(instance);
        errors.map(|e| format!("{what} {}: {e}", e.instance_path())).collect()
    }
}

/// OpenAPI 3.0's dialect as JSON Schema: `nullable`, and where references lead. An object may have no field that is not
/// described, so that a field with a slip in its name is found.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(object) => {
            let mut new = Map::new();
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        new.insert(key.clone(), json!(to.replace("#/components/schemas/", "#/definitions/")));
                    }
                    ("nullable" | "example" | "format" | "discriminator" | "default", _) => {}
                    _ => {
                        new.insert(key.clone(), plain(value));
                    }
                }
            }
            let closed = new.get("properties").is_some_and(Value::is_object) && new.contains_key("type");
            if closed && !new.contains_key("additionalProperties") {
                new.insert("additionalProperties".to_owned(), json!(false));
            }
            if object.get("nullable") == Some(&json!(true)) {
                return json!({ "anyOf": [new, { "type": "null" }] });
            }
            Value::Object(new)
        }
        other => other.clone(),
    }
}
