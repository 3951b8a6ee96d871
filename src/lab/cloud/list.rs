//! Lists: filtered by name, label and status, sorted, and cut into pages.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Refusal};
use super::request::Request;

/// How long a page may be.
const LONGEST_PAGE: usize = 50;
/// How long it is where nobody says.
const PAGE: usize = 25;

/// The page of a list that a request asks for.
pub(crate) fn page(collection: &str, all: Vec<Value>, request: &Request) -> Answered {
    let mut chosen = all;
    if let Some(name) = request.parameter("name") {
        chosen.retain(|object| object["name"].as_str() == Some(name));
    }
    if let Some(text) = request.parameter("label_selector").filter(|t| !t.is_empty()) {
        let selector = Selector::parse(text)?;
        chosen.retain(|object| selector.matches(&object["labels"]));
    }
    for field in ["status", "id", "type", "architecture"] {
        let wanted: Vec<&str> = request.parameters(field).collect();
        if !wanted.is_empty() {
            chosen.retain(|object| wanted.contains(&text_of(&object[field]).as_str()));
        }
    }
    for by in request.parameters("sort").collect::<Vec<_>>().into_iter().rev() {
        sort(&mut chosen, by)?;
    }
    let number = |name: &str, otherwise: usize, most: usize| {
        let Some(text) = request.parameter(name) else { return Ok(otherwise) };
        let read = text.parse::<usize>().ok().filter(|n| (1..=most).contains(n));
        read.ok_or_else(|| Refusal::invalid(name, format!("must be a number from 1 to {most}")))
    };
    let (per_page, page) = (number("per_page", PAGE, LONGEST_PAGE)?, number("page", 1, usize::MAX)?);
    let total = chosen.len();
    let last = total.div_ceil(per_page).max(1);
    let skipped = page.saturating_sub(1).saturating_mul(per_page);
    let shown: Vec<Value> = chosen.into_iter().skip(skipped).take(per_page).collect();
    let pagination = json!({
        "page": page,
        "per_page": per_page,
        "previous_page": (page > 1).then(|| page - 1),
        "next_page": (page < last).then_some(page + 1),
        "last_page": last,
        "total_entries": total,
    });
    Ok(Answer::ok(json!({ collection: shown, "meta": { "pagination": pagination } })))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Sorts by `field`, `field:asc` or `field:desc`; stable, so that the first of several counts most.
fn sort(objects: &mut [Value], by: &str) -> Answered<()> {
    let (field, direction) = by.split_once(':').unwrap_or((by, "asc"));
    let known = ["id", "name", "created", "command", "status", "progress", "started", "finished"];
    if !known.contains(&field) || !["asc", "desc"].contains(&direction) {
        return Err(Refusal::invalid("sort", format!("cannot sort by {by}")));
    }
    objects.sort_by(|a, b| {
        let order = compare(&a[field], &b[field]);
        if direction == "desc" { order.reverse() } else { order }
    });
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_u64(), b.as_u64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => text_of(a).cmp(&text_of(b)),
    }
}

/// A label selector: every part must hold.
pub(crate) struct Selector(Vec<Part>);

enum Part {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    Has(String),
    HasNot(String),
}

impl Selector {
    /// Reads `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, joined by commas.
    pub(crate) fn parse(text: &str) -> Answered<Self> {
        let mut parts = Vec::new();
        let (mut begin, mut depth) = (0, 0_i32);
        for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(part(text[begin..at].trim())?);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        if depth != 0 {
            return Err(bad(text));
        }
        Ok(Self(parts))
    }

    pub(crate) fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|part| match part {
            Part::Is(key, values) => labels[key].as_str().is_some_and(|v| values.iter().any(|w| w == v)),
            Part::IsNot(key, values) => !labels[key].as_str().is_some_and(|v| values.iter().any(|w| w == v)),
            Part::Has(key) => labels.get(key).is_some(),
            Part::HasNot(key) => labels.get(key).is_none(),
        })
    }
}

fn bad(text: &str) -> Refusal {
    Refusal::invalid("label_selector", format!("{text:?} is not a label selector"))
}

fn part(text: &str) -> Answered<Part> {
    let key = |key: &str| {
        let key = key.trim();
        let fine = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || "!=(),".contains(c));
        fine.then(|| key.to_owned()).ok_or_else(|| bad(text))
    };
    let set = |list: &str| -> Answered<Vec<String>> {
        let inner = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
        let inner = inner.ok_or_else(|| bad(text))?;
        Ok(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((k, v)) = text.split_once("!=") {
        return Ok(Part::IsNot(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, v)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Part::Is(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, list)) = text.split_once(" notin ") {
        return Ok(Part::IsNot(key(k)?, set(list)?));
    }
    if let Some((k, list)) = text.split_once(" in ") {
        return Ok(Part::Is(key(k)?, set(list)?));
    }
    match text.strip_prefix('!') {
        Some(k) => Ok(Part::HasNot(key(k)?)),
        None => Ok(Part::Has(key(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Selector;

    #[test]
    fn a_selector_holds_where_each_part_of_it_holds() {
        let labels = json!({ "env": "prod", "role": "db", "hactl/run": "r1" });
        for (text, holds) in [
            ("env=prod", true),
            ("env==prod,role=db", true),
            ("env=prod,role=web", false),
            ("env!=prod", false),
            ("other!=prod", true),
            ("env", true),
            ("!env", false),
            ("!other", true),
            ("env in (dev, prod)", true),
            ("env notin (dev,prod)", false),
            ("hactl/run=r1", true),
        ] {
            let selector = Selector::parse(text).unwrap_or_else(|r| panic!("{text}: {}", r.message));
            assert_eq!(selector.matches(&labels), holds, "{text}");
        }
        for bad in ["env=prod,", "env in prod", "env in (a", "=x", "a b"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
